package transport

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// notices are what a test sends to a session that no call of it waits for:
// broadcasts, which are numbered, and notifications, which say who sent them.
type notices struct {
	f  *fleet
	by *mcptest.Session // another session, which sends
	to *mcptest.Session

	broadcasts, specific []string // sent so far
}

func (f *fleet) notices(t testing.TB, to *mcptest.Session) *notices {
	return &notices{f: f, by: f.Begin(t, f.A, latest, mcptest.NoCapabilities), to: to}
}

// send sends one or the other from any replica.
func (n *notices) send() {
	n.by.T.Helper()
	n.sendFrom([]string{n.f.A, n.f.B, n.f.C}[rand.IntN(3)])
}

func (n *notices) sendFrom(url string) {
	n.by.T.Helper()
	if rand.IntN(2) == 0 {
		number := fmt.Sprint(len(n.broadcasts))
		n.by.Call(url, "broadcast", `{"n":`+number+`}`)
		n.broadcasts = append(n.broadcasts, number)
		return
	}
	if got := n.by.Call(url, "notify_session", fmt.Sprintf(`{"sid":%q}`, n.to.Token)); got != "err=<nil>" {
		n.by.T.Fatalf("notify_session answers %q", got)
	}
	n.specific = append(n.specific, fmt.Sprintf("%q", n.f.Name(url)))
}

func (n *notices) count() int { return len(n.broadcasts) + len(n.specific) }

// byKind tells broadcasts from notifications. Those of one session arrive in the
// order in which they were sent; broadcasts leave each replica in order, but a
// tool does not wait for that; between the two kinds there is none.
func byKind(t testing.TB, messages []mcptest.Message) (broadcasts, specific []string) {
	t.Helper()
	for _, m := range messages {
		switch m.Method {
		case "notifications/test_broadcast":
			broadcasts = append(broadcasts, m.Param("n"))
		case "notifications/test_specific":
			specific = append(specific, m.Param("from"))
		default:
			t.Errorf("the client gets %s", m.Raw)
		}
	}
	slices.SortFunc(broadcasts, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return broadcasts, specific
}

// want fails the test unless messages are all that was sent, each once.
func (n *notices) want(t testing.TB, messages []mcptest.Message) {
	t.Helper()
	broadcasts, specific := byKind(t, messages)
	if !slices.Equal(broadcasts, n.broadcasts) {
		t.Errorf("of the broadcasts arrive %v, sent were %v", broadcasts, n.broadcasts)
	}
	if !slices.Equal(specific, n.specific) {
		t.Errorf("of the notifications arrive %v, sent were those of %v", specific, n.specific)
	}
}

func TestAGetStreamIsResumedWhereverItBreaks(t *testing.T) {
	onOwnFleets(t, nil, func(t *testing.T, f *fleet) {
		for _, version := range []string{v20250618, latest} {
			const sent = 5
			for seen := range sent + 1 {
				if seen == 0 && version != latest {
					continue
				}
				s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
				stream := s.Listen(f.A, "")
				last := ""
				if version == latest {
					last = primed(t, stream)
				}
				n := f.notices(t, s)
				var messages []mcptest.Message
				for range sent {
					n.send()
				}
				for range seen {
					m := stream.Next()
					messages, last = append(messages, m), m.EventID
				}
				stream.Break()
				n.send() // to nobody, or to the stream that is just breaking
				resumed := s.Listen(f.B, last)
				n.send()
				for len(messages) < n.count() {
					messages = append(messages, resumed.Next())
				}
				n.want(t, messages)
				resumed.Quiet(50 * time.Millisecond)
				again := s.Listen(f.C, last) // what the first resumption swallowed
				for range n.count() - seen {
					again.Next()
				}
				again.Quiet(50 * time.Millisecond)
				again.Break()
			}
		}
	})
}

func TestAGetStreamThatBreaksAgainAndAgainLosesNothing(t *testing.T) {
	onOwnFleets(t, nil, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		n := f.notices(t, s)
		stream := s.Listen(f.A, "")
		last := primed(t, stream)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for range 60 {
				n.send()
			}
		}()
		var messages []mcptest.Message
		over := false
		for next := 0; ; next++ {
			seen, to := breakAtRandom(stream)
			messages = append(messages, seen...)
			if to != "" {
				last = to
			}
			if over && len(messages) >= n.count() {
				break
			}
			select {
			case <-sent:
				over = true
			default:
			}
			if next > 500 {
				break
			}
			stream = s.Listen([]string{f.B, f.C, f.A}[next%3], last)
		}
		<-sent
		n.want(t, messages)
	})
}

