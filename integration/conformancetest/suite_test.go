//go:build long

package conformancetest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/integration/internal/repo"
)

// suiteTimeout bounds a run of the suite, which takes seconds when nothing hangs,
// and a minute for each scenario that does.
const suiteTimeout = 5 * time.Minute

// check is one thing that the suite looked at.
type check struct {
	ID           string `json:"id"`
	Status       string `json:"status"` // SUCCESS, FAILURE, WARNING, SKIPPED, INFO
	ErrorMessage string `json:"errorMessage"`
}

// scenario is what became of a scenario; nothing if it was not run.
type scenario []check

// with returns the ids of the checks that have a status.
func (s scenario) with(status string) []string {
	var ids []string
	for _, c := range s {
		if c.Status == status {
			ids = append(ids, c.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// passes reports whether something was found right and nothing wrong.
func (s scenario) passes() bool {
	return len(s.with("SUCCESS")) > 0 && len(s.with("FAILURE")) == 0
}

// String is the verdict, in a form that is the same for equal outcomes.
func (s scenario) String() string {
	verdict := "pass"
	switch failed := s.with("FAILURE"); {
	case len(s) == 0:
		return "NOT RUN"
	case len(failed) > 0:
		verdict = "FAIL " + strings.Join(failed, " ")
	case !s.passes():
		verdict = "NOTHING TESTED"
	}
	if warned := s.with("WARNING"); len(warned) > 0 {
		verdict += " (warns: " + strings.Join(warned, " ") + ")"
	}
	return verdict
}

// complaints is what the suite says of the checks that did not succeed.
func (s scenario) complaints() string {
	var text strings.Builder
	for _, c := range s {
		if c.ErrorMessage != "" {
			fmt.Fprintf(&text, "\t%s %s: %s\n", c.Status, c.ID, c.ErrorMessage)
		}
	}
	return text.String()
}

// runSuite runs a release of the suite against a server and returns what became
// of each scenario that it announced.
func runSuite(t *testing.T, version, url string, args ...string) map[string]scenario {
	t.Helper()
	root, err := repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	script, dir := filepath.Join(root, "scripts", "conformance.sh"), t.TempDir()
	// This unpacks it first, for which npm needs its own settings.
	if out, err := exec.Command(script, version, "--version").CombinedOutput(); err != nil {
		t.Fatalf("scripts/conformance.sh %s: %v\n%s", version, err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, script, append([]string{version, "server", "--url", url, "-o", dir}, args...)...)
	cmd.Env = replica.Environ()
	text, err := cmd.CombinedOutput() // its exit code says less than the results do
	out := string(text)
	results := make(map[string]scenario)
	for _, line := range announced.FindAllStringSubmatch(out, -1) {
		results[line[1]] = nil
	}
	if len(results) < 30 || !strings.Contains(out, "=== SUMMARY ===") {
		t.Fatalf("the suite did not run to its end: %v\n%s", err, out)
	}
	for name := range results {
		results[name] = readChecks(t, dir, name)
	}
	return results
}

var (
	announced = regexp.MustCompile(`(?m)^=== Running scenario: (\S+) ===$`)
	stamped   = regexp.MustCompile(`-\d{4}-\d\d-\d\dT[\dZ-]+$`)
)

// readChecks reads what the suite wrote about a scenario: nothing if that broke.
func readChecks(t *testing.T, dir, name string) scenario {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "server-"+name+"-*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	var checks scenario
	for _, file := range files {
		if stamped.ReplaceAllString(filepath.Base(filepath.Dir(file)), "") != "server-"+name {
			continue // of a scenario whose name begins alike
		}
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &checks)
		}
		if err != nil {
			t.Fatalf("read the results of %s: %v", name, err)
		}
	}
	return checks
}
