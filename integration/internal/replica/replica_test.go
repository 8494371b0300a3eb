package replica

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// The tests run this test binary again as the server, since they are about
// the runner: with FAKE_SERVER set it behaves as cmd/mcpsession does, as far as
// a runner sees.
func TestMain(m *testing.M) {
	if mode := os.Getenv("FAKE_SERVER"); mode != "" {
		fakeServer(mode)
	}
	os.Exit(Main(m))
}

func fakeServer(mode string) {
	if mode == "broken" {
		fmt.Fprintln(os.Stderr, "LISTEN_ADDR: nonsense")
		os.Exit(2)
	}
	l, err := net.Listen("tcp", os.Getenv("LISTEN_ADDR"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	log.Info("starting", "redis", os.Getenv("REDIS_URL"))
	log.Info("listening", "addr", l.Addr().String())
	asked := 0
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked++; asked == 1 {
			w.WriteHeader(http.StatusServiceUnavailable) // not ready at first
		}
	}))
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	<-term
	os.Exit(3)
}

func start(t *testing.T, mode string) *Replica {
	t.Helper()
	t.Setenv("REDIS_URL", "redis://the-tests-own")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return launch(t, "replica", self, []string{"FAKE_SERVER=" + mode})
}

func TestReplicaLivesAndDies(t *testing.T) {
	r := start(t, "ok")
	if err := r.WaitReady(StartTimeout); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.Log(), "the-tests-own") {
		t.Error("the test's environment reached the replica")
	}
	if code := r.Stop(); code != 3 || r.Running() {
		t.Errorf("stopped with exit code %d, running: %t", code, r.Running())
	}

	r = start(t, "ok")
	if err := r.WaitReady(StartTimeout); err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if _, err := net.Dial("tcp", r.Addr()); err == nil {
		t.Error("a killed replica accepts connections")
	}
}

func TestReplicaThatEndsIsNotWaitedFor(t *testing.T) {
	r := start(t, "broken")
	err := r.WaitReady(StartTimeout)
	if err == nil || !strings.Contains(err.Error(), "exit code 2") {
		t.Errorf("WaitReady: %v", err)
	}
	if !strings.Contains(r.Log(), "nonsense") {
		t.Errorf("log: %q", r.Log())
	}
}