func TestEachOfTwoGetStreamsResumesWhatItWasGiven(t *testing.T) {
	onOwnFleets(t, nil, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		n := f.notices(t, s)
		first := s.Listen(f.B, "")
		n.send()
		messages := []mcptest.Message{first.Next()} // so this is the one that delivers
		last := messages[0].EventID
		second := s.Listen(f.C, "")
		primed(t, second)
		for range 4 {
			n.send()
		}
		given := []mcptest.Message{first.Next(), first.Next(), first.Next(), first.Next()}
		first.Break()
		var inherited []mcptest.Message
		eventually(t, func() error { // until the server has noticed; what it sends before is the first one's
			n.send()
			if inherited = append(inherited, second.Arrived()...); len(inherited) == 0 {
				return fmt.Errorf("the second stream inherits nothing")
			}
			return nil
		})
		n.send()
		first = s.Listen(f.A, last)
		// It is given all that again, and what else it was given before the server
		// noticed, those for the session before those for all.
		for len(messages)+len(inherited) < n.count() {
			select {
			case <-time.After(soon):
				t.Fatalf("%d of %d messages arrive", len(messages)+len(inherited), n.count())
			case <-time.After(5 * time.Millisecond):
			}
			messages = append(messages, first.Arrived()...)
			inherited = append(inherited, second.Arrived()...)
		}
		first.Quiet(100 * time.Millisecond) // nothing of what the second one was given
		n.want(t, slices.Concat(messages, inherited))
		for _, m := range given {
			if !slices.ContainsFunc(messages, func(again mcptest.Message) bool { return string(again.Raw) == string(m.Raw) }) {
				t.Errorf("the resumed stream is not given %s again", m.Raw)
			}
		}

		// And the second one: the last message but one.
		second.Break()
		if len(inherited) > 1 {
			second = s.Listen(f.A, inherited[len(inherited)-2].EventID)
			if m := second.Next(); string(m.Raw) != string(inherited[len(inherited)-1].Raw) {
				t.Errorf("the second stream resumes with %s, and was given %s", m.Raw, inherited[len(inherited)-1].Raw)
			}
			second.Quiet(100 * time.Millisecond)
		}
		n.send()
		total := 0
		eventually(t, func() error {
			if total += len(first.Arrived()) + len(second.Arrived()); total != 1 {
				return fmt.Errorf("%d of 1 message arrives", total)
			}
			return nil
		})
		first.Quiet(100 * time.Millisecond)
		second.Quiet(10 * time.Millisecond)
	})
}

// A client can lose a connection long before the server notices, and resumes
// while it still seems to be open.
func TestAResumedGetStreamReplacesTheConnectionThatSeemsOpen(t *testing.T) {
	onOwnFleets(t, nil, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		n := f.notices(t, s)
		old := s.Listen(f.A, "")
		n.send()
		messages := []mcptest.Message{old.Next()}
		last := messages[0].EventID
		for round, url := range []string{f.B, f.C, f.A, f.B} {
			fresh := s.Listen(url, last)
			primed(t, fresh)
			for range 5 {
				n.send()
			}
			for range 5 {
				m := fresh.Next()
				messages, last = append(messages, m), m.EventID
			}
			if more := old.Arrived(); len(more) > 0 {
				t.Fatalf("round %d: the connection that was replaced gets %s", round, more[0].Raw)
			}
			old.WantEnd() // nothing more will come on it
			old = fresh
		}
		n.want(t, messages)
	})
}
