// Package modern proves what server/ promises clients of protocol version
// 2026-07-28, over real processes: three replicas with one Redis, and one process
// with memory, which a client cannot tell apart. Each step of a test names the
// replica that it goes to.
package modern

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// legacy is the latest protocol version that has sessions.
const legacy = "2025-11-25"

// quietly is for how long nothing may arrive where nothing should.
const quietly = 300 * time.Millisecond

// everyChange asks for every kind of change of a list.
const everyChange = `{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}`

var shared = fleet.NewShared()

// onFleets runs a test on both kinds of fleet, which it shares with other tests:
// it changes no list, and updates only resources of its own.
func onFleets(t *testing.T, test func(t *testing.T, f *fleet.Fleet)) {
	t.Helper()
	shared.Run(t, test)
}

func TestMain(m *testing.M) { fleet.Main(m) }

// identity is what whoami answers.
type identity struct {
	Replica, Session, Client, Level, Pv, Xhdr string
	Elicitation, Sampling                     bool
}

func parseIdentity(t *testing.T, text string) (who identity) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &who); err != nil {
		t.Fatalf("whoami answers %s", text)
	}
	return who
}

var resources atomic.Int64

// newResource is the URI of a resource that no other test has.
func newResource() string { return fmt.Sprintf("test://template/%d/data", resources.Add(1)) }

// listenTo is the filter for changes of resources.
func listenTo(uris ...string) string {
	text, _ := json.Marshal(map[string][]string{"resourceSubscriptions": uris})
	return string(text)
}

// caller is a client of either era.
type caller interface {
	Call(url, tool, arguments string) string
}

// update has a replica announce that a resource changed.
func update(t *testing.T, by caller, url, uri string) {
	t.Helper()
	if got := by.Call(url, "resource_update", fmt.Sprintf(`{"uri":%q}`, uri)); got != "ok" {
		t.Fatalf("resource_update answers %q", got)
	}
}

// wantUpdate waits for the next message, which is that a resource changed.
func wantUpdate(t *testing.T, s *mcptest.Subscription, uri string) {
	t.Helper()
	if m := s.Tagged(); m.Method != "notifications/resources/updated" || m.Param("uri") != fmt.Sprintf("%q", uri) {
		t.Errorf("when %s changed, subscription %s gets %s", uri, s.ID, m.Raw)
	}
}
