//go:build long

package clientstest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/integration/internal/repo"
)

// The Inspector's command line connects anew for each command.
func TestTheInspectorUsesThreeReplicasAsOne(t *testing.T) {
	for era, protocol := range map[string]string{"legacy": version, "modern": modern} {
		t.Run(era, func(t *testing.T) {
			t.Parallel()
			inspectorUsesThreeReplicasAsOne(t, era, protocol)
		})
	}
}

func inspectorUsesThreeReplicasAsOne(t *testing.T, era, protocol string) {
	f := startFleet(t)
	for round := range 3 {
		if out := inspect(t, f.endpoint(), era, "--method", "tools/list"); !strings.Contains(out, "whoami") {
			t.Errorf("tools/list answers %s", out)
		}
		for tool, want := range map[string]string{"whoami": `"pv":"` + protocol + `"`, "test_tool_with_progress": "executed", "multi_notify": "multi done"} {
			out := inspect(t, f.endpoint(), era, "--method", "tools/call", "--tool-name", tool)
			var answer struct {
				Content []struct{ Text string }
				IsError bool
			}
			if json.Unmarshal([]byte(out), &answer) != nil || answer.IsError || len(answer.Content) != 1 || !strings.Contains(answer.Content[0].Text, want) {
				t.Errorf("%s answers %s", tool, out)
			}
		}
		if round < 2 {
			f.replicas[round].Kill()
		}
	}
	if out := inspect(t, f.endpoint(), era, "--method", "resources/list"); !strings.Contains(out, watched) {
		t.Errorf("resources/list answers %s", out)
	}
}

// inspect runs a command that must succeed, and returns what it prints.
func inspect(t *testing.T, url, era string, args ...string) string {
	t.Helper()
	root, err := repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.Command(filepath.Join(root, "scripts", "inspector.sh")).Output()
	if err != nil {
		t.Fatalf("scripts/inspector.sh: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, strings.TrimSpace(string(path)), append([]string{"--cli", url, "--protocol-era", era}, args...)...)
	cmd.Env = append(replica.Environ(), "HOME="+t.TempDir(), "PATH="+os.Getenv("PATH"))
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("inspector %v: %v\n%s%s", args, err, out, &errs)
	}
	return string(out)
}
