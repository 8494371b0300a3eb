// Package fleet runs a server for tests as real processes of
// examples/everything: three replicas with one Redis, or one process with memory,
// which a client cannot tell apart.
package fleet

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
)

// Soon is how long what goes from one replica to another may take, with a wide
// margin for a slow machine.
const Soon = 10 * time.Second

// Fleet is a server: three replicas that share one Redis, or one process with
// memory, which then has three names.
type Fleet struct {
	A, B, C string // MCP endpoints

	Replicas []*replica.Replica // A, B and C, or the one
	Redis    *redistest.Server  // nil with memory
}

// StartReplicas starts a fleet of three with a Redis of its own. env is the
// replicas'.
func StartReplicas(t testing.TB, env ...string) *Fleet {
	t.Helper()
	f := &Fleet{Redis: redistest.Start(t)}
	f.Start(t, func(string) string { return f.Redis.URL() }, env...)
	return f
}

// Start starts the replicas, each with the Redis URL of its name.
func (f *Fleet) Start(t testing.TB, redis func(name string) string, env ...string) {
	t.Helper()
	for _, endpoint := range []struct {
		name string
		url  *string
	}{{"A", &f.A}, {"B", &f.B}, {"C", &f.C}} {
		r := replica.StartEverything(t, endpoint.name, append([]string{"REDIS_URL=" + redis(endpoint.name)}, env...)...)
		f.Replicas = append(f.Replicas, r)
		*endpoint.url = r.URL() + "/mcp"
	}
}

// StartProcess starts one process with memory.
func StartProcess(t testing.TB, env ...string) *Fleet {
	t.Helper()
	r := replica.StartEverything(t, "A", env...)
	url := r.URL() + "/mcp"
	return &Fleet{A: url, B: url, C: url, Replicas: []*replica.Replica{r}}
}

// URLs are A, B and C.
func (f *Fleet) URLs() []string { return []string{f.A, f.B, f.C} }

// Replica is the process that serves an endpoint.
func (f *Fleet) Replica(url string) *replica.Replica {
	for _, r := range f.Replicas {
		if strings.HasPrefix(url, r.URL()+"/") {
			return r
		}
	}
	panic("no replica serves " + url)
}

// Name is what the tools of an endpoint's replica call it.
func (f *Fleet) Name(url string) string {
	switch url {
	case f.A: // also the one process
		return "A"
	case f.B:
		return "B"
	default:
		return "C"
	}
}

// Keys returns the keys in Redis that match a pattern.
func (f *Fleet) Keys(pattern string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Soon) // also in cleanups
	defer cancel()
	client := f.Redis.NewClient()
	defer client.Close()
	var keys []string
	all := client.Scan(ctx, 0, pattern, 1000).Iterator()
	for all.Next(ctx) {
		keys = append(keys, all.Val())
	}
	return keys, all.Err()
}

// Eventually polls until try succeeds.
func Eventually(t testing.TB, try func() error) {
	t.Helper()
	if err := poll.Until(Soon, try); err != nil {
		t.Fatal(err)
	}
}
