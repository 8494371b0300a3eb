package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/redis/go-redis/v9"
)

// distant makes the server answer after a while, and counts what is written to
// it: a round trip each.
func distant(o redis.Options, after time.Duration, trips *atomic.Int64) redis.Options {
	near := o.Dialer
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := near(ctx, network, addr)
		return &distantConn{c, after, trips}, err
	}
	return o
}

type distantConn struct {
	net.Conn
	after time.Duration
	trips *atomic.Int64
}

func (c *distantConn) Write(b []byte) (int, error) {
	c.trips.Add(1)
	time.Sleep(c.after) // a bubble's time: exact
	return c.Conn.Write(b)
}

// someSessions creates sessions, each with a project of its own.
func someSessions(t *testing.T, store *redisstore.Store, n int) []mcpsession.ID {
	t.Helper()
	ids := make([]mcpsession.ID, n)
	for i := range ids {
		ids[i] = mcpsession.NewSessionID()
		if _, err := store.Create(t.Context(), ids[i], mcpsession.Session{ProjectID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// atOnce runs n functions at once and waits for all.
func atOnce(n int, run func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { run(i) })
	}
	all.Wait()
}

// wantOwn gets all sessions at once, and expects each to be itself.
func wantOwn(t *testing.T, store *redisstore.Store, ids []mcpsession.ID) {
	t.Helper()
	atOnce(len(ids), func(i int) {
		s, err := store.Get(t.Context(), ids[i])
		if err != nil || s.ProjectID != fmt.Sprint(i) {
			t.Errorf("session %d is that of project %q, %v", i, s.ProjectID, err)
		}
	})
}

// opened opens a store for a test in a bubble.
func opened(t *testing.T, o redis.Options) *redisstore.Store {
	t.Helper()
	client := redis.NewClient(&o)
	t.Cleanup(func() { client.Close() })
	store, err := redisstore.New(t.Context(), client, defaults())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestManyCallersShareRoundTripsAndNobodyWaitsLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const there = 2400 * time.Microsecond
		var trips atomic.Int64
		o := distant(onMiniredis(t), there, &trips)
		o.PipelinePoolSize = 20
		client := redis.NewClient(&o)
		defer client.Close()
		store, err := redisstore.New(t.Context(), client, defaults())
		if err != nil {
			t.Fatal(err)
		}
		ids := someSessions(t, store, 100)
		atOnce(o.PipelinePoolSize, func(int) { // connects, more often than needed below
			if _, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error { return p.Ping(t.Context()).Err() }); err != nil {
				t.Error(err)
			}
		})
		trips.Store(0)
		atOnce(len(ids), func(i int) {
			time.Sleep(time.Duration(i) * 20 * time.Microsecond)
			began := time.Now()
			if _, err := store.Get(t.Context(), ids[i]); err != nil {
				t.Error(err)
			}
			// Beside the round trip, a command waits for 200 us at most.
			if took := time.Since(began); took > there+200*time.Microsecond {
				t.Errorf("a Get took %v of a server that answers after %v", took, there)
			}
		})
		// 2 ms of calls, one round trip for each 200 us of them, and the first.
		if n := trips.Load(); n > 11 {
			t.Errorf("100 calls within 2 ms made %d round trips, want 11 at most", n)
		}
	})
}

func TestASingleCallerDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var trips atomic.Int64
		store := opened(t, distant(onMiniredis(t), time.Millisecond, &trips))
		ids := someSessions(t, store, 10)
		trips.Store(0)
		began := time.Now()
		for _, id := range ids {
			if _, err := store.Get(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 10*time.Millisecond || trips.Load() != 10 {
			t.Errorf("10 Gets took %v and %d round trips, want 10 ms and 10", took, trips.Load())
		}
	})
}

func TestCallersWhoShareARoundTripHaveOutcomesOfTheirOwn(t *testing.T) {
	m := miniredis.RunT(t)
	store := opened(t, redis.Options{Addr: m.Addr()})
	ids := someSessions(t, store, 100)
	other := opened(t, redis.Options{Addr: m.Addr()}) // which runs the script, having touched none
	m.Set(sessionKey(t, m, ids[7]), "no session")
	atOnce(2*len(ids), func(i int) {
		store := []*redisstore.Store{store, other}[i%2]
		i /= 2
		id := ids[i]
		if i == 8 {
			id = mcpsession.NewSessionID()
		}
		s, err := store.Get(t.Context(), id)
		switch {
		case i == 7 && (err == nil || errors.Is(err, mcpsession.ErrNotFound) || errors.Is(err, mcpsession.ErrUnavailable)):
			t.Errorf("a damaged session is %v", err)
		case i == 8 && !errors.Is(err, mcpsession.ErrNotFound):
			t.Errorf("a session that never was is %v", err)
		case i != 7 && i != 8 && (err != nil || s.ProjectID != fmt.Sprint(i)):
			t.Errorf("session %d is that of project %q, %v", i, s.ProjectID, err)
		}
	})
}

