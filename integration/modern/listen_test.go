package modern

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// changes are the kinds of changes of a list: what asks for them, what makes one
// and what tells of it.
var changes = []struct{ filter, tool, method string }{
	{`{"toolsListChanged":true}`, "test_trigger_tool_change", "notifications/tools/list_changed"},
	{`{"promptsListChanged":true}`, "test_trigger_prompt_change", "notifications/prompts/list_changed"},
	{`{"resourcesListChanged":true}`, "test_trigger_resource_change", "notifications/resources/list_changed"},
}

// change has a replica change one of its lists.
func change(t *testing.T, by caller, url, tool string) {
	t.Helper()
	if got := by.Call(url, tool, "{}"); got != "Mutation triggered" {
		t.Fatalf("%s answers %q", tool, got)
	}
}

// Fleets of its own, since every client is told of every change.
func TestAChangeOfAListOnOneReplicaIsToldToWhoAskedForItsKindOnAll(t *testing.T) {
	fleet.RunOwn(t, nil, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		asked := make([][]*mcptest.Subscription, len(changes)) // by kind
		var every, others []*mcptest.Subscription
		for i, url := range f.URLs() {
			for kind, change := range changes {
				asked[kind] = append(asked[kind], c.Subscribe(url, fmt.Sprintf(`"%s of %d"`, change.tool, i), change.filter))
			}
			every = append(every, mcptest.NewModern(t).Subscribe(url, "7", everyChange))
			others = append(others,
				mcptest.NewModern(t).Subscribe(url, "7", listenTo("test://watched-resource")),
				mcptest.NewModern(t).Subscribe(url, `"7"`, `{"toolsListChanged":false,"promptsListChanged":false,"resourcesListChanged":false,"resourceSubscriptions":["test://other"]}`))
		}
		for _, url := range []string{f.B, f.C, f.A} {
			for kind, made := range changes {
				change(t, c, url, made.tool)
				for _, s := range append(asked[kind], every...) {
					if m := s.Tagged(); m.Method != made.method {
						t.Errorf("after %s on %s, subscription %s gets %s", made.tool, f.Name(url), s.ID, m.Raw)
					}
				}
			}
		}
		name := fmt.Sprintf("new_on_%s", f.Name(f.B))
		c.Call(f.B, "add_global_tool", fmt.Sprintf(`{"name":%q}`, name))
		for _, s := range append(asked[0], every...) {
			if m := s.Tagged(); m.Method != changes[0].method {
				t.Errorf("when a tool was added, subscription %s gets %s", s.ID, m.Raw)
			}
		}
		if got := c.Call(f.B, name, "{}"); got != "gt "+f.Name(f.B) {
			t.Errorf("the tool that was added answers %q", got)
		}
		c.Call(f.B, "broadcast", `{"n":1}`) // nobody can ask for it
		every[0].Quiet(quietly)
		for _, all := range append(asked, every, others) {
			for _, s := range all {
				for _, m := range s.Arrived() {
					t.Errorf("subscription %s gets %s", s.ID, m.Raw)
				}
			}
		}
	})
}

func TestAResourceThatChangesIsToldToWhoAskedForIt(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		one, two, three := newResource(), newResource(), newResource()
		both := c.Subscribe(f.A, "1", listenTo(one, two))
		second := c.Subscribe(f.A, `"second"`, listenTo(two))
		elsewhere := mcptest.NewModern(t).Subscribe(f.C, "1", listenTo(two, "test://nobody-changes-it"))
		lists := c.Subscribe(f.A, "3", everyChange)
		for _, url := range []string{f.B, f.A, f.C} {
			update(t, c, url, three)
			update(t, c, url, one)
			wantUpdate(t, both, one)
			update(t, c, url, two)
			wantUpdate(t, both, two)
			wantUpdate(t, second, two)
			wantUpdate(t, elsewhere, two)
		}
		lists.Quiet(quietly)
		for _, s := range []*mcptest.Subscription{both, second, elsewhere} {
			for _, m := range s.Arrived() {
				t.Errorf("subscription %s gets %s", s.ID, m.Raw)
			}
		}
	})
}

func TestListeningIsAcknowledgedWithWhatWasAskedFor(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		for i, test := range []struct{ asked, acknowledged string }{
			{everyChange, everyChange},
			{changes[1].filter, changes[1].filter},
			{`{"toolsListChanged":true,"promptsListChanged":false}`, `{"toolsListChanged":true}`},
			{`{"toolsListChanged":true,"nobodyKnows":true}`, `{"toolsListChanged":true}`},
			{listenTo("test://static-text", "test://nobody-has-it"), listenTo("test://static-text", "test://nobody-has-it")},
		} {
			s := c.Subscribe(f.URLs()[i%3], fmt.Sprint(i), test.asked)
			var got, want any
			if err := json.Unmarshal([]byte(s.Acknowledged), &got); err != nil {
				t.Errorf("acknowledged is %q: %v", s.Acknowledged, err)
			}
			if err := json.Unmarshal([]byte(test.acknowledged), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("asked for %s, acknowledged is %s", test.asked, s.Acknowledged)
			}
		}
		for i, nothing := range []string{`{}`, `{"toolsListChanged":false}`, `{"resourceSubscriptions":[]}`} {
			s := c.Subscribe(f.URLs()[i], `"nothing"`, nothing)
			if s.Acknowledged != "{}" {
				t.Errorf("asked for nothing, acknowledged is %s", s.Acknowledged)
			}
			s.WantResult() // there is nothing to wait for
		}
	})
}

func TestAChangeRightAfterTheAcknowledgementIsTold(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		for i := range 30 { // as fast as it can be
			uri := newResource()
			s := c.Subscribe(f.URLs()[i%3], fmt.Sprint(i), listenTo(uri))
			update(t, c, f.URLs()[(i+1)%3], uri)
			wantUpdate(t, s, uri)
			s.Break()
		}
	})
}

func TestChangesAreToldCompleteAndInOrder(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		uris := make([]string, 50)
		for i := range uris {
			uris[i] = newResource()
		}
		var all []*mcptest.Subscription
		for i := range 9 {
			all = append(all, mcptest.NewModern(t).Subscribe(f.URLs()[i%3], fmt.Sprint(i), listenTo(uris...)))
		}
		for range 3 {
			for _, uri := range uris {
				update(t, c, f.B, uri)
			}
		}
		for _, s := range all {
			for range 3 {
				for _, uri := range uris {
					wantUpdate(t, s, uri)
				}
			}
		}
	})
}
