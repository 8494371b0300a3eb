package transport

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// deathNoticed is how long it may take until a client learns that the replica
// which ran its call was killed.
const deathNoticed = 15 * time.Second

// wantDeath waits for the error that answers a call whose replica was killed.
func wantDeath(t *testing.T, s *mcptest.Stream, id string, seen int, killed time.Time) {
	t.Helper()
	final, before := s.Until(id)
	s.WantEnd()
	for i, m := range before {
		wantProgress(t, []mcptest.Message{m}, seen+1+i, seen+1+i)
	}
	if final.Error == nil || final.Error.Code == 0 || final.Error.Message == "" {
		t.Errorf("the call ends with %s, want an error", final.Raw)
	}
	if took := time.Since(killed); took > deathNoticed {
		t.Errorf("the call ends %v after its replica", took)
	}
	if more := s.Arrived(); len(more) > 0 {
		t.Errorf("after the error comes %s", more[0].Raw)
	}
}

func TestACallWhoseReplicaIsKilledEndsWithAnError(t *testing.T) {
	t.Parallel()
	f := startReplicas(t)
	s := f.Begin(t, f.B, latest, mcptest.NoCapabilities)
	old := f.Begin(t, f.B, v20250618, mcptest.NoCapabilities)
	reports, reportsID := s.Start(f.A, "multi_notify", `{"n":600,"gapms":100}`)
	oldReports, oldID := old.Start(f.A, "multi_notify", `{"n":600,"gapms":100}`)
	silent := s.Post(f.A, mcptest.CallText(`"a string"`, "slow", `{"ms":60000}`))
	early := s.Post(f.A, mcptest.CallText("77", "slow", `{"ms":60000}`))

	reports.Stream.Next()
	second := reports.Stream.Next().EventID
	oldFirst := oldReports.Stream.Next().EventID
	silentID, earlyID := primed(t, silent.Stream), primed(t, early.Stream)
	early.Stream.Break()
	var resumedEarly []*mcptest.Stream // before the replica is killed, whose death all of them notice
	for range 4 {
		resumedEarly = append(resumedEarly, s.Listen(f.B, earlyID), s.Listen(f.C, earlyID))
	}
	for _, stream := range resumedEarly {
		primed(t, stream)
	}

	f.Replica(f.A).Kill()
	killed := time.Now()
	for _, broken := range []*mcptest.Stream{reports.Stream, oldReports.Stream, silent.Stream} {
		<-broken.Ended()
	}
	resumedSilent, resumedReports := s.Listen(f.B, silentID), s.Listen(f.C, second)
	resumedOld := old.Listen(f.B, oldFirst)
	wantDeath(t, resumedSilent, `"a string"`, 0, killed)
	wantDeath(t, resumedReports, reportsID, 2, killed)
	wantDeath(t, resumedOld, oldID, 1, killed)
	for _, stream := range resumedEarly {
		wantDeath(t, stream, "77", 0, killed)
	}

	// It is the answer: it does not change, and nothing comes after it.
	again := s.Listen(f.B, earlyID)
	wantDeath(t, again, "77", 0, killed)
	for _, answered := range append(resumedEarly, again) {
		nothing := s.Listen(f.C, answered.LastID())
		nothing.WantEnd()
		if more := nothing.Arrived(); len(more) > 0 {
			t.Errorf("after the error comes %s", more[0].Raw)
		}
	}
	if got := s.Call(f.C, "slow", `{"ms":1}`); got != "done C" {
		t.Errorf("afterwards slow answers %q", got)
	}
}

func TestAnIdleStreamInheritsFromAKilledReplica(t *testing.T) {
	t.Parallel()
	f := startReplicas(t)
	s := f.Begin(t, f.B, latest, mcptest.NoCapabilities)
	n := f.notices(t, s)
	first := s.Listen(f.A, "")
	n.sendFrom(f.B)
	messages := []mcptest.Message{first.Next()} // so this is the one that delivers
	last := messages[0].EventID
	second := s.Listen(f.B, "")
	primed(t, second)
	for range 5 {
		n.sendFrom(f.C)
	}
	f.Replica(f.A).Kill()
	killed := time.Now()
	<-first.Ended()
	messages = append(messages, first.Arrived()...)
	if len(messages) > 1 {
		last = messages[len(messages)-1].EventID
	}
	for range 5 {
		n.sendFrom(f.C)
	}
	// What the dead replica had not taken yet is the second stream's, as all that
	// was sent later. What it had taken is there when the first one resumes.
	messages = append(messages, second.Next())
	if took := time.Since(killed); took > deathNoticed {
		t.Errorf("the second stream inherits %v after the death of the first", took)
	}
	resumed := s.Listen(f.C, last)
	messages = collect(t, soon, n.count(), messages, second, resumed)
	resumed.Quiet(100 * time.Millisecond)
	second.Quiet(10 * time.Millisecond)
	broadcasts, specific := byKind(t, messages)
	slices.Sort(specific) // the streams were read one after the other
	slices.Sort(n.specific)
	if !slices.Equal(broadcasts, n.broadcasts) || !slices.Equal(specific, n.specific) {
		t.Errorf("arrived are %v and %v, sent were %v and %v", broadcasts, specific, n.broadcasts, n.specific)
	}

	n.sendFrom(f.B)
	second.Next()
}

