package transport

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// quietly is for how long nothing may arrive where nothing should.
const quietly = 300 * time.Millisecond

// notify has a replica notify a session.
func notify(t *testing.T, by *mcptest.Session, url string, to *mcptest.Session) {
	t.Helper()
	if got := by.Call(url, "notify_session", fmt.Sprintf(`{"sid":%q}`, to.Token)); got != "err=<nil>" {
		t.Fatalf("notify_session answers %q", got)
	}
}

// wantNotified waits for a message of notify, sent by the replica at url.
func wantNotified(t *testing.T, f *fleet, stream *mcptest.Stream, url string) {
	t.Helper()
	if m := stream.Next(); m.Method != "notifications/test_specific" || m.Param("from") != fmt.Sprintf("%q", f.Name(url)) {
		t.Errorf("sent by %s, the stream gets %s", f.Name(url), m.Raw)
	}
}

func TestANotificationReachesItsSessionWhereverTheStreamIs(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		sender := f.Begin(t, f.B, latest, mcptest.NoCapabilities)
		senders := sender.Listen(f.C, "")
		for _, version := range versions {
			for _, held := range []string{f.A, f.B, f.C} {
				s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
				stream := s.Listen(held, "")
				for _, url := range []string{f.A, f.B, f.C} {
					notify(t, sender, url, s)
					wantNotified(t, f, stream, url)
				}
			}
		}
		senders.Quiet(quietly) // it was for the other sessions
	})
}

func TestOfTwoStreamsOneGetsEachNotification(t *testing.T) {
	onLoudFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		other := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		streams := []*mcptest.Stream{s.Listen(f.A, ""), s.Listen(f.B, "")}
		const rounds = 10
		first := unique()
		for i := range rounds {
			for _, url := range []string{f.A, f.B, f.C} {
				notify(t, other, url, s)
			}
			other.Call(f.C, "broadcast", fmt.Sprintf(`{"n":%d}`, first+i))
		}
		specific := 0
		var broadcasts []int
		take := func(all []mcptest.Message) {
			for _, m := range all {
				if n := broadcastIn(m, first, rounds); n >= 0 {
					broadcasts = append(broadcasts, n)
				}
				if m.Method == "notifications/test_specific" {
					specific++
				}
			}
		}
		eventually(t, func() error {
			take(streams[0].Arrived())
			take(streams[1].Arrived())
			if specific < 3*rounds || len(broadcasts) < rounds {
				return fmt.Errorf("%d of %d notifications and the broadcasts %v have arrived", specific, 3*rounds, broadcasts)
			}
			return nil
		})
		time.Sleep(quietly) // in which a second one would come
		take(streams[0].Arrived())
		take(streams[1].Arrived())
		slices.Sort(broadcasts)
		if specific != 3*rounds || len(broadcasts) != rounds || broadcasts[rounds-1] != rounds-1 {
			t.Errorf("%d of %d notifications and the broadcasts %v arrive", specific, 3*rounds, broadcasts)
		}
	})
}

// unique returns a number that begins a range of the caller's own, for messages
// that all sessions get.
func unique() int {
	counter.Lock()
	defer counter.Unlock()
	counter.n += 1000
	return counter.n
}

var counter struct {
	sync.Mutex
	n int
}

// broadcastIn returns which of n broadcasts, whose numbers begin with first, a
// message is, or -1.
func broadcastIn(m mcptest.Message, first, n int) int {
	for i := range n {
		if m.Method == "notifications/test_broadcast" && m.Param("n") == fmt.Sprint(first+i) {
			return i
		}
	}
	return -1
}

func TestWithoutAStreamNotificationsWaitForTheNext(t *testing.T) {
	onLoudFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			other := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			first := unique()
			for i, url := range []string{f.A, f.B, f.C} {
				notify(t, other, url, s)
				other.Call(url, "broadcast", fmt.Sprintf(`{"n":%d}`, first+i))
			}
			stream := s.Listen(f.B, "")
			var from []string
			var numbers []int
			for len(from) < 3 || len(numbers) < 3 {
				switch m := stream.Next(); m.Method {
				case "notifications/test_specific":
					from = append(from, m.Param("from"))
				case "notifications/test_broadcast":
					if n := broadcastIn(m, first, 3); n >= 0 {
						numbers = append(numbers, n)
					}
				}
			}
			want := []string{`"` + f.Name(f.A) + `"`, `"` + f.Name(f.B) + `"`, `"` + f.Name(f.C) + `"`}
			if !slices.Equal(from, want) || !slices.Equal(numbers, []int{0, 1, 2}) {
				t.Errorf("%s: notifications come from %v, broadcasts are %v", version, from, numbers)
			}
			// They were delivered: another stream does not get them again.
			again := s.Listen(f.C, "")
			time.Sleep(quietly)
			for _, m := range append(again.Arrived(), stream.Arrived()...) {
				if m.Method == "notifications/test_specific" || broadcastIn(m, first, 3) >= 0 {
					t.Errorf("%s: twice arrives %s", version, m.Raw)
				}
			}
		}
	})
}

