package modern

import (
	"fmt"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// Fleets of its own, since every client is told of every change.
func TestAChangeMadeInOneEraIsToldInBoth(t *testing.T) {
	fleet.RunOwn(t, nil, func(t *testing.T, f *fleet.Fleet) {
		const uri = "test://watched-resource"
		modern := mcptest.NewModern(t)
		var sessions []*mcptest.Session
		var streams []*mcptest.Stream
		var subscriptions []*mcptest.Subscription
		for i, url := range f.URLs() {
			for _, version := range []string{"2025-03-26", "2025-06-18", legacy} {
				s := mcptest.Begin(t, f.A, version, mcptest.NoCapabilities)
				streams = append(streams, s.Listen(url, ""))
				if a, _ := s.Request(f.URLs()[(i+1)%3], "resources/subscribe", fmt.Sprintf(`{"uri":%q}`, uri)); a.Only().Error != nil {
					t.Fatal("a legacy client cannot subscribe")
				}
				sessions = append(sessions, s)
			}
			subscriptions = append(subscriptions,
				modern.Subscribe(url, fmt.Sprint(i), `{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["`+uri+`"]}`))
		}
		wantTold := func(what, method string) {
			t.Helper()
			for _, s := range streams {
				if m := s.Next(); m.Method != method {
					t.Errorf("after %s, a legacy stream gets %s", what, m.Raw)
				}
			}
			for _, s := range subscriptions {
				if m := s.Tagged(); m.Method != method {
					t.Errorf("after %s, subscription %s gets %s", what, s.ID, m.Raw)
				}
			}
		}
		for i, url := range []string{f.B, f.C, f.A} {
			for era, by := range map[string]caller{"modern": modern, "legacy": sessions[i]} {
				for _, made := range changes {
					change(t, by, url, made.tool)
					wantTold(fmt.Sprintf("a %s call of %s on %s", era, made.tool, f.Name(url)), made.method)
				}
				update(t, by, url, uri)
				wantTold(fmt.Sprintf("a %s resource_update on %s", era, f.Name(url)), "notifications/resources/updated")
			}
		}
		// What a client is not to be told twice.
		streams[0].Quiet(quietly)
		for _, s := range streams {
			for _, m := range s.Arrived() {
				t.Errorf("a legacy stream gets %s", m.Raw)
			}
		}
		for _, s := range subscriptions {
			for _, m := range s.Arrived() {
				t.Errorf("subscription %s gets %s", s.ID, m.Raw)
			}
		}
	})
}

func TestAModernCallIsServedBesideALegacyOneOnTheSameConnection(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		s := mcptest.Begin(t, f.A, legacy, `{"sampling":{}}`)
		c := mcptest.NewModern(t)
		for _, url := range f.URLs() {
			for range 3 {
				if got := parseIdentity(t, s.Call(url, "whoami", "{}")); got.Session != s.Token || got.Pv != legacy || !got.Sampling {
					t.Errorf("a legacy call on %s is %+v", f.Name(url), got)
				}
				if got := parseIdentity(t, c.Call(url, "whoami", "{}")); got.Session != "" || got.Pv != "2026-07-28" || got.Sampling {
					t.Errorf("a modern call on %s is %+v", f.Name(url), got)
				}
			}
		}
	})
}
