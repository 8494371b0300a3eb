package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
)

func TestAKilledReplicaLosesNoSession(t *testing.T) {
	t.Parallel()
	f := startFleet(t, redistest.Start(t), 3)
	dir := checkout(t, "p")
	var agents []*agent
	f.Pin(0) // creates all sessions
	for _, kind := range kinds {
		a := kind.connect(t, f.URL(), kind.version)
		a.call("set_working_directory", map[string]any{"directory": dir})
		a.call("set_value", map[string]any{"key": "k", "value": 1})
		agents = append(agents, a)
	}
	f.Unpin()
	f.replicas[0].Kill()
	for _, a := range agents {
		f.onEach(func() {
			a.worksIn(dir)
			if got := a.call("get_value", map[string]any{"key": "k"})["value"]; got != 1.0 {
				t.Errorf("value is %v", got)
			}
		})
	}
}

func TestARollingRestartEndsNoSession(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	f := startFleet(t, redis, 3)
	var agents []*agent
	dir := checkout(t, "p")
	for _, kind := range kinds {
		a := kind.connect(t, f.URL(), kind.version)
		a.call("set_working_directory", map[string]any{"directory": dir})
		agents = append(agents, a)
	}
	for i, old := range f.replicas {
		if code := old.Stop(); code != 0 {
			t.Errorf("replica %d stopped with exit code %d", i, code)
		}
		for _, a := range agents {
			a.worksIn(dir)
		}
		f.replicas[i] = replica.Start(t, "REDIS_URL="+redis.URL())
		f.Replace(t, i, f.replicas[i].URL())
		for _, a := range agents {
			f.onEach(func() { a.worksIn(dir) })
		}
	}
}

func TestRedisWithAOFKilledAndRestartedLosesNothingAcknowledgedASecondEarlier(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "everysec")
	f := startFleet(t, redis, 3)
	a := connectMCPGo(t, f.URL(), legacy)
	dir := checkout(t, "p")
	a.call("set_working_directory", map[string]any{"directory": dir})
	const values = 30
	for i := range values {
		a.call("set_value", map[string]any{"key": fmt.Sprint(i), "value": i})
	}
	acknowledged := time.Now()
	time.Sleep(time.Until(acknowledged.Add(time.Second))) // the promise is about a second
	redis.Kill()
	redis.Restart()
	f.eventually(t, 15*time.Second, func() error {
		_, err := a.try("get_working_directory", nil)
		return err
	})
	f.onEach(func() { a.worksIn(dir) })
	for i := range values {
		if got := a.call("get_value", map[string]any{"key": fmt.Sprint(i)})["value"]; got != float64(i) {
			t.Errorf("value %d is %v after the restart", i, got)
		}
	}
}

func TestAnOutageIsNeverTakenForTheEndOfASession(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	f := startFleet(t, redis, 2)
	http1 := connectMCPGo(t, f.URL(), legacy)
	handle := connectMCPGo(t, f.URL(), modern)
	dir := checkout(t, "p")
	for _, a := range []*agent{http1, handle} {
		a.call("set_working_directory", map[string]any{"directory": dir})
	}
	id := rawSession(t, f)

	for name, outage := range map[string]struct{ begin, end func() }{
		"killed": {redis.Kill, redis.Restart},
		"frozen": {redis.Pause, redis.Resume},
	} {
		t.Run(name, func(t *testing.T) {
			outage.begin()
			f.onEach(func() {
				for _, method := range []string{"POST", "GET", "DELETE"} {
					if code, text := f.status(t, method, id); code != http.StatusServiceUnavailable {
						t.Errorf("%s during the outage: %d %s, want 503", method, code, text)
					}
				}
				r, err := handle.try("get_working_directory", nil)
				if err != nil || !strings.Contains(r.failure, "cannot be reached") || strings.Contains(r.failure, "does not exist") {
					t.Errorf("a tool call during the outage: %v %+v", err, r)
				}
			})
			outage.end()
			f.eventually(t, 15*time.Second, func() error {
				if code, text := f.status(t, "POST", id); code != http.StatusOK {
					return fmt.Errorf("%d %s", code, text)
				}
				return nil
			})
			f.onEach(func() {
				http1.worksIn(dir)
				handle.worksIn(dir)
			})
		})
	}
}

func TestReadinessFollowsALongOutageAndItsEnd(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	r := replica.Start(t, "REDIS_URL="+redis.URL())
	ready := func() int {
		response, err := http.Get(r.URL() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	redis.Kill()
	began := time.Now()
	err := poll.Until(30*time.Second, func() error {
		if code := ready(); code != http.StatusServiceUnavailable {
			return fmt.Errorf("/readyz answers %d", code)
		}
		return nil
	})
	if took := time.Since(began); err != nil || took < 10*time.Second {
		t.Errorf("not ready after %v, want 10s or more: %v", took, err)
	}
	if response, err := http.Get(r.URL() + "/healthz"); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("/healthz during an outage: %v %v", response, err)
	}
	redis.Restart()
	if err := r.WaitReady(15 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestRedisDownAtStart(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, "--requirepass", "hunter2")
	redis.Stop()
	t.Run("is waited for", func(t *testing.T) {
		r := replica.Launch(t, "REDIS_URL="+redis.URL())
		if err := poll.Until(10*time.Second, func() error {
			if !strings.Contains(r.Log(), "not reachable yet") {
				return fmt.Errorf("no retry in the log")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		redis.Restart()
		if err := r.WaitReady(15 * time.Second); err != nil {
			t.Fatal(err)
		}
		redis.Stop()
	})
	t.Run("ends the start after a while, in one line without the password", func(t *testing.T) {
		r := replica.Launch(t, "REDIS_URL="+redis.URL(), "REDIS_CONNECT_TIMEOUT=1s", "LOG_LEVEL=error")
		if code := r.ExitCode(); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		log := strings.TrimSpace(r.Log())
		if strings.Count(log, "\n") != 0 || !strings.Contains(log, redis.Addr()) || strings.Contains(log, "hunter2") {
			t.Errorf("it says:\n%s", log)
		}
	})
	t.Run("a wrong password is not waited for", func(t *testing.T) {
		redis.Restart()
		r := replica.Launch(t, "REDIS_URL=redis://:wrong@"+redis.Addr(), "LOG_LEVEL=error")
		began := time.Now()
		if code := r.ExitCode(); code != 1 || time.Since(began) > 15*time.Second {
			t.Errorf("exit code %d after %v", code, time.Since(began))
		}
		if log := r.Log(); !strings.Contains(log, "WRONGPASS") || strings.Contains(log, "wrong@") {
			t.Errorf("it says:\n%s", log)
		}
	})
}

// rawSession initializes a session by bare HTTP and returns its id.
func rawSession(t *testing.T, f *fleet) string {
	t.Helper()
	body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + legacy + `","capabilities":{},"clientInfo":{"name":"raw","version":"1"}}}`)
	response, err := http.Post(f.URL()+"/mcp", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	id := response.Header.Get("Mcp-Session-Id")
	if response.StatusCode != http.StatusOK || id == "" {
		t.Fatalf("initialize: %s", response.Status)
	}
	return id
}

func (f *fleet) eventually(t *testing.T, timeout time.Duration, condition func() error) {
	t.Helper()
	if err := poll.Until(timeout, condition); err != nil {
		t.Fatal(err)
	}
}
