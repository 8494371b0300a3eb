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
// a release runs without counting them must pass too, but for those that fail is
// a list of.
var suites = []struct {
	name    string
	version string
	args    []string
	fail    []string
}{
	{"0.1.16 for 2025-11-25", "0.1.16", []string{"--suite", "all", "--spec-version", "2025-11-25"}, nil},
	{"0.2.0-alpha.12 for 2025-11-25", "0.2.0-alpha.12", []string{"--requirements", "2025-11-25"}, nil},
	{"0.2.0-alpha.12 for 2026-07-28", "0.2.0-alpha.12", []string{"--requirements", "2026-07-28"}, tasks},
}

// tasks are the scenarios of the tasks extension (SEP-2663), which the server
// does not have, and the suite does not count. It skips the one about
// notifications.
var tasks = []string{
	"tasks-capability-negotiation",
	"tasks-dispatch-and-envelope",
	"tasks-lifecycle",
	"tasks-mrtr-composition",
	"tasks-mrtr-input",
	"tasks-request-headers",
	"tasks-request-state-removal",
	"tasks-required-task-error",
	"tasks-status-notifications",
	"tasks-wire-fields",
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
				if a.String() != f.String() {
					t.Errorf("%s: %v on one process, %v on three replicas", name, a, f)
				}
				for where, got := range map[string]scenario{"one process": a, "three replicas": f} {
					switch fails := slices.Contains(suite.fail, name); {
					case fails && (got.passes() || len(got) == 0):
						t.Errorf("%s on %s: %v, though it is listed as failing", name, where, got)
					case !fails && (!got.passes() || len(got.with("WARNING")) > 0):
						t.Errorf("%s on %s: %v\n%s", name, where, got, got.complaints())
					}
				}
			}
			for _, name := range suite.fail {
				if _, ran := alone[name]; !ran {
					t.Errorf("%s is listed as failing, and there is no such scenario", name)
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
