//go:build long

package conformancetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"text/tabwriter"

	"github.com/mcpsession/mcpsession/integration/internal/balancer"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
)

// suites are the releases of the suite and what to run of each. Scenarios that
// a release runs without counting them must pass too.
var suites = []struct {
	name    string
	version string
	args    []string
}{
	{"0.1.16 for 2025-11-25", "0.1.16", []string{"--suite", "all", "--spec-version", "2025-11-25"}},
	{"0.2.0-alpha.12 for 2025-11-25", "0.2.0-alpha.12", []string{"--requirements", "2025-11-25"}},
}

// A client cannot tell three replicas, each request of which goes to one drawn
// by lot, from one process, and finds no fault with either.
func TestThreeReplicasConformLikeOneProcess(t *testing.T) {
	one := replica.StartEverything(t, "one")
	redis := redistest.Start(t)
	var urls []string
	for _, name := range []string{"A", "B", "C"} {
		urls = append(urls, replica.StartEverything(t, name, "REDIS_URL="+redis.URL()).URL())
	}
	three := balancer.Start(t, urls...)
	three.SetRandom(true)

	for _, suite := range suites {
		t.Run(suite.name, func(t *testing.T) {
			alone := runSuite(t, suite.version, one.URL()+"/mcp", suite.args...)
			fleet := runSuite(t, suite.version, three.URL()+"/mcp", suite.args...)
			t.Log("\n" + table(alone, fleet))
			for _, name := range names(alone, fleet) {
				a, f := alone[name], fleet[name]
				if !a.passes() {
					t.Errorf("%s on one process: %v\n%s", name, a, a.complaints())
				}
				if !f.passes() {
					t.Errorf("%s on three replicas: %v\n%s", name, f, f.complaints())
				}
				if a.String() != f.String() {
					t.Errorf("%s: %v on one process, %v on three replicas", name, a, f)
				}
			}
		})
	}
	if hits := three.Hits(); slices.Min(hits) == 0 {
		t.Errorf("the replicas answered %v requests: one was not tested", hits)
	}
}

// names returns the scenarios of both results, in order.
func names(a, b map[string]scenario) []string {
	var all []string
	for name := range a {
		all = append(all, name)
	}
	for name := range b {
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func table(alone, fleet map[string]scenario) string {
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scenario\tone process\tthree replicas")
	for _, name := range names(alone, fleet) {
		fmt.Fprintf(w, "%s\t%v\t%v\n", name, alone[name], fleet[name])
	}
	w.Flush()
	return text.String()
}
