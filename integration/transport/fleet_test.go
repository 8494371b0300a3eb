// Package transport proves what server/ promises legacy clients, over real
// processes: three replicas with one Redis, and one process with memory, which a
// client cannot tell apart. Each step of a test names the replica that it goes to.
package transport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession"
	fleets "github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// Protocol versions of the legacy era. Tests of what is the same in all of them
// use the latest.
const (
	v20250326 = "2025-03-26"
	v20250618 = "2025-06-18"
	latest    = "2025-11-25"
)

var versions = []string{v20250326, v20250618, latest}

// soon is how long what goes from one replica to another may take.
const soon = fleets.Soon

// fleet is a server whose legacy sessions are looked after.
type fleet struct{ *fleets.Fleet }

func startReplicas(t testing.TB, env ...string) *fleet {
	t.Helper()
	return &fleet{fleets.StartReplicas(t, env...)}
}

// Begin begins a session. When the test ends, no log holds its secret, and Redis
// no question that nobody asks any more.
func (f *fleet) Begin(t testing.TB, url, version, capabilities string) *mcptest.Session {
	t.Helper()
	s := mcptest.Begin(t, url, version, capabilities)
	t.Cleanup(func() {
		f.wantNoSecret(t, s)
		f.wantNoQuestion(t, s)
	})
	return s
}

func (f *fleet) wantNoSecret(t testing.TB, s *mcptest.Session) {
	t.Helper()
	secret := s.Token[len(s.Token)-22:]
	for _, r := range f.Replicas {
		for line := range strings.Lines(r.Log()) {
			if strings.Contains(line, secret) {
				t.Errorf("a log holds the secret of a session: %s", strings.ReplaceAll(line, secret, "SECRET"))
			}
		}
	}
}

func (f *fleet) wantNoQuestion(t testing.TB, s *mcptest.Session) {
	t.Helper()
	if f.Redis == nil {
		return
	}
	err := poll.Until(soon, func() error {
		keys, err := f.Keys("*:" + ref(t, s).String() + ":ask:*")
		if err == nil && len(keys) > 0 {
			err = fmt.Errorf("in Redis are still %v", keys)
		}
		return err
	})
	if err != nil {
		t.Errorf("questions to the client stay behind: %v", err)
	}
}

// ref is the public name of a session.
func ref(t testing.TB, s *mcptest.Session) mcpsession.Ref {
	t.Helper()
	id, err := mcpsession.ParseSessionID(s.Token)
	if err != nil {
		t.Fatal(err)
	}
	return id.Ref()
}

// onFleets runs a test on both kinds of fleet, which it shares with other tests:
// it keeps to its own sessions, sends nothing to all, and breaks nothing.
func onFleets(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	quiet.Run(t, func(t *testing.T, f *fleets.Fleet) { test(t, &fleet{f}) })
}

// onLoudFleets is onFleets for tests that send messages to all sessions, also to
// those of the others.
func onLoudFleets(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	loud.Run(t, func(t *testing.T, f *fleets.Fleet) { test(t, &fleet{f}) })
}

var quiet, loud = fleets.NewShared(), fleets.NewShared()

// onOwnFleets runs a test on a new fleet of each kind, with these settings.
func onOwnFleets(t *testing.T, env []string, test func(t *testing.T, f *fleet)) {
	t.Helper()
	fleets.RunOwn(t, env, func(t *testing.T, f *fleets.Fleet) { test(t, &fleet{f}) })
}

// eventually polls until try succeeds.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	fleets.Eventually(t, try)
}

func TestMain(m *testing.M) { fleets.Main(m) }
