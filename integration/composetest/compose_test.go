//go:build compose

package composetest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
)

// The tests run in this order, and the last one stops the replicas.

func TestThreeReplicasAnswer(t *testing.T) {
	seen := map[string]bool{}
	if err := poll.Until(patience, func() error {
		seen[connect(t).wire.replica] = true
		for _, id := range replicas(t) {
			if began(t, id) == 0 {
				return fmt.Errorf("no session began in container %.12s", id)
			}
		}
		if len(seen) < 3 {
			return fmt.Errorf("the balancer names only %v", seen)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("the balancer names %v, want three replicas", seen)
	}
	if want, got := os.Getenv("VERSION"), connect(t).server.Version; got != want {
		t.Errorf("the server's version is %q, want %q", got, want)
	}
}

func TestEveryReplicaServesTheSameSession(t *testing.T) {
	a := connect(t)
	id := a.call("get_session", nil)["session_id"]
	a.onEach(func() {
		if got := a.call("get_session", nil)["session_id"]; got == nil || got != id {
			t.Errorf("the session is %v, want %v", got, id)
		}
	})
	n := 0
	a.onEach(func() {
		n++
		directory := fmt.Sprintf("/home/agent/%d", n)
		a.call("set_working_directory", map[string]any{"directory": directory})
		writer := a.wire.replica
		if got := a.call("get_working_directory", nil)["working_directory"]; got != directory {
			t.Errorf("%s reads directory %v just after %s wrote %s", a.wire.replica, got, writer, directory)
		}
	})
	if len(a.wire.statuses) > 2 || a.wire.statuses[http.StatusNotFound] > 0 {
		t.Errorf("statuses were %v", a.wire.statuses)
	}
}

func TestTheBalancerAnswersForLoopbackNamesOnly(t *testing.T) {
	for host, want := range map[string]int{"localhost:8080": http.StatusBadRequest, "127.0.0.1": http.StatusBadRequest, "rebound.example:8080": http.StatusForbidden} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, baseURL(t)+"/mcp", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		request.Header.Set("Accept", "text/event-stream")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("Host %s is answered %s, want %d", host, response.Status, want)
		}
	}
}

func TestNothingRunsAsRoot(t *testing.T) {
	for _, service := range []string{"mcpsession", "redis", "balancer"} {
		for _, id := range containers(t, service) {
			status := onHost(t, "cat", fmt.Sprintf("/proc/%d/status", inspect(t, id).State.Pid))
			uids := regexp.MustCompile(`(?m)^Uid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$`).FindStringSubmatch(status)
			if uids == nil {
				t.Fatalf("no Uid in %s", status)
			}
			for _, uid := range uids[1:] {
				if uid == "0" || service == "mcpsession" && uid != "65532" {
					t.Errorf("%s runs with uids %v", service, uids[1:])
					break
				}
			}
			for _, line := range []string{"\nCapEff:\t0000000000000000\n", "\nNoNewPrivs:\t1\n"} {
				if !strings.Contains(status, line) {
					t.Errorf("%s runs without %q:\n%s", service, strings.TrimSpace(line), status)
				}
			}
		}
	}
}