func TestManyCallersWorkAfterTheServerForgotItsScripts(t *testing.T) {
	m := miniredis.RunT(t)
	ids := someSessions(t, opened(t, redis.Options{Addr: m.Addr()}), 100)
	store := opened(t, redis.Options{Addr: m.Addr()})
	if err := redis.NewClient(&redis.Options{Addr: m.Addr()}).ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	wantOwn(t, store, ids)
}

func TestADeadlineEndsTheWaitForOthers(t *testing.T) {
	m := miniredis.RunT(t)
	store, err := redisstore.Open(t.Context(), "redis://"+m.Addr(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ids := someSessions(t, store, 50)
	frozen := make(chan struct{})
	m.Server().SetPreHook(func(*server.Peer, string, ...string) bool {
		<-frozen
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	atOnce(len(ids), func(i int) {
		_, err := store.Get(ctx, ids[i])
		if !errors.Is(err, mcpsession.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Get of a server that does not answer is %v, want ErrUnavailable for its deadline", err)
		}
	})
	if deadline, _ := ctx.Deadline(); time.Since(deadline) > time.Second {
		t.Errorf("the last Get ended %v after its deadline", time.Since(deadline))
	}
	cancelled, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	atOnce(len(ids), func(i int) {
		_, err := store.Get(cancelled, ids[i])
		if !errors.Is(err, context.Canceled) || errors.Is(err, mcpsession.ErrUnavailable) {
			t.Errorf("a Get that is cancelled is %v, want nothing but that", err)
		}
	})
	m.Server().SetPreHook(nil)
	close(frozen)
	wantOwn(t, store, ids)
}

func TestACommandOfACallerWhoGaveUpIsNotSent(t *testing.T) {
	m := miniredis.RunT(t)
	store, err := redisstore.Open(t.Context(), "redis://"+m.Addr(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ids := someSessions(t, store, 20)
	ended, end := context.WithCancel(t.Context())
	end()
	thaw := make(chan struct{})
	held := make(chan struct{})
	var once sync.Once
	m.Server().SetPreHook(func(*server.Peer, string, ...string) bool {
		once.Do(func() { close(held) })
		<-thaw
		return false
	})
	var first sync.WaitGroup
	first.Go(func() { _, _ = store.Get(t.Context(), ids[0]) }) // is under way
	<-held
	waiting, giveUp := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i, id := range ids {
		ctx := ended
		if i%2 == 0 {
			ctx = waiting
		}
		all.Go(func() {
			if err := store.Delete(ctx, id); !errors.Is(err, context.Canceled) {
				t.Errorf("a Delete that is cancelled is %v", err)
			}
		})
	}
	giveUp()
	all.Wait()
	m.Server().SetPreHook(nil)
	close(thaw)
	first.Wait()
	// What had left before its caller gave up may have been done; the others not.
	for i := 1; i < len(ids); i += 2 {
		if _, err := store.Get(t.Context(), ids[i]); err != nil {
			t.Errorf("a session whose Delete was cancelled before it began is %v", err)
		}
	}
}

func TestAFrozenServerHoldsFewGoroutines(t *testing.T) {
	m := miniredis.RunT(t)
	store, err := redisstore.Open(t.Context(), "redis://"+m.Addr(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ids := someSessions(t, store, 2000)
	thaw := make(chan struct{})
	m.Server().SetPreHook(func(*server.Peer, string, ...string) bool {
		<-thaw
		return false
	})
	before := runtime.NumGoroutine()
	atOnce(len(ids), func(i int) {
		time.Sleep(time.Duration(i) * 100 * time.Microsecond)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := store.Get(ctx, ids[i]); !errors.Is(err, mcpsession.ErrUnavailable) {
			t.Errorf("a Get of a frozen server is %v", err)
		}
	})
	// A round trip has up to three goroutines here, with the server's.
	if now := runtime.NumGoroutine(); now > before+300 {
		t.Errorf("%d goroutines are left, of %d before", now, before)
	}
	m.Server().SetPreHook(nil)
	close(thaw)
	wantOwn(t, store, ids)
}
