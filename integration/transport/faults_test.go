package transport

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	fleets "github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redisproxy"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// late bounds what is found without a wake-up: a replica reads the fleet log at
// least every 15 seconds, and a stream looks at every beat.
const late = 30 * time.Second

// startBehindProxies starts three replicas, each of which reaches Redis through a
// network of its own.
func startBehindProxies(t *testing.T, env ...string) (f *fleet, proxies []*redisproxy.Proxy) {
	t.Helper()
	f = &fleet{&fleets.Fleet{Redis: redistest.Start(t)}}
	f.Start(t, func(string) string {
		proxies = append(proxies, redisproxy.Start(t, f.Redis.Addr()))
		return proxies[len(proxies)-1].URL()
	}, env...)
	return f, proxies
}

// startOn starts three replicas on one server.
func startOn(t *testing.T, redis *redistest.Server, env ...string) *fleet {
	t.Helper()
	f := &fleet{&fleets.Fleet{Redis: redis}}
	f.Start(t, func(string) string { return redis.URL() }, env...)
	return f
}

// collect adds messages of streams to those that arrived, until there are n or it
// took too long.
func collect(t testing.TB, within time.Duration, n int, messages []mcptest.Message, streams ...*mcptest.Stream) []mcptest.Message {
	t.Helper()
	err := poll.Until(within, func() error {
		for _, s := range streams {
			messages = append(messages, s.Arrived()...)
		}
		if len(messages) < n {
			return fmt.Errorf("%d of %d messages have arrived", len(messages), n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return messages
}

func TestLostWakeUpsDelayMessagesAndLoseNone(t *testing.T) {
	t.Parallel()
	f, proxies := startBehindProxies(t, "SESSION_IDLE_TIMEOUT=12s") // a beat is a third of that
	s := f.Begin(t, f.A, latest, mcptest.AllCapabilities)
	n := f.notices(t, s)
	stream := s.Listen(f.A, "")
	n.sendFrom(f.B)
	messages := []mcptest.Message{stream.Next()} // so it delivers

	reports, reportsID := s.Start(f.B, "multi_notify", `{"n":10,"gapms":200}`)
	reportsLast := primed(t, reports.Stream)
	reports.Stream.Break()
	proxies[0].Deafen()
	resumed := s.Listen(f.A, reportsLast)
	question, questionID := s.Start(f.A, "roots", `{}`)
	asked := question.Stream.NextOf("roots/list")
	cancelled := s.Post(f.A, mcptest.CallText("4711", "slow", `{"ms":60000}`))
	primed(t, cancelled.Stream)

	if a := s.Post(f.B, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"roots":[{"uri":"file:///a"}]}}`, asked.ID)); a.Status != http.StatusAccepted {
		t.Errorf("the answer is answered %d: %s", a.Status, a.Body)
	}
	s.Post(f.C, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4711}}`)
	for range 4 {
		n.sendFrom(f.B)
		n.sendFrom(f.C)
	}
	if final, _ := question.Stream.Until(questionID); final.Text(t) != "roots 1" {
		t.Errorf("the question ends with %s", final.Raw)
	}
	final, before := resumed.Until(reportsID)
	wantProgress(t, before, 1, 10)
	if final.Text(t) != "multi done B" {
		t.Errorf("the call ends with %s", final.Raw)
	}
	messages = collect(t, late, n.count(), messages, stream)
	n.want(t, messages)
	select {
	case <-cancelled.Stream.Ended():
	case <-time.After(late):
		t.Errorf("the call goes on %v after it was cancelled", late)
	}
	if got := s.Call(f.A, "cancel_count", `{}`); got != "1" {
		t.Errorf("%s calls were cancelled, want 1", got)
	}
	if vanished := proxies[0].Vanished(); vanished < 5 {
		t.Errorf("%d wake-ups vanished: nothing was tested", vanished)
	}

	proxies[0].Hear()
	n.sendFrom(f.B)
	messages = collect(t, soon, n.count(), messages, stream)
	proxies[0].Deafen()
	if status := s.Delete(f.B); status != http.StatusOK {
		t.Errorf("DELETE is answered %d", status)
	}
	select {
	case <-stream.Ended():
	case <-time.After(late):
		t.Errorf("the stream is open %v after its session ended", late)
	}
	n.want(t, append(messages, stream.Arrived()...))
}

func TestCutConnectionsLoseNothing(t *testing.T) {
	t.Parallel()
	f, proxies := startBehindProxies(t)
	s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
	n := f.notices(t, s)
	first := s.Listen(f.A, "")
	n.sendFrom(f.B)
	messages := []mcptest.Message{first.Next()}
	second := s.Listen(f.B, "")
	a, id := s.Start(f.A, "multi_notify", `{"n":30,"gapms":100}`)
	b, idB := s.Start(f.B, "multi_notify", `{"n":30,"gapms":100}`)
	last := primed(t, b.Stream)
	b.Stream.Break()
	resumed := s.Listen(f.A, last)

	cutting, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; cutting.Err() == nil; i++ {
			select {
			case <-time.After(150 * time.Millisecond): // the rate of the cuts
			case <-cutting.Done():
			}
			proxies[i%2].Cut() // A and B; C sends
		}
	})
	for range 30 {
		n.sendFrom(f.C)
	}
	final, before := a.Final(id)
	wantProgress(t, before, 1, 30)
	if final.Text(t) != "multi done A" {
		t.Errorf("the call on A ends with %s", final.Raw)
	}
	final, before = resumed.Until(idB)
	wantProgress(t, before, 1, 30)
	if final.Text(t) != "multi done B" {
		t.Errorf("the call on B ends with %s", final.Raw)
	}
	stop()
	running.Wait()
	n.sendFrom(f.C)
	messages = collect(t, late, n.count(), messages, first, second)
	first.Quiet(200 * time.Millisecond)
	second.Quiet(10 * time.Millisecond)
	n.want(t, messages)
}

