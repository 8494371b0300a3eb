package integration

import (
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/balancer"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
)

// fleet is a number of replicas behind a balancer that takes turns.
type fleet struct {
	*balancer.Balancer
	replicas []*replica.Replica
}

// startFleet starts n replicas that share a Redis, or, without one, a single
// replica that keeps sessions in memory.
func startFleet(t *testing.T, redis *redistest.Server, n int, env ...string) *fleet {
	t.Helper()
	if redis != nil {
		env = append(env, "REDIS_URL="+redis.URL())
	}
	f := &fleet{}
	var urls []string
	for range n {
		r := replica.Start(t, env...)
		f.replicas = append(f.replicas, r)
		urls = append(urls, r.URL())
	}
	f.Balancer = balancer.Start(t, urls...)
	return f
}

// onEach runs check once with every request going to each replica in turn.
func (f *fleet) onEach(check func()) {
	defer f.Unpin()
	for i, r := range f.replicas {
		if r.Running() {
			f.Pin(i)
			check()
		}
	}
}
