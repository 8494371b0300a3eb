package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redisproxy"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// late bounds what is found without a wake-up: a replica reads the fleet log at
// least every 15 seconds, and a stream looks at every beat.
const late = 30 * time.Second

// startBehindProxies starts three replicas, each of which reaches Redis through a
// network of its own.
func startBehindProxies(t *testing.T, env ...string) (f *fleet, proxies []*redisproxy.Proxy) {
	t.Helper()
	f = &fleet{Redis: redistest.Start(t)}
	f.start(t, func(string) string {
		proxies = append(proxies, redisproxy.Start(t, f.Redis.Addr()))
		return proxies[len(proxies)-1].URL()
	}, env...)
	return f, proxies
}

// startOn starts three replicas on one server.
func startOn(t *testing.T, redis *redistest.Server, env ...string) *fleet {
	t.Helper()
	f := &fleet{Redis: redis}
	f.start(t, func(string) string { return redis.URL() }, env...)
	return f
}

// start starts the replicas, each with the Redis URL of its name.
func (f *fleet) start(t *testing.T, redis func(name string) string, env ...string) {
	t.Helper()
	for _, endpoint := range []struct {
		name string
		url  *string
	}{{"A", &f.A}, {"B", &f.B}, {"C", &f.C}} {
		r := replica.StartEverything(t, endpoint.name, append([]string{"REDIS_URL=" + redis(endpoint.name)}, env...)...)
		f.Replicas = append(f.Replicas, r)
		*endpoint.url = r.URL() + "/mcp"
	}
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

// wantUnavailable fails the test unless every request to an endpoint is answered
// that it cannot be served now, and that the client should come again.
func wantUnavailable(t *testing.T, s *mcptest.Session, url string) {
	t.Helper()
	var all sync.WaitGroup
	check := func(what string, status int, header http.Header) {
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			t.Errorf("%s is answered %d with Retry-After %q, want 503", what, status, header.Get("Retry-After"))
		}
	}
	for what, body := range map[string]string{
		"a call":         mcptest.CallText("1", "whoami", `{}`),
		"a ping":         mcptest.RequestText("2", "ping", ""),
		"a notification": `{"jsonrpc":"2.0","method":"notifications/x"}`,
		"a response":     `{"jsonrpc":"2.0","id":"x","result":{}}`,
	} {
		all.Go(func() {
			a, err := s.TryPost(t.Context(), url, body)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			check(what, a.Status, a.Header)
		})
	}
	all.Go(func() {
		fresh := &mcptest.Session{T: t, Version: latest}
		a, err := fresh.TryPost(t.Context(), url, mcptest.RequestText("1", "initialize",
			`{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}`))
		if err != nil {
			t.Errorf("initialize: %v", err)
			return
		}
		check("initialize", a.Status, a.Header)
	})
	all.Go(func() {
		_, a, err := s.Dial(t.Context(), url, "")
		if err != nil {
			t.Errorf("GET: %v", err)
			return
		}
		check("GET", a.Status, a.Header)
	})
	all.Go(func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Mcp-Session-Id", s.Token)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Errorf("DELETE: %v", err)
			return
		}
		response.Body.Close()
		check("DELETE", response.StatusCode, response.Header)
	})
	all.Wait()
}

// wantAvailable returns an error unless a session works, and one that ends the
// wait if it does not exist any more.
func wantAvailable(s *mcptest.Session, url string) error {
	a, err := s.TryPost(s.T.Context(), url, mcptest.CallText(`"available"`, "whoami", `{}`))
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusServiceUnavailable:
		return errors.New("still 503")
	case a.Status != http.StatusOK:
		return poll.Stop(fmt.Errorf("%d %s", a.Status, a.Body))
	}
	return nil
}