func TestWhatOneReplicaTellsAllReachesEverySession(t *testing.T) {
	onLoudFleets(t, func(t *testing.T, f *fleet) {
		sender := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		var streams []*mcptest.Stream
		for _, held := range []string{f.A, f.B, f.C} {
			for _, version := range versions {
				streams = append(streams, f.Begin(t, f.A, version, mcptest.NoCapabilities).Listen(held, ""))
			}
		}
		for i, url := range []string{f.A, f.B, f.C} {
			first := unique()
			sender.Call(url, "broadcast", fmt.Sprintf(`{"n":%d}`, first))
			for _, stream := range streams {
				for {
					m := stream.NextOf("notifications/test_broadcast")
					if m.Param("n") != fmt.Sprint(first) {
						continue // another test's
					}
					if m.Param("from") != fmt.Sprintf("%q", f.Name(url)) {
						t.Errorf("sent by %s, a stream gets %s", f.Name(url), m.Raw)
					}
					break
				}
			}
			tool := fmt.Sprintf("global_%d_%d", first, i)
			for _, stream := range streams {
				stream.Arrived()
			}
			if got := sender.Call(url, "add_global_tool", fmt.Sprintf(`{"name":%q}`, tool)); got != "ok" {
				t.Fatalf("add_global_tool answers %q", got)
			}
			for _, stream := range streams {
				stream.NextOf("notifications/tools/list_changed")
			}
			if !toolNames(sender, url)[tool] {
				t.Errorf("%s does not list the tool that was added to it", f.Name(url))
			}
		}
	})
}

func TestProgressComesOnItsRequestsStreamCompleteAndInOrder(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			get := s.Listen(f.B, "") // must not take any of it
			for _, size := range []struct{ n, gap int }{{1, 0}, {5, 20}, {1000, 0}} {
				for range 3 {
					a, id := s.Start(f.B, "multi_notify", fmt.Sprintf(`{"n":%d,"gapms":%d}`, size.n, size.gap))
					final, before := a.Final(id)
					a.Stream.WantEnd()
					if got := final.Text(t); got != "multi done "+f.Name(f.B) || len(before) != size.n {
						t.Errorf("%s: %d of %d messages come before %q", version, len(before), size.n, got)
					}
					for i, m := range before {
						if m.Method != "notifications/progress" || m.Param("progress") != fmt.Sprint(i+1) {
							t.Fatalf("%s: message %d of %d is %s", version, i+1, size.n, m.Raw)
						}
					}
				}
			}
			get.Quiet(quietly)
		}
	})
}

func TestConcurrentCallsKeepTheirMessagesApart(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		get := s.Listen(f.A, "")
		var calls sync.WaitGroup
		for i := range 12 {
			n, url := 20+i, []string{f.A, f.B, f.C}[i%3]
			calls.Go(func() {
				a, err := s.TryPost(t.Context(), url, mcptest.CallText(fmt.Sprint(9000+i), "multi_notify", fmt.Sprintf(`{"n":%d,"gapms":3}`, n)))
				if err != nil {
					t.Error(err)
					return
				}
				<-a.Stream.Ended()
				all := a.Stream.Arrived()
				if len(all) != n+1 || string(all[n].ID) != fmt.Sprint(9000+i) {
					t.Errorf("a call with %d messages gets %d", n, len(all)-1)
					return
				}
				for j, m := range all[:n] {
					if m.Param("progress") != fmt.Sprint(j+1) || m.Param("total") != fmt.Sprint(n) {
						t.Errorf("message %d of %d is %s", j+1, n, m.Raw)
					}
				}
			})
		}
		calls.Wait()
		get.Quiet(quietly)
	})
}

func TestTheLastLogMessageComesBeforeTheResult(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		get := s.Listen(f.B, "")
		for i := range 60 {
			url := []string{f.B, f.C}[i%2]
			a, id := s.Start(url, "log_emit", `{"level":"error"}`)
			if final, before := a.Final(id); final.Text(t) != "log err=<nil>" || len(before) != 1 || before[0].Method != "notifications/message" {
				t.Fatalf("call %d: %v comes before %s", i, before, final.Raw)
			}
		}
		a, id := s.Start(f.C, "test_tool_with_logging", "{}")
		if _, before := a.Final(id); len(before) != 3 {
			t.Errorf("of three messages arrive %v", before)
		}
		get.Quiet(quietly)
	})
}

func TestStreamsArePrimedFor20251125Alone(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			get := s.Listen(f.B, "")
			notify(t, s, f.C, s)
			wantNotified(t, f, get, f.C)
			post, id := s.Start(f.C, "multi_notify", `{"n":1}`)
			post.Final(id)
			for what, stream := range map[string]*mcptest.Stream{"GET": get, "POST": post.Stream} {
				if want := version == latest; stream.Primed() != want {
					t.Errorf("%s: the stream of a %s is primed: %t", version, what, !want)
				}
				if stream.LastID() == "" {
					t.Errorf("%s: the stream of a %s has no event ids", version, what)
				}
			}
			if got := post.Header.Get("X-Accel-Buffering"); got != "no" {
				t.Errorf("X-Accel-Buffering is %q", got)
			}
			if got := post.Header.Get("Cache-Control"); got != "no-cache" {
				t.Errorf("Cache-Control is %q", got)
			}
		}
	})
}
