//go:build compose

package composetest

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
)

// patience bounds what an engine does by itself: restarts and health checks.
const patience = 60 * time.Second

// docker runs a docker command and returns what it prints, on both streams.
func docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// baseURL is where the balancer is published.
func baseURL(t testing.TB) string {
	t.Helper()
	return "http://" + strings.TrimSpace(docker(t, "compose", "port", "balancer", "8080"))
}

// containers are the ids of a service's containers, running or not.
func containers(t testing.TB, service string) []string {
	t.Helper()
	return strings.Fields(docker(t, "compose", "ps", "--all", "--quiet", service))
}

// replicas are the containers of the three replicas.
func replicas(t testing.TB) []string {
	t.Helper()
	ids := containers(t, "mcpsession")
	if len(ids) != 3 {
		t.Fatalf("mcpsession has %d containers, want 3", len(ids))
	}
	return ids
}

// container is what docker inspect says of one.
type container struct {
	Name         string
	RestartCount int
	State        struct {
		Status    string
		Pid       int
		ExitCode  int
		StartedAt string
		Health    struct{ Status string }
	}
}

func inspect(t testing.TB, id string) container {
	t.Helper()
	var found []container
	if err := json.Unmarshal([]byte(docker(t, "inspect", id)), &found); err != nil || len(found) != 1 {
		t.Fatalf("docker inspect %s: %d found, %v", id, len(found), err)
	}
	return found[0]
}

// onHost runs a command that sees the processes of the engine's host, which may
// be another machine, with an image that is there anyway.
func onHost(t testing.TB, command string, args ...string) string {
	t.Helper()
	run := []string{"run", "--rm", "--pull=never", "--pid=host", "--network=none", "--user=0", "--entrypoint", command, "redis:7-alpine"}
	return docker(t, append(run, args...)...)
}

// crash ends a container's process as a crash would: the engine restarts what
// crashed, not what docker kill ended.
func crash(t testing.TB, id string) {
	t.Helper()
	onHost(t, "kill", "-9", strconv.Itoa(inspect(t, id).State.Pid))
}

// waitRestarted waits until a container that crashed is healthy again.
func waitRestarted(t testing.TB, id string, before container) {
	t.Helper()
	waitHealthy(t, id, func(now container) bool {
		return now.RestartCount > before.RestartCount && now.State.StartedAt != before.State.StartedAt
	})
}

// waitHealthy waits until a container is healthy, and as it is wanted besides.
func waitHealthy(t testing.TB, id string, want func(container) bool) {
	t.Helper()
	if err := poll.Until(patience, func() error {
		now := inspect(t, id)
		if now.State.Status != "running" || now.State.Health.Status != "healthy" || !want(now) {
			return fmt.Errorf("%s is %s and %s after %d restarts", now.Name, now.State.Status, now.State.Health.Status, now.RestartCount)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// began is how many sessions began on a replica since it started last.
func began(t testing.TB, id string) int {
	t.Helper()
	log := docker(t, "logs", "--since", inspect(t, id).State.StartedAt, id)
	return strings.Count(log, `"msg":"session began"`)
}

// In HAProxy's log: after the four letters of how the request ended, the last of
// five counts is of retries, with + if it went to another replica.
var retries = regexp.MustCompile(` [-A-Za-z]{4} \d+/\d+/\d+/\d+/\+?[1-9]\d* `)

// retried is how many requests HAProxy had to try more than once.
func retried(t testing.TB) int {
	t.Helper()
	return len(retries.FindAllString(docker(t, "logs", containers(t, "balancer")[0]), -1))
}
