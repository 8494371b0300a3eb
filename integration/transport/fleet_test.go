// Package transport proves what server/ promises, over real processes of
// examples/everything: three replicas with one Redis, and one process with
// memory, which a client cannot tell apart. Each step of a test names the
// replica that it goes to.
package transport

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
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

// soon is how long what goes from one replica to another may take, with a wide
// margin for a slow machine.
const soon = 10 * time.Second

// fleet is a server: three replicas that share one Redis, or one process with
// memory, which then has three names.
type fleet struct {
	A, B, C string // MCP endpoints

	Replicas []*replica.Replica // A, B and C, or the one
	Redis    *redistest.Server  // nil with memory
}

// startReplicas starts a fleet of three with a Redis of its own. env is the
// replicas'.
func startReplicas(t testing.TB, env ...string) *fleet {
	t.Helper()
	redis := redistest.Start(t)
	env = append([]string{"REDIS_URL=" + redis.URL()}, env...)
	f := &fleet{Redis: redis}
	for _, endpoint := range []struct {
		name string
		url  *string
	}{{"A", &f.A}, {"B", &f.B}, {"C", &f.C}} {
		r := replica.StartEverything(t, endpoint.name, env...)
		f.Replicas = append(f.Replicas, r)
		*endpoint.url = r.URL() + "/mcp"
	}
	return f
}

// startProcess starts one process with memory.
func startProcess(t testing.TB, env ...string) *fleet {
	t.Helper()
	r := replica.StartEverything(t, "A", env...)
	url := r.URL() + "/mcp"
	return &fleet{A: url, B: url, C: url, Replicas: []*replica.Replica{r}}
}

// Replica is the process that serves an endpoint.
func (f *fleet) Replica(url string) *replica.Replica {
	for _, r := range f.Replicas {
		if strings.HasPrefix(url, r.URL()+"/") {
			return r
		}
	}
	panic("no replica serves " + url)
}

// Name is what the tools of an endpoint's replica call it.
func (f *fleet) Name(url string) string {
	switch url {
	case f.A: // also the one process
		return "A"
	case f.B:
		return "B"
	default:
		return "C"
	}
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
		keys, err := f.keys("*:" + ref(t, s).String() + ":ask:*")
		if err == nil && len(keys) > 0 {
			err = fmt.Errorf("in Redis are still %v", keys)
		}
		return err
	})
	if err != nil {
		t.Errorf("questions to the client stay behind: %v", err)
	}
}

// keys returns the keys in Redis that match a pattern.
func (f *fleet) keys(pattern string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), soon) // also in cleanups
	defer cancel()
	client := f.Redis.NewClient()
	defer client.Close()
	var keys []string
	all := client.Scan(ctx, 0, pattern, 1000).Iterator()
	for all.Next(ctx) {
		keys = append(keys, all.Val())
	}
	return keys, all.Err()
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
	quiet.run(t, test)
}

// onLoudFleets is onFleets for tests that send messages to all sessions, also to
// those of the others.
func onLoudFleets(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	loud.run(t, test)
}

// shared is a fleet of each kind, started when the first test wants it.
type shared struct{ replicas, process func() *fleet }

var quiet, loud = newShared(), newShared()

func newShared() shared {
	return shared{
		replicas: sync.OnceValue(func() *fleet { return startReplicas(allTests) }),
		process:  sync.OnceValue(func() *fleet { return startProcess(allTests) }),
	}
}

func (s shared) run(t *testing.T, test func(t *testing.T, f *fleet)) {
	t.Helper()
	t.Parallel()
	on := func(name string, start func() *fleet) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start()
			before := make([]int, len(f.Replicas))
			for i, r := range f.Replicas {
				before[i] = len(r.Log())
			}
			t.Cleanup(func() {
				if !t.Failed() {
					return
				}
				for i, r := range f.Replicas {
					t.Logf("meanwhile replica %d printed:\n%s", i, r.Log()[before[i]:])
				}
			})
			test(t, f)
		})
	}
	on("three replicas", s.replicas)
	on("one process", s.process)
}

// onOwnFleets runs a test on a new fleet of each kind, with these settings.
func onOwnFleets(t *testing.T, env []string, test func(t *testing.T, f *fleet)) {
	t.Helper()
	t.Parallel()
	t.Run("three replicas", func(t *testing.T) {
		t.Parallel()
		test(t, startReplicas(t, env...))
	})
	t.Run("one process", func(t *testing.T) {
		t.Parallel()
		test(t, startProcess(t, env...))
	})
}

// eventually polls until try succeeds.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	if err := poll.Until(soon, try); err != nil {
		t.Fatal(err)
	}
}

func TestMain(m *testing.M) {
	// Most tests wait most of the time.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := replica.Main(m)
	if !allTests.end() && code == 0 {
		code = 1
	}
	os.Exit(code)
}

// allTests is what the fleets that tests share are started for.
var allTests = &lasting{}

// lasting is as much of a testing.TB as starting processes needs. It outlives
// the tests.
type lasting struct {
	testing.TB // nil

	mu       sync.Mutex
	cleanups []func()
	text     bytes.Buffer
	failed   bool
}

func (l *lasting) Helper() {}

func (l *lasting) Cleanup(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanups = append(l.cleanups, f)
}

func (l *lasting) TempDir() string {
	dir, err := os.MkdirTemp("", "mcpsession-test-")
	if err != nil {
		l.Fatalf("%v", err)
	}
	l.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (l *lasting) Logf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.text, format+"\n", args...)
}

func (l *lasting) Errorf(format string, args ...any) {
	l.Logf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = true
}

func (l *lasting) Error(args ...any) { l.Errorf("%s", fmt.Sprint(args...)) }

// Fatalf ends the test that wanted a shared fleet, and each that comes after it.
func (l *lasting) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (l *lasting) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }

func (l *lasting) Failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// end cleans up, and reports whether nothing failed.
func (l *lasting) end() bool {
	for i := len(l.cleanups) - 1; i >= 0; i-- {
		l.cleanups[i]()
	}
	if l.failed {
		fmt.Fprint(os.Stderr, l.text.String())
	}
	return !l.failed
}
