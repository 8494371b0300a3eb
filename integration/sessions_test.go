package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
)

// eachDeployment runs a test on three replicas with one Redis, and on one
// process with memory alone.
func eachDeployment(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Run("three replicas and one Redis", func(t *testing.T) {
		test(t, startFleet(t, redistest.Start(t), 3))
	})
	t.Run("one process without Redis", func(t *testing.T) {
		test(t, startFleet(t, nil, 1))
	})
}

func TestEveryReplicaKnowsASessionAndKeepsItFromOthers(t *testing.T) {
	t.Parallel()
	eachDeployment(t, func(t *testing.T, f *fleet) {
		for _, kind := range kinds {
			t.Run(kind.name, func(t *testing.T) {
				first := kind.connect(t, f.URL(), kind.version)
				second := kind.connect(t, f.URL(), kind.version)
				firstDir, secondDir := checkout(t, "one"), checkout(t, "two")

				set := first.call("set_working_directory", map[string]any{"directory": firstDir})
				if set["config_found"] != true || set["project_info"].(map[string]any)["name"] != "one" {
					t.Errorf("set_working_directory answers %v", set)
				}
				// The second client sees nothing of the first.
				if kind.version == legacy {
					second.worksIn("")
				}
				second.call("set_working_directory", map[string]any{"directory": secondDir})
				first.call("auto_switch_project", nil)
				first.call("set_value", map[string]any{"key": "only", "value": "first"})

				f.onEach(func() {
					first.worksIn(firstDir)
					second.worksIn(secondDir)
					if got := first.call("get_session", nil)["project_id"]; got != "one" {
						t.Errorf("project of the first client is %v", got)
					}
					if got := second.call("get_session", nil)["project_id"]; got != nil {
						t.Errorf("the second client has project %v, which it never chose", got)
					}
					if got := first.call("get_value", map[string]any{"key": "only"})["value"]; got != "first" {
						t.Errorf("value of the first client is %v", got)
					}
					if got := second.call("get_value", map[string]any{"key": "only"})["found"]; got != false {
						t.Errorf("the second client finds the first one's value")
					}
				})
				// And in the balancer's own turns, whoever answers.
				for range 2 * len(f.replicas) {
					first.worksIn(firstDir)
					second.worksIn(secondDir)
				}
				for _, a := range []*agent{first, second} {
					a.call("end_session", nil)
				}
			})
		}
		for i, hits := range f.Hits() {
			if hits == 0 {
				t.Errorf("replica %d answered no request", i)
			}
		}
	})
}

func TestManyAgentsAtOnceAreNeverMixedUp(t *testing.T) {
	t.Parallel()
	eachDeployment(t, func(t *testing.T, f *fleet) {
		const agents, rounds = 16, 10
		connected := make([]*agent, agents)
		for i := range connected {
			kind := kinds[i%len(kinds)]
			connected[i] = kind.connect(t, f.URL(), kind.version)
		}
		dirs := make([]string, agents)
		for i := range dirs {
			dirs[i] = checkout(t, fmt.Sprintf("p%d", i))
		}
		var wg sync.WaitGroup
		for i, a := range connected {
			wg.Go(func() {
				r, err := a.try("set_working_directory", map[string]any{"directory": dirs[i]})
				if err != nil || r.failure != "" {
					t.Errorf("agent %d: %v %s", i, err, r.failure)
					return
				}
				a.handle, _ = r.content["session"].(string)
				for n := range rounds {
					r, err := a.try("set_value", map[string]any{"key": "n", "value": n})
					if err != nil || r.failure != "" {
						t.Errorf("agent %d: %v %s", i, err, r.failure)
					}
					r, err = a.try("get_working_directory", nil)
					if err != nil || r.content["working_directory"] != dirs[i] {
						t.Errorf("agent %d works in %v, want %s; %v %s", i, r.content["working_directory"], dirs[i], err, r.failure)
					}
					r, err = a.try("get_value", map[string]any{"key": "n"})
					if err != nil || r.content["value"] != float64(n) {
						t.Errorf("agent %d has value %v, want %d; %v %s", i, r.content["value"], n, err, r.failure)
					}
				}
			})
		}
		wg.Wait()
		if got := connected[0].call("count_sessions", nil)["count"]; got != float64(agents) {
			t.Errorf("%v sessions are alive, want %d", got, agents)
		}
	})
}

// status sends one bare HTTP request to the endpoint.
func (f *fleet) status(t *testing.T, method, session string) (int, string) {
	t.Helper()
	body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	request, err := http.NewRequestWithContext(t.Context(), method, f.URL()+"/mcp", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	if session != "" {
		request.Header.Set("Mcp-Session-Id", session)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestAnIDThatOpensNothingIs404OnEveryReplica(t *testing.T) {
	t.Parallel()
	eachDeployment(t, func(t *testing.T, f *fleet) {
		for name, id := range map[string]string{
			"never issued": mcpsession.NewSessionID().Token(),
			"a handle":     mcpsession.NewHandle().Token(),
			"malformed":    "session-1",
			"oversized":    strings.Repeat("a", 8000),
		} {
			for _, method := range []string{"POST", "GET", "DELETE"} {
				f.onEach(func() {
					if code, _ := f.status(t, method, id); code != http.StatusNotFound {
						t.Errorf("%s with an id that is %s: %d, want 404", method, name, code)
					}
				})
			}
		}
		f.onEach(func() {
			if code, _ := f.status(t, "POST", ""); code != http.StatusBadRequest {
				t.Errorf("POST without an id: %d, want 400", code)
			}
		})
	})
}
