//go:build long

package clientstest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/integration/internal/balancer"
	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

func TestMain(m *testing.M) { os.Exit(replica.Main(m)) }

// fleet is three replicas, each request to which goes to one drawn by lot.
type fleet struct {
	*balancer.Balancer
	redis    *redistest.Server
	replicas []*replica.Replica
}

var names = []string{"A", "B", "C"}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{redis: redistest.Start(t)}
	var urls []string
	for _, name := range names {
		r := replica.StartEverything(t, name, "REDIS_URL="+f.redis.URL())
		f.replicas = append(f.replicas, r)
		urls = append(urls, r.URL())
	}
	f.Balancer = balancer.Start(t, urls...)
	f.SetRandom(true)
	return f
}

func (f *fleet) endpoint() string { return f.URL() + "/mcp" }

// kill kills a replica while another, or the same one, runs a call of the client,
// and puts a new one in its place. The call ends as it should, or if its own
// replica is killed with an error that says so.
func (f *fleet) kill(t *testing.T, c client, resumes bool, runner, victim int) {
	t.Helper()
	type outcome struct {
		text string
		err  error
	}
	done := make(chan outcome, 1)
	before, hits := f.records(t, c), f.Hits()[runner]
	f.Pin(runner)
	go func() {
		text, _, err := c.call(t.Context(), "slow", map[string]any{"ms": 4000})
		done <- outcome{text, err}
	}()
	err := poll.Until(patience, func() error {
		if f.records(t, c) == before || f.Hits()[runner] == hits {
			return fmt.Errorf("the answer has not become a stream")
		}
		return nil
	})
	f.Unpin()
	if err != nil {
		t.Fatal(err)
	}
	f.replicas[victim].Kill()
	killed := time.Now()
	f.replicas[victim] = replica.StartEverything(t, names[victim], "REDIS_URL="+f.redis.URL())
	f.Replace(t, victim, f.replicas[victim].URL())
	call := <-done
	switch {
	case runner != victim && (call.err != nil || call.text != "done "+names[runner]):
		t.Errorf("a call on %s ends with %q, %v, when %s is killed", names[runner], call.text, call.err, names[victim])
	case runner == victim && (call.err == nil || resumes && !strings.Contains(call.err.Error(), "the replica that handled the request is gone")):
		t.Errorf("a call ends with %q, %v, when its replica is killed", call.text, call.err)
	}
	t.Logf("%s ran the call and %s was killed: after %v it ends with %q, %v", names[runner], names[victim], time.Since(killed), call.text, call.err)
}

// records counts the streams of answers that the client's session has, or had in
// the last minutes.
func (f *fleet) records(t *testing.T, c client) int {
	t.Helper()
	id, err := mcpsession.ParseSessionID(c.session())
	if err != nil {
		t.Fatal(err)
	}
	redis := f.redis.NewClient()
	defer redis.Close()
	n := 0
	all := redis.Scan(t.Context(), 0, "*:"+id.Ref().String()+":*response:*", 1000).Iterator()
	for all.Next(t.Context()) {
		n++
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

const watched = "test://static-text"

// wantUpdates changes the watched resource so many times, on any replica, and
// waits until the client was told of each once.
func (f *fleet) wantUpdates(t *testing.T, c client, n int) {
	t.Helper()
	before := c.updates().of(watched)
	by := mcptest.Begin(t, f.endpoint(), version, mcptest.NoCapabilities)
	for range n {
		by.Call(f.endpoint(), "resource_update", fmt.Sprintf(`{"uri":%q}`, watched))
	}
	err := poll.Until(patience, func() error {
		if got := c.updates().of(watched) - before; got < n {
			return fmt.Errorf("the client was told of %d of %d updates", got, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	by.Call(f.endpoint(), "slow", `{"ms":300}`) // in which more could arrive
	if got := c.updates().of(watched) - before; got != n {
		t.Errorf("the client was told of %d updates, and there were %d", got, n)
	}
}

func TestClientsOfOthersUseThreeReplicasAsOne(t *testing.T) {
	for _, kind := range clients {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f := startFleet(t)
			c := kind.connect(t, f.endpoint())
			session := c.session()
			if session == "" {
				t.Fatal("the client has no session")
			}
			works := func() {
				t.Helper()
				names, err := c.list(t.Context())
				if err != nil || !slices.Contains(names, "whoami") {
					t.Errorf("tools/list: %v, %v", names, err)
				}
				for range 6 { // whichever replica answers
					text, _, err := c.call(t.Context(), "whoami", nil)
					var me struct{ Session string }
					if err != nil || json.Unmarshal([]byte(text), &me) != nil || me.Session != session {
						t.Errorf("whoami answers a session other than the client's: %v", err)
					}
				}
				for tool, want := range map[string]string{
					"test_elicitation": "ann", "test_sampling": "from ", "roots": "roots 2",
				} {
					text, _, err := c.call(t.Context(), tool, map[string]any{"message": "who?", "prompt": "what?"})
					if err != nil || !strings.Contains(text, want) {
						t.Errorf("%s answers %q, %v, want %q in it", tool, text, err, want)
					}
				}
				wantProgress(t, c)
			}
			works()
			if err := c.subscribe(t.Context(), watched); err != nil {
				t.Fatalf("subscribe: %v", err)
			}
			f.wantUpdates(t, c, 5)

			// Each replica dies once, so also the one that holds the GET stream.
			for _, deaths := range []struct{ runner, victim int }{{1, 0}, {1, 1}, {0, 2}} {
				f.kill(t, c, kind.resumes, deaths.runner, deaths.victim)
				works()
				f.wantUpdates(t, c, 3)
			}
			if err := c.terminate(t.Context()); err != nil {
				t.Errorf("the session cannot be ended: %v", err)
			}
			ended := &mcptest.Session{T: t, Token: session, Version: version}
			for i := range f.replicas {
				f.Pin(i)
				if a := ended.Post(f.endpoint(), mcptest.RequestText("1", "ping", "")); a.Status != http.StatusNotFound {
					t.Errorf("after its client ended it, the session is answered %d", a.Status)
				}
			}
			f.Unpin()
		})
	}
}

// wantProgress calls a tool that reports progress three times.
func wantProgress(t *testing.T, c client) {
	t.Helper()
	text, progress, err := c.call(t.Context(), "test_tool_with_progress", nil)
	if err == nil {
		err = poll.Until(patience, func() error {
			if n := progress(); n != 3 {
				return fmt.Errorf("the client was told of progress %d times, want 3", n)
			}
			return nil
		})
	}
	if err != nil {
		t.Errorf("test_tool_with_progress answers %q: %v", text, err)
	}
}
