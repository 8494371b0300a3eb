package transport

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/realbalancer"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// onBalancers runs a test behind HAProxy and behind nginx, configured as in
// deploy/.
func onBalancers(t *testing.T, start func(*testing.T) *fleet, test func(t *testing.T, f *fleet, url string)) {
	t.Helper()
	t.Parallel()
	for _, name := range []string{realbalancer.HAProxy, realbalancer.Nginx} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			var addrs []string
			for _, r := range f.Replicas {
				addrs = append(addrs, r.Addr())
			}
			test(t, f, realbalancer.Start(t, name, addrs...).URL()+"/mcp")
		})
	}
}

func common(*testing.T) *fleet { return &fleet{quiet.Replicas()} }

// punctual is how late an event may be.
const punctual = 80 * time.Millisecond

// punctually repeats an attempt that a busy machine can spoil. Whatever holds
// events back does so each time.
func punctually(t *testing.T, try func() error) {
	t.Helper()
	var err error
	for range 5 {
		if err = try(); err == nil {
			return
		}
		t.Log(err)
	}
	t.Error(err)
}

func TestEventsPassRealBalancersWithoutDelay(t *testing.T) {
	onBalancers(t, common, func(t *testing.T, f *fleet, url string) {
		const n, gap = 10, 100 * time.Millisecond
		begin := func(t *testing.T) *mcptest.Session { return f.Begin(t, url, latest, mcptest.NoCapabilities) }
		// spaced reads the reports of multi_notify from a stream.
		spaced := func(t *testing.T, stream *mcptest.Stream, id string, first int) error {
			var last time.Time
			for i := first; i <= n; i++ {
				m := stream.Next()
				wantProgress(t, []mcptest.Message{m}, i, i)
				now := time.Now()
				if since := now.Sub(last); i > first && (since < gap-punctual || since > gap+punctual) {
					stream.Break()
					return fmt.Errorf("report %d arrives %v after the one before, sent was it %v after", i, since, gap)
				}
				last = now
			}
			if m := stream.Next(); string(m.ID) != id || time.Since(last) > punctual {
				return fmt.Errorf("%v after the last report comes %s", time.Since(last), m.Raw)
			}
			return nil
		}
		t.Run("of a call", func(t *testing.T) {
			s := begin(t)
			punctually(t, func() error {
				a, id := s.Start(url, "multi_notify", fmt.Sprintf(`{"n":%d,"gapms":%d}`, n, gap.Milliseconds()))
				return spaced(t, a.Stream, id, 1)
			})
		})
		t.Run("of a resumed call", func(t *testing.T) {
			s := begin(t)
			punctually(t, func() error {
				a, id := s.Start(url, "multi_notify", fmt.Sprintf(`{"n":%d,"gapms":%d}`, n, gap.Milliseconds()))
				last := a.Stream.Next().EventID
				a.Stream.Break()
				return spaced(t, s.Listen(url, last), id, 2)
			})
		})
		t.Run("of a GET stream", func(t *testing.T) {
			by := begin(t)
			punctually(t, func() error {
				s := begin(t)
				stream := s.Listen(url, "")
				defer stream.Break()
				by.Call(url, "notify_session", fmt.Sprintf(`{"sid":%q}`, s.Token))
				stream.NextOf("notifications/test_specific") // it delivers
				for i := range n {
					sent := time.Now()
					by.Call(url, "notify_session", fmt.Sprintf(`{"sid":%q}`, s.Token))
					stream.NextOf("notifications/test_specific")
					if took := time.Since(sent); took > punctual {
						return fmt.Errorf("notification %d arrives after %v", i, took)
					}
				}
				return nil
			})
		})
	})
}

func TestRealBalancersSendEachRequestElsewhere(t *testing.T) {
	onBalancers(t, common, func(t *testing.T, f *fleet, url string) {
		s := f.Begin(t, url, latest, mcptest.AllCapabilities)
		by := map[string]int{}
		for range 9 {
			by[s.Call(url, "slow", `{"ms":0}`)]++
		}
		if len(by) != 3 {
			t.Errorf("the calls of one client are answered by %v", by)
		}

		// A question, answered on whichever replica.
		a, id := s.Start(url, "roots", `{}`)
		question := a.Stream.NextOf("roots/list")
		if a := s.Post(url, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"roots":[]}}`, question.ID)); a.Status != http.StatusAccepted {
			t.Errorf("the answer is answered %d: %s", a.Status, a.Body)
		}
		if final, _ := a.Stream.Until(id); final.Text(t) != "roots 0" {
			t.Errorf("the question ends with %s", final.Raw)
		}

		stream := s.Listen(url, "")
		if status := s.Delete(url); status != http.StatusOK {
			t.Errorf("DELETE is answered %d", status)
		}
		stream.WantEnd()
		for range 3 {
			if a := s.Post(url, mcptest.RequestText("9", "ping", "")); a.Status != http.StatusNotFound {
				t.Errorf("after DELETE comes %d", a.Status)
			}
		}
	})
}

func TestStreamsAreResumedThroughRealBalancers(t *testing.T) {
	onBalancers(t, func(t *testing.T) *fleet { return startReplicas(t) }, func(t *testing.T, f *fleet, url string) {
		s := f.Begin(t, url, latest, mcptest.NoCapabilities)
		a, id := s.Start(url, "multi_notify", `{"n":30,"gapms":50}`)
		primed(t, a.Stream) // else there is nothing to resume from
		messages, last := breakAtRandom(a.Stream)
		for n := 0; len(messages) == 0 || string(messages[len(messages)-1].ID) != id; n++ {
			if n > 500 {
				t.Fatalf("after %d connections, %d messages have arrived", n, len(messages))
			}
			seen, to := breakAtRandom(s.Listen(url, last))
			if messages = append(messages, seen...); to != "" {
				last = to
			}
		}
		wantProgress(t, messages[:len(messages)-1], 1, 30)

		n := f.notices(t, s)
		stream := s.Listen(url, "")
		last = primed(t, stream)
		messages = nil
		for range 20 {
			n.send()
			seen, to := breakAtRandom(stream)
			if messages = append(messages, seen...); to != "" {
				last = to
			}
			stream = s.Listen(url, last)
		}
		messages = collect(t, soon, n.count(), messages, stream)
		n.want(t, messages)

		// A replica dies. Its call ends with an error, all else goes on.
		call, id := s.Start(url, "multi_notify", `{"n":600,"gapms":100}`)
		last = call.Stream.Next().EventID
		dead := f.answered(t, call)
		dead.Kill()
		killed := time.Now()
		<-call.Stream.Ended()
		by := map[string]int{}
		for range 6 {
			by[s.Call(url, "slow", `{"ms":0}`)]++
		}
		if len(by) != 2 {
			t.Errorf("with one replica dead, calls are answered by %v", by)
		}
		wantDeath(t, s.Listen(url, last), id, 1, killed)
	})
}

// answered is the replica that a balancer says has answered.
func (f *fleet) answered(t *testing.T, a *mcptest.Answer) *replica.Replica {
	t.Helper()
	by := a.Header.Get("X-Replica")
	for i, r := range f.Replicas {
		if by == fmt.Sprintf("replica%d", i+1) || strings.HasSuffix(by, r.Addr()) {
			return r
		}
	}
	t.Fatalf("the answer comes from %q", by)
	return nil
}
