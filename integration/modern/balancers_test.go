package modern

import (
	"context"
	"fmt"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/integration/internal/realbalancer"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// A fleet of its own, since the replicas count the calls that all clients cancel.
func TestRealBalancersPassOnChangesAndThatAClientHungUp(t *testing.T) {
	t.Parallel()
	f := fleet.StartReplicas(t)
	var addrs []string
	for _, r := range f.Replicas {
		addrs = append(addrs, r.Addr())
	}
	for _, name := range []string{realbalancer.HAProxy, realbalancer.Nginx} {
		t.Run(name, func(t *testing.T) {
			url := realbalancer.Start(t, name, addrs...).URL() + "/mcp"
			c := mcptest.NewModern(t)
			uri := newResource()
			for i := range 3 {
				s := c.Subscribe(url, fmt.Sprint(i), listenTo(uri))
				for range 3 {
					update(t, c, url, uri)
					wantUpdate(t, s, uri)
				}
			}
			a, id := c.Start(url, "multi_notify", `{"n":5,"gapms":5}`)
			if _, before := a.Final(id); len(before) != 5 {
				t.Errorf("of five reports arrive %v", before)
			}
			cancelled := func() (n int) {
				for _, url := range f.URLs() {
					n += counting{t, f, c}.on(url)
				}
				return n
			}
			before := cancelled()
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			if a, err := c.TrySend(ctx, url, c.NewCall("1", "slow", `{"ms":60000}`)); err != nil || a.Stream == nil {
				t.Fatalf("slow is answered %+v, %v", a, err)
			}
			hangUp()
			fleet.Eventually(t, func() error {
				if got := cancelled(); got != before+1 {
					return fmt.Errorf("the replicas count %d cancelled calls, and %d before", got, before)
				}
				return nil
			})
		})
	}
}
