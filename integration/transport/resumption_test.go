package transport

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// wantProgress fails the test unless messages are the reports from first to last
// of multi_notify, each once.
func wantProgress(t testing.TB, messages []mcptest.Message, first, last int) {
	t.Helper()
	var got, want []string
	for _, m := range messages {
		if m.Method != "notifications/progress" {
			t.Errorf("among the reports is %s", m.Raw)
		}
		got = append(got, m.Param("progress"))
	}
	for n := first; n <= last; n++ {
		want = append(want, fmt.Sprint(n))
	}
	if !slices.Equal(got, want) {
		t.Errorf("reported are %v, want %v", got, want)
	}
}

// primed waits until a stream has an event id, before it has a message.
func primed(t testing.TB, s *mcptest.Stream) string {
	t.Helper()
	eventually(t, func() error {
		if s.PrimeID() == "" {
			return fmt.Errorf("the stream has no event id")
		}
		return nil
	})
	return s.PrimeID()
}

// An answer is broken after each of its events, and resumed on the other
// replicas while the call goes on.
func TestAnAnswerGoesOnElsewhereWhereverItBreaks(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		const reports = 6
		for _, version := range []string{v20250618, latest} {
			for seen := range reports + 2 { // the last one is the result
				if seen == 0 && version != latest {
					continue // has no id before the first message
				}
				t.Run(fmt.Sprintf("%s after %d events", version, seen), func(t *testing.T) {
					t.Parallel()
					s := f.Begin(t, f.B, version, mcptest.NoCapabilities)
					a, id := s.Start(f.A, "multi_notify", fmt.Sprintf(`{"n":%d,"gapms":100}`, reports))
					var last string
					if seen == 0 {
						last = primed(t, a.Stream)
					}
					for n := range seen {
						m := a.Stream.Next()
						if last = m.EventID; n < reports {
							wantProgress(t, []mcptest.Message{m}, n+1, n+1)
						}
					}
					a.Stream.Break()
					for _, url := range []string{f.B, f.C, f.A} { // the second and third time, from the record
						resumed := s.Listen(url, last)
						if seen <= reports {
							final, before := resumed.Until(id)
							wantProgress(t, before, seen+1, reports)
							if final.Text(t) != "multi done A" {
								t.Errorf("resumed on %s, the call ends with %s", f.Name(url), final.Raw)
							}
						}
						resumed.WantEnd()
						if more := resumed.Arrived(); len(more) > 0 {
							t.Errorf("resumed on %s, after the result come %d messages, the first %s", f.Name(url), len(more), more[0].Raw)
						}
					}
				})
			}
		}
	})
}

// What a resumed stream carries arrives when it is sent, not when the call ends.
func TestAResumedAnswerIsLive(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		a, id := s.Start(f.A, "multi_notify", `{"n":4,"gapms":400}`)
		last := primed(t, a.Stream)
		a.Stream.Break()
		resumed := s.Listen(f.B, last)
		var arrived []time.Time
		for n := 1; n <= 4; n++ {
			wantProgress(t, []mcptest.Message{resumed.Next()}, n, n)
			arrived = append(arrived, time.Now())
		}
		if _, before := resumed.Until(id); len(before) > 0 {
			t.Errorf("after the last report comes %s", before[0].Raw)
		}
		for n := 1; n < 4; n++ { // had they come at the end, then at once
			if gap := arrived[n].Sub(arrived[n-1]); n > 1 && gap < 100*time.Millisecond {
				t.Errorf("report %d arrives %v after the one before, which was sent 400ms earlier", n+1, gap)
			}
		}
	})
}

// breakAtRandom breaks a stream after what has arrived within a moment.
func breakAtRandom(s *mcptest.Stream) (seen []mcptest.Message, last string) {
	select {
	case <-s.Ended():
	case <-time.After(time.Duration(rand.IntN(120)) * time.Millisecond):
	}
	last = s.Break()
	return s.Arrived(), last
}

func TestAnAnswerThatBreaksAgainAndAgainArrivesWholeAndOnce(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for i := range 3 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				s := f.Begin(t, f.C, latest, mcptest.NoCapabilities)
				a, id := s.Start(f.A, "multi_notify", `{"n":40,"gapms":30}`)
				primed(t, a.Stream) // else there is nothing to resume from
				all, last := breakAtRandom(a.Stream)
				connections := 1
				for next := 0; len(all) == 0 || string(all[len(all)-1].ID) != id; next++ {
					if connections++; connections > 500 {
						t.Fatalf("after %d connections, %d messages have arrived", connections, len(all))
					}
					seen, to := breakAtRandom(s.Listen([]string{f.B, f.C, f.A}[next%3], last))
					all = append(all, seen...)
					if to != "" {
						last = to
					}
				}
				wantProgress(t, all[:len(all)-1], 1, 40)
				if got := all[len(all)-1].Text(t); got != "multi done A" {
					t.Errorf("the call ends with %q", got)
				}
				t.Logf("%d connections", connections)
			})
		}
	})
}

func TestALostConnectionCancelsNothing(t *testing.T) {
	onOwnFleets(t, nil, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			a, _ := s.Start(f.A, "slow", `{"ms":1500}`)
			last := ""
			if version == latest {
				last = primed(t, a.Stream)
			}
			a.Stream.Break()
			if version == latest {
				if final := s.Listen(f.B, last).Next(); final.Text(t) != "done A" {
					t.Errorf("the call ends with %s", final.Raw)
				}
			}
			before := time.Now()
			if got := s.Call(f.A, "slow", `{"ms":600}`); got != "done A" { // longer than what was left of it
				t.Errorf("after %v slow answers %q", time.Since(before), got)
			}
			if got := s.Call(f.A, "cancel_count", `{}`); got != "0" {
				t.Errorf("%s calls were cancelled by a lost connection of %s", got, version)
			}
		}
	})
}

func TestEventIDsOfOtherSessionsAndNonsenseAreRefused(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		a, id := s.Start(f.A, "multi_notify", `{"n":2,"gapms":10}`)
		final, before := a.Final(id)
		get := s.Listen(f.B, "")
		mine := []string{primed(t, get), a.Stream.PrimeID(), before[0].EventID, final.EventID}
		for _, url := range []string{f.A, f.B, f.C} {
			stranger := f.Begin(t, url, latest, mcptest.NoCapabilities)
			for _, id := range mine {
				if _, status, text := stranger.TryListen(url, id); status != http.StatusBadRequest {
					t.Errorf("an event id of another session, %q, is answered %d on %s: %s", id, status, f.Name(url), text)
				}
			}
			cut := func(id string) string { return id[:strings.LastIndexByte(id, '.')] }
			for _, id := range []string{
				"1", "r", "g", "r.", "g.", "r..", "g...", "x.y.z", ".", "....", "-1", "null",
				"r.nothing.1", "r.nothing", "g.nothing.1.1", "g.nothing.1", "r.a b.1",
				cut(mine[0]), cut(mine[2]), mine[0] + ".1", mine[2] + "!", mine[2] + ".1",
				cut(mine[2]) + ".zzzzzzzzzzzzzzzzzzzz", cut(mine[2]) + ".-1",
				strings.Repeat("r.", 1000), "r." + strings.Repeat("a", 4000) + ".1",
				strings.Replace(mine[0], "g.", "g.A", 1), "r.\u00e9.1",
			} {
				if _, status, text := s.TryListen(url, id); status != http.StatusBadRequest {
					t.Errorf("the event id %.60q is answered %d on %s: %s", id, status, f.Name(url), text)
				}
			}
		}
	})
}
