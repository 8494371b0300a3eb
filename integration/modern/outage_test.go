package modern

import (
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// Calls need no Redis. Changes that are made without it are told when it is back,
// also to who began to listen meanwhile.
func TestAnOutageOfRedisDelaysChangesAndNothingElse(t *testing.T) {
	t.Parallel()
	f := fleet.StartReplicas(t)
	c := mcptest.NewModern(t)
	before := []*mcptest.Subscription{c.Subscribe(f.A, "1", everyChange), c.Subscribe(f.B, "2", everyChange)}
	change(t, c, f.C, changes[0].tool)
	for _, s := range before {
		if m := s.Tagged(); m.Method != changes[0].method {
			t.Errorf("before the outage, subscription %s gets %s", s.ID, m.Raw)
		}
	}
	f.Redis.Kill()
	for _, url := range f.URLs() {
		if got := c.Call(url, "slow", `{"ms":1}`); got != "done "+f.Name(url) {
			t.Errorf("in the outage, %s answers %q", f.Name(url), got)
		}
	}
	meanwhile := c.Subscribe(f.A, "3", everyChange)
	change(t, c, f.B, changes[1].tool)
	f.Redis.Restart()
	for _, s := range append(before, meanwhile) {
		if m := s.Tagged(); m.Method != changes[1].method {
			t.Errorf("after the outage, subscription %s gets %s", s.ID, m.Raw)
		}
	}
	change(t, c, f.C, changes[2].tool)
	for _, s := range append(before, meanwhile) {
		if m := s.Tagged(); m.Method != changes[2].method {
			t.Errorf("long after the outage, subscription %s gets %s", s.ID, m.Raw)
		}
	}
}