func TestAnOutageOfRedisEndsNoSessionAndNoStream(t *testing.T) {
	t.Parallel()
	for _, outage := range []struct {
		name       string
		begin, end func(*redistest.Server)
	}{
		{"killed", (*redistest.Server).Kill, (*redistest.Server).Restart},
		{"frozen", (*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(outage.name, func(t *testing.T) {
			t.Parallel()
			f := startOn(t, redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always"))
			// Not f.Begin: a server that was started again is gone before the test's
			// first cleanups.
			s, other := mcptest.Begin(t, f.A, latest, mcptest.NoCapabilities), mcptest.Begin(t, f.B, v20250618, mcptest.NoCapabilities)
			n := &notices{f: f, by: mcptest.Begin(t, f.A, latest, mcptest.NoCapabilities), to: s}
			first, second, others := s.Listen(f.A, ""), s.Listen(f.C, ""), other.Listen(f.B, "")
			n.sendFrom(f.B)
			messages := collect(t, soon, 1, nil, first, second)

			kept := s.Post(f.B, mcptest.CallText("101", "slow", `{"ms":11000}`))
			reports := s.Post(f.C, mcptest.CallText("102", "multi_notify", `{"n":8,"gapms":700}`))
			moved := s.Post(f.C, mcptest.CallText("103", "slow", `{"ms":11000}`))
			lost := s.Post(f.B, mcptest.CallText("104", "slow", `{"ms":4000}`))
			movedID, lostID := primed(t, moved.Stream), primed(t, lost.Stream)
			moved.Stream.Break()
			lost.Stream.Break() // its answer comes during the outage, and nobody listens
			resumed := s.Listen(f.A, movedID)
			primed(t, resumed)

			outage.begin(f.Redis)
			began := time.Now()
			var all sync.WaitGroup
			for _, url := range []string{f.A, f.B, f.C} {
				all.Go(func() { wantUnavailable(t, s, url) })
				all.Go(func() { wantUnavailable(t, other, url) })
			}
			all.Wait()
			time.Sleep(time.Until(began.Add(6 * time.Second))) // so long that replicas are missed
			for name, stream := range map[string]*mcptest.Stream{
				"the delivering": first, "the idle": second, "another session's": others,
				"a call's": kept.Stream, "a resumed": resumed,
			} {
				select {
				case <-stream.Ended():
					t.Errorf("%s stream ends in the outage", name)
				default:
				}
			}
			outage.end(f.Redis)
			for _, url := range []string{f.A, f.B, f.C} {
				for _, one := range []*mcptest.Session{s, other, n.by} {
					if err := poll.Until(soon, func() error { return wantAvailable(one, url) }); err != nil {
						t.Errorf("after the outage, on %s: %v", f.Name(url), err)
					}
				}
			}
			for range 3 {
				n.sendFrom(f.A)
				n.sendFrom(f.B)
				n.sendFrom(f.C)
			}
			messages = collect(t, late, n.count(), messages, first, second)
			n.want(t, messages)
			theirs, _ := byKind(t, collect(t, late, len(n.broadcasts), nil, others))
			if !slices.Equal(theirs, n.broadcasts) {
				t.Errorf("another session gets the broadcasts %v, sent were %v", theirs, n.broadcasts)
			}

			final, before := reports.Final("102")
			wantProgress(t, before, 1, 8)
			for _, end := range []struct {
				what, want string
				message    func() mcptest.Message
			}{
				{"the call whose stream stayed open", "done B", func() mcptest.Message { m, _ := kept.Final("101"); return m }},
				{"the call that reported", "multi done C", func() mcptest.Message { return final }},
				{"the call that was resumed before", "done C", func() mcptest.Message { m, _ := resumed.Until("103"); return m }},
				{"the call that ended in the outage", "done B", func() mcptest.Message { m, _ := s.Listen(f.A, lostID).Until("104"); return m }},
			} {
				if m := end.message(); m.Text(t) != end.want {
					t.Errorf("%s ends with %s", end.what, m.Raw)
				}
			}
			first.Quiet(50 * time.Millisecond)
			second.Quiet(10 * time.Millisecond)
			if status := s.Delete(f.B); status != http.StatusOK {
				t.Errorf("DELETE is answered %d", status)
			}
			first.WantEnd()
			second.WantEnd()
			for _, url := range []string{f.A, f.B, f.C} {
				if a := s.Post(url, mcptest.RequestText("9", "ping", "")); a.Status != http.StatusNotFound {
					t.Errorf("after DELETE, %s answers %d", f.Name(url), a.Status)
				}
			}
		})
	}
}
