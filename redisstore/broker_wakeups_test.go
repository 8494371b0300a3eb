package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/redis/go-redis/v9"
)

// line is a network whose connections can go silent, and then stay so, or break.
type line struct {
	mu    sync.Mutex
	down  bool
	conns []*lineConn
}

type lineConn struct {
	net.Conn
	silent atomic.Bool
}

func (c *lineConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.silent.Load() {
			return n, err
		}
	}
}

// over makes options use the line.
func (l *line) over(options redis.Options) redis.Options {
	dial := options.Dialer
	options.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.down {
			return nil, errors.New("the line is down")
		}
		inner, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := &lineConn{Conn: inner}
		l.conns = append(l.conns, c)
		return c, nil
	}
	return options
}

func (l *line) silence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.silent.Store(true)
	}
}

func (l *line) breakOff(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for _, c := range l.conns {
			c.Close()
		}
	}
}

// logged opens a broker with a log.
func logged(t *testing.T, options redis.Options) (*redisstore.Broker, *bytes.Buffer) {
	t.Helper()
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(&options)
	t.Cleanup(func() { client.Close() })
	log := new(bytes.Buffer) // slog's handler locks it
	o := defaults()
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	store, err := redisstore.New(t.Context(), client, o)
	if err != nil {
		t.Fatal(err)
	}
	broker, err := redisstore.NewBroker(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	return broker, log
}

// The peer of a connection can go away without a word: then writing works for
// minutes, and nothing comes back.
func TestAConnectionOnWhichNothingComesBackIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line
		options := onMiniredis(t)
		b, log := logged(t, l.over(options))
		other, _ := brokerOn(t, options)
		woken := make(chan struct{}, 1)
		stop := b.Watch(log1, woken)
		defer stop()
		<-woken
		time.Sleep(time.Hour) // in silence, but the server answers when asked
		synctest.Wait()
		if len(woken) > 0 {
			t.Error("a watcher was woken for nothing")
		}
		for range 3 {
			l.silence()
			appendTo(t, other, log1, "unheard", keep)
			began := time.Now()
			<-woken
			if took := time.Since(began); took > 16*time.Second {
				t.Errorf("the connection was replaced after %v", took)
			}
			time.Sleep(time.Second)
			for len(woken) > 0 {
				<-woken
			}
			appendTo(t, other, log1, "heard", keep)
			synctest.Wait()
			if len(woken) != 1 {
				t.Error("not woken by an Append after the connection was replaced")
			}
			<-woken
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(log.String(), "unheard") {
			t.Errorf("an event is in the log: %s", log)
		}
	})
}

func TestEachOutageIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line
		b, log := logged(t, l.over(onMiniredis(t)))
		for outage := range 3 {
			l.breakOff(true)
			time.Sleep(5 * time.Minute)
			l.breakOff(false)
			time.Sleep(5 * time.Minute)
			if alive, err := b.Alive(t.Context(), b.Replica()); err != nil || !alive {
				t.Errorf("after outage %d: alive is %t, %v", outage, alive, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		// What it says is that wake-ups are late, and that others think it dead.
		for _, level := range []string{"ERROR", "INFO"} {
			if n := strings.Count(log.String(), "level="+level); n != 2*3 {
				t.Errorf("three outages make %d lines of level %s, want 6:\n%s", n, level, log)
			}
		}
	})
}

// Watch must not wait, and neither may what others do at the time.
func TestWatchDoesNotWaitForTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l line
		b, _ := logged(t, l.over(onMiniredis(t)))
		l.silence()
		began := time.Now()
		var woken []chan struct{}
		for i := range 2500 {
			key := log1
			key.Name = fmt.Sprint("log", i)
			woken = append(woken, make(chan struct{}, 1))
			stop := b.Watch(key, woken[i])
			if i%5 == 0 {
				stop()
			}
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("2500 calls took %v on a dead line", took)
		}
		time.Sleep(20 * time.Second) // until the connection was replaced
		for i := range woken {
			if n := len(woken[i]); n != min(i%5, 1) {
				t.Errorf("watcher %d was woken %d times", i, n)
			}
		}
	})
}