// client is one that comes back wherever it can, and never gives up.
type client struct {
	t    *testing.T
	s    *mcptest.Session
	mu   sync.Mutex
	urls []string
	next int
}

func (c *client) replace(i int, url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.urls[i] = url
}

func (c *client) url() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return c.urls[c.next%len(c.urls)]
}

// call calls a tool on any replica that accepts the connection, and returns all
// messages that belong to the call.
func (c *client) call(ctx context.Context, body, id string) []mcptest.Message {
	for ctx.Err() == nil {
		a, err := c.s.TryPost(ctx, c.url(), body)
		if err != nil { // refused, so it was not carried out
			continue
		}
		if a.Stream == nil {
			if a.Status != http.StatusOK {
				c.t.Errorf("a call is answered %d: %s", a.Status, a.Body)
				return nil
			}
			return []mcptest.Message{a.Only()}
		}
		var all []mcptest.Message
		c.follow(ctx, a.Stream, func(m mcptest.Message) bool {
			all = append(all, m)
			return string(m.ID) != id
		})
		return all
	}
	return nil
}

// follow hands over messages until take has enough, however often the stream ends
// before.
func (c *client) follow(ctx context.Context, stream *mcptest.Stream, take func(mcptest.Message) bool) {
	last := ""
	for ctx.Err() == nil {
		if stream == nil {
			resumed, a, err := c.s.Dial(ctx, c.url(), last)
			switch {
			case err != nil:
				continue
			case resumed == nil:
				c.t.Errorf("a GET is answered %d: %s", a.Status, a.Body)
				return
			}
			stream = resumed
		}
		more := true
		for more {
			var m mcptest.Message
			if m, more = stream.Wait(ctx); more && !take(m) {
				return
			}
		}
		if id := stream.LastID(); id != "" {
			last = id
		}
		stream = nil
	}
}

// All replicas are stopped and replaced one after the other, under a client that
// comes back whenever a stream ends.
func TestARollingRestartLosesNothing(t *testing.T) {
	t.Parallel()
	f := startReplicas(t)
	s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
	other := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
	mine := &client{t: t, s: s, urls: []string{f.A, f.B, f.C}}
	sender := &client{t: t, s: other, urls: []string{f.A, f.B, f.C}}
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	var running sync.WaitGroup

	var got []mcptest.Message
	listening, endListening := context.WithCancel(ctx)
	first := s.Listen(f.A, "")
	primed(t, first)
	var mu sync.Mutex
	running.Go(func() {
		mine.follow(listening, first, func(m mcptest.Message) bool {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, m)
			return true
		})
	})

	restarting, restarted := context.WithCancel(ctx)
	var sent atomic.Int64
	running.Go(func() { // notifications, all the time
		for restarting.Err() == nil {
			n := sent.Add(1)
			id := fmt.Sprint(1_000_000 + n)
			sender.call(ctx, mcptest.CallText(id, "broadcast", fmt.Sprintf(`{"n":%d}`, n)), id)
			time.Sleep(20 * time.Millisecond) // the rate, not a wait
		}
	})
	for i := range 3 { // and calls that are always under way
		running.Go(func() {
			for n := 0; restarting.Err() == nil; n++ {
				id := fmt.Sprint(1000*(i+1) + n)
				all := mine.call(ctx, mcptest.CallText(id, "multi_notify", `{"n":20,"gapms":40}`), id)
				if len(all) != 21 || all[20].Error != nil {
					t.Errorf("call %s: %d messages arrive, want 21", id, len(all))
					continue
				}
				wantProgress(t, all[:20], 1, 20)
			}
		})
	}
	for i, name := range []string{"A", "B", "C"} {
		fresh := replica.StartEverything(t, name, "REDIS_URL="+f.Redis.URL())
		old := f.Replicas[i]
		if code := old.Stop(); code != 0 {
			t.Errorf("replica %s stops with exit code %d", name, code)
		}
		f.Replicas[i] = fresh
		mine.replace(i, fresh.URL()+"/mcp")
		sender.replace(i, fresh.URL()+"/mcp")
	}
	restarted()
	eventually(t, func() error {
		mu.Lock()
		defer mu.Unlock()
		if n := sent.Load(); int64(len(got)) < n {
			return fmt.Errorf("%d of %d broadcasts have arrived", len(got), n)
		}
		return nil
	})
	endListening()
	running.Wait()
	var want []string
	for n := range sent.Load() {
		want = append(want, fmt.Sprint(n+1))
	}
	if broadcasts, _ := byKind(t, got); !slices.Equal(broadcasts, want) {
		t.Errorf("of %d broadcasts arrive %v", sent.Load(), broadcasts)
	}
	t.Logf("%d broadcasts", sent.Load())
}
