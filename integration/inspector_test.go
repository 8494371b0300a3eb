//go:build long

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/integration/internal/repo"
)

// The Inspector's command line is a client that nobody here wrote either. Each
// run of it is a connection of its own, so what it keeps is reached by handle.
func TestTheInspectorKeepsADirectoryOnEveryReplica(t *testing.T) {
	eachDeployment(t, func(t *testing.T, f *fleet) {
		for _, era := range []string{"legacy", "modern"} {
			t.Run(era, func(t *testing.T) {
				first, second := &inspector{t: t, f: f, era: era}, &inspector{t: t, f: f, era: era}
				firstDir, secondDir := checkout(t, "one"), checkout(t, "two")
				first.call("create_session")
				second.call("create_session")
				if set := first.call("set_working_directory", "directory="+firstDir); set["config_found"] != true {
					t.Errorf("set_working_directory answers %v", set)
				}
				if got := second.call("get_working_directory")["is_set"]; got != false {
					t.Errorf("the second client sees a directory that it did not set")
				}
				second.call("set_working_directory", "directory="+secondDir)
				f.onEach(func() {
					for client, want := range map[*inspector]string{first: firstDir, second: secondDir} {
						if got := client.call("get_working_directory")["working_directory"]; got != want {
							t.Errorf("working directory is %v, want %s", got, want)
						}
					}
				})
			})
		}
	})
}

func TestTheInspectorFindsNoErrorInTheToolSchemas(t *testing.T) {
	f := startFleet(t, nil, 1)
	stdout, stderr, err := runInspector(t, f.URL()+"/mcp", "--method", "tools/list", "--strict")
	if err != nil || strings.Contains(stderr, "Error:") {
		t.Errorf("%v\n%s", err, stderr)
	}
	if !strings.Contains(stdout, "set_working_directory") {
		t.Errorf("tools/list answers %s", stdout)
	}
}

type inspector struct {
	t      *testing.T
	f      *fleet
	era    string
	handle string
}

// call calls a tool that must succeed, and returns its structured content.
func (i *inspector) call(tool string, args ...string) map[string]any {
	i.t.Helper()
	command := []string{i.f.URL() + "/mcp", "--protocol-era", i.era, "--method", "tools/call", "--tool-name", tool}
	if i.handle != "" {
		args = append(args, "session="+i.handle)
	}
	for _, arg := range args {
		command = append(command, "--tool-arg", arg)
	}
	stdout, stderr, err := runInspector(i.t, command...)
	var answer struct {
		StructuredContent map[string]any
		IsError           bool
	}
	if err == nil {
		err = json.Unmarshal([]byte(stdout), &answer)
	}
	if err != nil || answer.IsError || answer.StructuredContent == nil {
		i.t.Fatalf("%s %v: %v\n%s%s", tool, args, err, stdout, stderr)
	}
	if handle, ok := answer.StructuredContent["session"].(string); ok {
		i.handle = handle
	}
	return answer.StructuredContent
}

func runInspector(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	root, err := repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	path, err := exec.Command(filepath.Join(root, "scripts", "inspector.sh")).Output()
	if err != nil {
		t.Fatalf("scripts/inspector.sh: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, strings.TrimSpace(string(path)), append([]string{"--cli"}, args...)...)
	cmd.Env = append(replica.Environ(), "HOME="+t.TempDir(), "PATH="+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}
