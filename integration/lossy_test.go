package integration

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/redis/go-redis/v9"
)

// lossy is a network on which one reply in a hundred is lost with its connection.
type lossy struct {
	on   atomic.Bool
	lost atomic.Int64
}

type lossyConn struct {
	net.Conn
	network *lossy
}

func (c lossyConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.network.on.Load() && rand.IntN(100) == 0 {
		c.network.lost.Add(1)
		c.Close()
		return 0, io.EOF
	}
	return n, err
}

func (l *lossy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return lossyConn{c, l}, nil
}

// Many callers on one log and one cell, all of whose calls are now and then
// repeated by the client, while hundreds of others' get in between.
func TestChangesOnALossyNetworkAreMadeOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var l lossy
	var brokers []*redisstore.Broker
	for range 3 {
		client := redis.NewClient(&redis.Options{
			Addr: server.Addr(), ContextTimeoutEnabled: true, Dialer: l.dial, PoolSize: 100, MaxRetries: 10,
		})
		t.Cleanup(func() { client.Close() })
		store, err := redisstore.New(t.Context(), client, redisstore.Options{Limits: mcpsession.DefaultLimits()})
		if err != nil {
			t.Fatal(err)
		}
		brokers = append(brokers, openBroker(t, store))
	}
	log, cell := mcpsession.Key{Name: "log"}, mcpsession.Key{Name: "cell"}
	const callers, each, additions = 60, 100, 20
	positions := make([]map[string]mcpsession.Position, callers)
	l.on.Store(true)
	var wg sync.WaitGroup
	for i := range callers {
		positions[i] = make(map[string]mcpsession.Position)
		b := brokers[i%3]
		wg.Go(func() {
			for n := range each {
				event := fmt.Sprint(i, " ", n)
				at, err := b.Append(t.Context(), log, []byte(event), keepAll)
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				positions[i][event] = at
			}
		})
		if i%6 > 0 {
			continue
		}
		wg.Go(func() {
			var seen []byte
			for range additions {
				for done := false; !done; {
					count, _, _ := strings.Cut(string(seen), " ")
					sum, _ := strconv.Atoi(count)
					next := fmt.Sprint(sum+1, " ", i, " ", rand.Uint64()) // nobody else's
					value, err := b.Swap(t.Context(), cell, seen, []byte(next), time.Minute)
					if err != nil {
						t.Errorf("swap: %v", err)
						return
					}
					done, seen = string(value) == next, value
				}
			}
		})
	}
	wg.Wait()
	l.on.Store(false)
	if l.lost.Load() < 20 {
		t.Errorf("only %d replies were lost", l.lost.Load())
	}
	t.Logf("%d replies were lost", l.lost.Load())

	found := make(map[string]int)
	for after, more := mcpsession.Position(0), true; more; {
		page, err := brokers[0].Read(t.Context(), log, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			after = e.Position
			found[string(e.Data)]++
			var caller, n int
			if _, err := fmt.Sscan(string(e.Data), &caller, &n); err != nil {
				t.Fatal(err)
			}
			if positions[caller][string(e.Data)] != e.Position {
				t.Errorf("event %q is at %d, Append said %d", e.Data, e.Position, positions[caller][string(e.Data)])
			}
		}
		more = len(page.Events) > 0
	}
	for i := range callers {
		for event := range positions[i] {
			if found[event] != 1 {
				t.Errorf("event %q is in the log %d times", event, found[event])
			}
		}
	}
	value, err := brokers[0].Swap(t.Context(), cell, nil, nil, 0)
	if want := fmt.Sprint(callers/6*additions, " "); err != nil || !strings.HasPrefix(string(value), want) {
		t.Errorf("the cell is %q, %v, want %s", value, err, want)
	}
}
