//go:build long

package clientstest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
)

// modernClients are clients of protocol version 2026-07-28, told to be or by
// their own choice. go-sdk 1.8.0 cannot read a roots/list in a result, where it
// has no params (mcp/protocol.go, InputRequestMap.UnmarshalJSON).
var modernClients = []struct {
	name    string
	connect func(t *testing.T, url string) client
	roots   bool
}{
	{"TypeScript v2 auto", func(t *testing.T, url string) client { return startTypeScript(t, "v2", url, "auto") }, true},
	{"TypeScript v2 pinned", func(t *testing.T, url string) client { return startTypeScript(t, "v2", url, modern) }, true},
	{"go-sdk", func(t *testing.T, url string) client { return connectGoSDK(t, url, modern) }, false},
	{"go-sdk by default", func(t *testing.T, url string) client { return connectGoSDK(t, url, "") }, false},
}

func TestModernClientsOfOthersUseThreeReplicasAsOne(t *testing.T) {
	for _, kind := range modernClients {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f := startFleet(t)
			c := kind.connect(t, f.endpoint())
			if got := c.(interface{ protocol() string }).protocol(); got != modern || c.session() != "" {
				t.Fatalf("the client has protocol version %s and the session %q", got, c.session())
			}
			modernWorks(t, c, kind.roots)
			f.listen(t, c, 0)
			f.wantUpdates(t, c, 5)

			// Another replica dies, then the one that holds the stream; then the next
			// holder is stopped.
			for _, end := range []struct {
				victim int
				how    func(*replica.Replica)
				closed string // as the TypeScript client calls it
			}{
				{1, (*replica.Replica).Kill, ""},
				{0, (*replica.Replica).Kill, "remote"},
				{2, func(r *replica.Replica) { r.Stop() }, "graceful"},
			} {
				f.endDuringACall(t, c, end.victim, end.how)
				if end.closed != "" {
					wantClosed(t, c, end.closed)
					f.listen(t, c, 2) // it holds the stream from now on
				}
				modernWorks(t, c, kind.roots)
				f.wantUpdates(t, c, 3)
			}
		})
	}
}

// modernWorks has the client do what needs nothing but requests, whichever
// replica answers: also those that the server answers with questions, so that
// the client calls again.
func modernWorks(t *testing.T, c client, roots bool) {
	t.Helper()
	names, err := c.list(t.Context())
	if err != nil || !slices.Contains(names, "whoami") {
		t.Errorf("tools/list: %v, %v", names, err)
	}
	for range 6 {
		text, _, err := c.call(t.Context(), "whoami", nil)
		var me struct{ Session, Pv string }
		if err != nil || json.Unmarshal([]byte(text), &me) != nil || me.Session != "" || me.Pv != modern {
			t.Errorf("whoami answers %q, %v", text, err)
		}
	}
	asking := map[string]string{
		"test_input_required_result_elicitation": "Hello, ann!",
		"test_input_required_result_sampling":    "Sampling result: from ",
	}
	if roots {
		asking["test_input_required_result_list_roots"] = "Found 2 root(s)"
		asking["test_input_required_result_multiple_inputs"] = "ann! Found 2 root(s)"
	}
	for tool, want := range asking {
		if text, _, err := c.call(t.Context(), tool, nil); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s answers %q, %v, want %q in it", tool, text, err, want)
		}
	}
	for _, region := range []string{"eu-west", "Zürich"} { // which the client repeats in a header
		if text, _, err := c.call(t.Context(), "test_header_parameter", map[string]any{"region": region}); err != nil || text != region {
			t.Errorf("test_header_parameter answers %q, %v, want %q", text, err, region)
		}
	}
	wantProgress(t, c)
}

// listen has the client listen on a replica for changes of the watched resource.
func (f *fleet) listen(t *testing.T, c client, on int) {
	t.Helper()
	f.Pin(on)
	defer f.Unpin()
	before := f.Hits()[on]
	err := c.subscribe(t.Context(), watched)
	if err == nil { // not every client waits until the server listens
		err = poll.Until(patience, func() error {
			if f.Hits()[on] == before {
				return fmt.Errorf("the replica has not answered")
			}
			return nil
		})
	}
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
}

// endDuringACall ends a replica while the next one runs a call of the client, of
// which nothing is seen there, and puts a new one in its place.
func (f *fleet) endDuringACall(t *testing.T, c client, victim int, how func(*replica.Replica)) {
	t.Helper()
	runner := (victim + 1) % len(names)
	before := f.Hits()[runner]
	f.Pin(runner)
	done := make(chan error, 1)
	go func() {
		text, _, err := c.call(t.Context(), "slow", map[string]any{"ms": 4000})
		if err == nil && text != "done "+names[runner] {
			err = fmt.Errorf("it answers %q", text)
		}
		done <- err
	}()
	err := poll.Until(patience, func() error {
		if f.Hits()[runner] == before {
			return fmt.Errorf("the answer has not become a stream")
		}
		return nil
	})
	f.Unpin()
	if err != nil {
		t.Fatal(err)
	}
	how(f.replicas[victim])
	f.replicas[victim] = replica.StartEverything(t, names[victim], "REDIS_URL="+f.redis.URL())
	f.Replace(t, victim, f.replicas[victim].URL())
	if err := <-done; err != nil {
		t.Errorf("a call on %s, when %s ends: %v", names[runner], names[victim], err)
	}
}

// wantClosed waits for a client that notices such things to say that listening
// ended.
func wantClosed(t *testing.T, c client, why string) {
	t.Helper()
	ts, ok := c.(*typeScript)
	if !ok {
		return
	}
	select {
	case got := <-ts.closed:
		if got != why {
			t.Errorf("listening ended, says the client, by %s, want %s", got, why)
		}
	case <-time.After(patience):
		t.Errorf("the client does not notice that listening ended by %s", why)
	}
}
