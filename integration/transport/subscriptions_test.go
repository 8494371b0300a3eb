package transport

import (
	"fmt"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// subscribe subscribes to a resource, or unsubscribes.
func subscribe(s *mcptest.Session, url, verb, uri string) {
	s.T.Helper()
	a, _ := s.Request(url, "resources/"+verb, fmt.Sprintf(`{"uri":%q}`, uri))
	if m := a.Only(); m.Error != nil {
		s.T.Fatalf("resources/%s is answered %s", verb, m.Raw)
	}
}

func update(s *mcptest.Session, url, uri string) {
	s.T.Helper()
	if got := s.Call(url, "resource_update", fmt.Sprintf(`{"uri":%q}`, uri)); got != "ok" {
		s.T.Fatalf("resource_update answers %q", got)
	}
}

// wantUpdate waits for the next message, which is that a resource changed.
func wantUpdate(t *testing.T, stream *mcptest.Stream, uri string) {
	t.Helper()
	if m := stream.Next(); m.Method != "notifications/resources/updated" || m.Param("uri") != fmt.Sprintf("%q", uri) {
		t.Errorf("when %s changed, the stream gets %s", uri, m.Raw)
	}
}

// resources are two that no other test has.
func resources(t *testing.T) (a, b string) {
	t.Helper()
	n := unique()
	return fmt.Sprintf("test://template/%d/data", n), fmt.Sprintf("test://template/%d/data", n+1)
}

func TestOnlySubscribersHearOfAnUpdate(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			one, two := resources(t)
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			both := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			other := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			stream, boths, others := s.Listen(f.C, ""), both.Listen(f.C, ""), other.Listen(f.C, "")
			subscribe(s, f.A, "subscribe", one)
			subscribe(both, f.B, "subscribe", one)
			subscribe(both, f.A, "subscribe", two)
			for _, url := range []string{f.B, f.A, f.C} {
				update(other, url, two)
				update(other, url, one)
				wantUpdate(t, stream, one)
				wantUpdate(t, boths, two)
				wantUpdate(t, boths, one)
			}
			subscribe(s, f.B, "unsubscribe", one)
			subscribe(s, f.C, "subscribe", two)
			update(other, f.A, one)
			update(other, f.A, two)
			wantUpdate(t, stream, two) // and not the first
			wantUpdate(t, boths, one)
			wantUpdate(t, boths, two)
			others.Quiet(quietly)
		}
	})
}

func TestASubscriptionAndAnUpdateRightAfterIt(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		one, two := resources(t)
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		other := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		stream := s.Listen(f.C, "")
		for range 30 { // as fast as it can be
			subscribe(s, f.A, "subscribe", one)
			update(other, f.B, one)
			wantUpdate(t, stream, one)
			subscribe(s, f.A, "unsubscribe", one)
			update(other, f.B, one)
			subscribe(s, f.B, "subscribe", two)
			update(other, f.C, two)
			wantUpdate(t, stream, two)
			subscribe(s, f.C, "unsubscribe", two)
		}
		stream.Quiet(quietly)
	})
}

func TestUpdatesWaitForTheNextStream(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		one, two := resources(t)
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		subscribe(s, f.A, "subscribe", one)
		update(s, f.B, two)
		update(s, f.B, one)
		stream := s.Listen(f.C, "")
		wantUpdate(t, stream, one)
		stream.Quiet(quietly)
	})
}

func TestTheStreamThatInheritsKnowsTheSubscriptions(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		one, two := resources(t)
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		first := s.Listen(f.A, "")
		notify(t, s, f.B, s)
		wantNotified(t, f, first, f.B) // so this is the one that delivers
		second := s.Listen(f.B, "")
		subscribe(s, f.C, "subscribe", one)
		update(s, f.C, one)
		wantUpdate(t, first, one)
		first.Break()
		eventually(t, func() error { // until the server has noticed
			notify(t, s, f.C, s)
			if len(second.Arrived()) == 0 {
				return fmt.Errorf("the other stream does not deliver")
			}
			return nil
		})
		time.Sleep(quietly)
		second.Arrived()
		update(s, f.A, two)
		update(s, f.A, one)
		wantUpdate(t, second, one)
	})
}
