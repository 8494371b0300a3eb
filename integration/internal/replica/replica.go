package replica

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/proc"
)

// StartTimeout bounds how long a replica may take until /readyz answers 200.
const StartTimeout = 30 * time.Second

// A Replica is a running server. See proc.Process for Kill, Stop, Pause,
// Resume, Running, ExitCode and Log.
type Replica struct {
	*proc.Process
	t    testing.TB
	addr string
}

// Start starts a server on a free loopback port and waits until it is ready.
// env holds settings as NAME=value; nothing of the test's own environment
// reaches the server, except for PATH, HOME and TMPDIR.
//
// The server is killed when the test ends. The test fails, and shows the log,
// if the race detector spoke up in it.
func Start(t testing.TB, env ...string) *Replica {
	t.Helper()
	return Launch(t, env...).started()
}

// StartEverything is Start for examples/everything, whose tools answer with the
// name of their replica.
func StartEverything(t testing.TB, name string, env ...string) *Replica {
	t.Helper()
	return launch(t, "replica "+name, built(t, buildEverything), append([]string{"REPLICA_NAME=" + name}, env...)).started()
}

func (r *Replica) started() *Replica {
	r.t.Helper()
	if err := r.WaitReady(StartTimeout); err != nil {
		r.t.Fatalf("start a replica: %v", err)
	}
	return r
}

// Launch is Start that does not wait, neither for an address nor for
// readiness: for a server that is meant to fail, or to wait for its Redis.
func Launch(t testing.TB, env ...string) *Replica {
	t.Helper()
	return launch(t, "replica", Binary(t), env)
}

func launch(t testing.TB, name, binary string, env []string) *Replica {
	t.Helper()
	settings := append(Environ(), "LISTEN_ADDR=127.0.0.1:0", "LOG_FORMAT=json")
	r := &Replica{Process: proc.Start(t, name, append(settings, env...), binary), t: t}
	t.Cleanup(func() {
		r.Kill()
		if strings.Contains(r.Log(), "WARNING: DATA RACE") {
			t.Errorf("%s has a data race, see its log", name)
		}
	})
	return r
}

// Environ returns what a server gets of the test's own environment.
func Environ() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// WaitReady waits until the replica listens and /readyz answers 200. It
// returns at once when the process ends.
func (r *Replica) WaitReady(timeout time.Duration) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return poll.Until(timeout, func() error {
		if !r.Running() {
			return poll.Stop(fmt.Errorf("it ended with exit code %d", r.ExitCode()))
		}
		addr, err := listening(r.Log())
		if err != nil {
			return err
		}
		r.addr = addr
		resp, err := client.Get(r.URL() + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz: %s", resp.Status)
		}
		return nil
	})
}

// Addr returns the replica's host:port, known once it was ready.
func (r *Replica) Addr() string { return r.addr }

// URL returns the replica's base URL, without the MCP path.
func (r *Replica) URL() string { return "http://" + r.addr }

// listening finds the address in the log line that says the server listens:
//
//	{"level":"INFO","msg":"listening","addr":"127.0.0.1:41234"}
func listening(log string) (string, error) {
	for line := range strings.Lines(log) {
		var entry struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" && entry.Addr != "" {
			return entry.Addr, nil
		}
	}
	return "", errors.New(`no "listening" in its log`)
}
