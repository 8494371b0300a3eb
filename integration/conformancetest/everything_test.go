//go:build long

package conformancetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/proc"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/integration/internal/repo"
)

// buildDir is where the server is built.
var buildDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mcpsession-conformance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build builds examples/everything, with the race detector if this test has it.
var build = sync.OnceValues(func() (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	race := false
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			race = race || s.Key == "-race" && s.Value == "true"
		}
	}
	path := filepath.Join(buildDir, "everything")
	cmd := exec.Command("go", "build", "-buildvcs=false", fmt.Sprintf("-race=%t", race), "-o", path, "./examples/everything")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build examples/everything: %w\n%s", err, out)
	}
	return path, nil
})

// server is a running examples/everything.
type server struct {
	*proc.Process
	url string // without the MCP path
}

// startEverything starts a server on a free loopback port and waits until it is
// ready. The test fails if the server has a data race.
func startEverything(t *testing.T, name string, env ...string) *server {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	env = append(append(replica.Environ(), "LISTEN_ADDR=127.0.0.1:0", "REPLICA_NAME="+name), env...)
	s := &server{Process: proc.Start(t, "everything "+name, env, path)}
	t.Cleanup(func() {
		s.Kill()
		if strings.Contains(s.Log(), "WARNING: DATA RACE") {
			t.Errorf("replica %s has a data race, see its log", name)
		}
	})
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	err = poll.Until(replica.StartTimeout, func() error {
		if !s.Running() {
			return poll.Stop(fmt.Errorf("it ended with exit code %d", s.ExitCode()))
		}
		if s.url, err = listening(s.Log()); err != nil {
			return err
		}
		response, err := client.Get(s.url + "/readyz")
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %s", response.Status)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("start replica %s: %v", name, err)
	}
	return s
}

// listening finds the server's base URL in its log.
func listening(log string) (string, error) {
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
			return "http://" + entry.Addr, nil
		}
	}
	return "", errors.New(`no "listening" in its log`)
}