// The server closes the connection on which wake-ups come, again and again.
func TestACutWakeUpConnectionDelaysLittle(t *testing.T) {
	t.Parallel()
	f := startReplicas(t)
	redis := f.Redis.Client()
	s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
	n := f.notices(t, s)
	stream := s.Listen(f.A, "")
	n.sendFrom(f.B)
	messages := []mcptest.Message{stream.Next()}
	for i := range 20 {
		if killed, err := redis.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result(); err != nil || i == 0 && killed == 0 {
			t.Fatalf("%d connections closed: %v", killed, err)
		}
		n.sendFrom(f.B)
	}
	// Each connection that is made again says that something may have been missed.
	messages = collect(t, 5*time.Second, n.count(), messages, stream)
	stream.Quiet(100 * time.Millisecond)
	n.want(t, messages)
}

func TestAStalledNetworkDelaysAndLosesNothing(t *testing.T) {
	t.Parallel()
	f, proxies := startBehindProxies(t)
	s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
	n := f.notices(t, s)
	stream := s.Listen(f.A, "")
	n.sendFrom(f.B)
	messages := []mcptest.Message{stream.Next()}
	a, id := s.Start(f.A, "multi_notify", `{"n":5,"gapms":300}`)
	a.Stream.Next()

	proxies[0].Stall()
	wantUnavailable(t, s, f.A)
	for range 3 {
		n.sendFrom(f.B)
	}
	if got := s.Call(f.C, "whoami", `{}`); got == "" {
		t.Error("on another replica the session does not work")
	}
	proxies[0].Flow()
	final, before := a.Final(id)
	wantProgress(t, before, 2, 5)
	if final.Text(t) != "multi done A" {
		t.Errorf("the call ends with %s", final.Raw)
	}
	n.sendFrom(f.C)
	messages = collect(t, late, n.count(), messages, stream)
	stream.Quiet(100 * time.Millisecond)
	n.want(t, messages)
	eventually(t, func() error { return wantAvailable(s, f.A) })
}

func TestASlowNetworkChangesNothing(t *testing.T) {
	t.Parallel()
	f, proxies := startBehindProxies(t)
	for _, p := range proxies {
		p.Slow(60*time.Millisecond, 40*time.Millisecond)
	}
	s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
	n := f.notices(t, s)
	stream := s.Listen(f.A, "")
	a, id := s.Start(f.A, "multi_notify", `{"n":10,"gapms":0}`)
	final, before := a.Final(id)
	wantProgress(t, before, 1, 10)
	resumed := s.Listen(f.B, before[3].EventID)
	again, rest := resumed.Until(id)
	wantProgress(t, rest, 5, 10)
	if final.Text(t) != "multi done A" || again.Text(t) != "multi done A" {
		t.Errorf("the call ends with %s, and resumed with %s", final.Raw, again.Raw)
	}
	for range 5 {
		n.send()
	}
	messages := collect(t, soon, 5, nil, stream)
	last := stream.Break()
	n.send()
	stream = s.Listen(f.C, last)
	n.send()
	messages = collect(t, soon, n.count(), messages, stream)
	stream.Quiet(200 * time.Millisecond)
	n.want(t, messages)
}
