package fleet

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/replica"
)

// Shared is a fleet of each kind that tests share, started when the first one
// wants it, and stopped by [Main].
type Shared struct{ replicas, process func() *Fleet }

// NewShared is for a variable of a test package.
func NewShared() Shared {
	return Shared{
		replicas: sync.OnceValue(func() *Fleet { return StartReplicas(allTests) }),
		process:  sync.OnceValue(func() *Fleet { return StartProcess(allTests) }),
	}
}

// Replicas is the fleet of three.
func (s Shared) Replicas() *Fleet { return s.replicas() }

// Run runs a test on both kinds of fleet, beside others. If it fails it shows
// what the replicas printed meanwhile.
func (s Shared) Run(t *testing.T, test func(t *testing.T, f *Fleet)) {
	t.Helper()
	t.Parallel()
	on := func(name string, start func() *Fleet) {
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

// RunOwn runs a test on a new fleet of each kind, with these settings.
func RunOwn(t *testing.T, env []string, test func(t *testing.T, f *Fleet)) {
	t.Helper()
	t.Parallel()
	t.Run("three replicas", func(t *testing.T) {
		t.Parallel()
		test(t, StartReplicas(t, env...))
	})
	t.Run("one process", func(t *testing.T) {
		t.Parallel()
		test(t, StartProcess(t, env...))
	})
}

// Main runs the tests of a package that uses fleets:
//
//	func TestMain(m *testing.M) { fleet.Main(m) }
func Main(m *testing.M) {
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