// openStream opens the GET stream of a's session, and fails unless its headers
// come at once.
func openStream(t *testing.T, a *agent) io.ReadCloser {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL(t)+"/mcp", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Mcp-Session-Id", a.client.GetSessionId())
	request.Header.Set("Mcp-Protocol-Version", protocolVersion)
	late := time.AfterFunc(5*time.Second, cancel)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("open a stream: %v", err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if !late.Stop() || response.StatusCode != http.StatusOK {
		t.Fatalf("the stream is answered %s", response.Status)
	}
	return response.Body
}

func TestAStreamIsOpenAtOnce(t *testing.T) {
	openStream(t, connect(t))
}

func TestACrashedReplicaIsRestartedAndServes(t *testing.T) {
	const clients = 4
	l := startLoad(t, clients)
	for _, id := range replicas(t) {
		before := inspect(t, id)
		crash(t, id)
		waitRestarted(t, id, before)
		if err := poll.Until(patience, func() error {
			connect(t)
			if began(t, id) == 0 {
				return fmt.Errorf("no session began in %s after its crash", before.Name)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	l.stop()
	t.Log(l)
	// What a replica was answering when it crashed, at most one read of each
	// client, has failed: the balancer cannot know that it was a read. A client
	// that asks again is answered.
	if len(l.failed) > 3*clients {
		t.Errorf("%d reads failed in 3 crashes, more than were under way", len(l.failed))
	}
	if len(l.lost) > 0 || l.gone > 0 {
		t.Errorf("%d reads failed twice, %d found no session: %v", len(l.lost), l.gone, l.lost)
	}
}

func TestARestartOfRedisLosesNothingAcknowledgedASecondEarlier(t *testing.T) {
	a := connect(t)
	const directory, values = "/home/agent/kept", 30
	a.call("set_working_directory", map[string]any{"directory": directory})
	for i := range values {
		a.call("set_value", map[string]any{"key": fmt.Sprint(i), "value": i})
	}
	acknowledged := time.Now()
	redis := containers(t, "redis")[0]
	for round, restart := range []func(){
		func() { docker(t, "compose", "restart", "redis") },
		func() { crash(t, redis) },
	} {
		l := startLoad(t, 2)
		time.Sleep(time.Until(acknowledged.Add(time.Second))) // what is promised
		before := inspect(t, redis)
		restart()
		waitHealthy(t, redis, func(now container) bool { return now.State.StartedAt != before.State.StartedAt })
		if err := poll.Until(patience, func() error {
			_, err := a.try("get_session", nil)
			return err
		}); err != nil {
			t.Fatalf("restart %d: %v", round, err)
		}
		a.onEach(func() {
			if got := a.call("get_working_directory", nil)["working_directory"]; got != directory {
				t.Errorf("restart %d: the directory is %v, want %s", round, got, directory)
			}
		})
		for i := range values {
			if got := a.call("get_value", map[string]any{"key": fmt.Sprint(i)})["value"]; got != float64(i) {
				t.Errorf("restart %d: value %d is %v", round, i, got)
			}
		}
		l.stop()
		t.Logf("restart %d: %v", round, l)
		if l.gone > 0 || a.wire.statuses[http.StatusNotFound] > 0 {
			t.Errorf("restart %d: the outage was taken for the end of a session, %d times", round, l.gone)
		}
	}
}

func TestAReplicaIsStoppedWithoutAFailedRequest(t *testing.T) {
	l := startLoad(t, 4)
	id := replicas(t)[0]
	before := retried(t)
	docker(t, "stop", "--time", "30", id)
	wantCleanExit(t, id)
	docker(t, "start", id)
	waitHealthy(t, id, func(container) bool { return true })
	l.stop()
	t.Log(l)
	if len(l.failed) > 0 {
		t.Errorf("%d reads failed, though nothing crashed", len(l.failed))
	}
	// The balancer knew that it drained, before it was gone.
	if n := retried(t) - before; n > 0 {
		t.Errorf("the balancer tried %d requests on the replica that was gone", n)
	}
}

func TestStop(t *testing.T) {
	stream := openStream(t, connect(t))
	docker(t, "compose", "stop", "mcpsession")
	for _, id := range replicas(t) {
		wantCleanExit(t, id)
	}
	if _, err := io.ReadAll(stream); err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	response, err := http.Get(baseURL(t) + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("without replicas the balancer answers %s, Retry-After %q", response.Status, response.Header.Get("Retry-After"))
	}
}

func wantCleanExit(t *testing.T, id string) {
	t.Helper()
	now := inspect(t, id)
	if now.State.Status != "exited" || now.State.ExitCode != 0 {
		t.Errorf("%s is %s with code %d, want exited with 0", now.Name, now.State.Status, now.State.ExitCode)
	}
	if log := docker(t, "logs", "--tail", "3", id); !strings.Contains(log, `"msg":"stopped"`) {
		t.Errorf("%s did not stop cleanly:\n%s", now.Name, log)
	}
}
