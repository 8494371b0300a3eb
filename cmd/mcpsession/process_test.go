package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	testVersion = "v9.8.7-test"

	// patience is how long a process may take for what takes it no time.
	patience = 15 * time.Second
)

// binary is the program under test, as a user would build it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "mcpsession-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "mcpsession")
		build := exec.Command("go", "build", "-ldflags", "-X main.version="+testVersion, "-o", binary, ".")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s\n%v\n", out, err)
			return 1
		}
		return m.Run()
	}())
}

// program is the binary with no variables but these, ended with the test.
func program(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = env
	return cmd
}

// outcome is what a program left that ended.
type outcome struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// run runs the program to its end.
func run(t *testing.T, env []string, args ...string) outcome {
	t.Helper()
	cmd := program(t, env, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode(), time.Since(start)}
}

// wantMistake checks that the program failed with one line that says all of these.
func (o outcome) wantMistake(t *testing.T, says ...string) {
	t.Helper()
	if o.code != 1 || o.stdout != "" {
		t.Errorf("exits %d and prints %q, want 1 and nothing", o.code, o.stdout)
	}
	if strings.Count(o.stderr, "\n") != 1 || !strings.HasPrefix(o.stderr, "mcpsession: ") {
		t.Errorf("complains\n%s\nwant one line that begins with its name", o.stderr)
	}
	for _, part := range says {
		if !strings.Contains(o.stderr, part) {
			t.Errorf("complains %q, which does not say %q", o.stderr, part)
		}
	}
}

// replica is a program that serves.
type replica struct {
	t      *testing.T
	cmd    *exec.Cmd
	addr   string
	url    string // of the MCP endpoint
	log    *logBuffer
	exited chan struct{}
}

// start runs the program until it serves, on a port of its own.
func start(t *testing.T, env ...string) *replica {
	t.Helper()
	env = append([]string{"LISTEN_ADDR=127.0.0.1:0", "LOG_FORMAT=json", "LOG_LEVEL=debug"}, env...)
	r := &replica{t: t, cmd: program(t, env, "serve"), log: &logBuffer{}, exited: make(chan struct{})}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan struct{})
	go func() {
		defer close(r.exited)
		defer func() { _ = r.cmd.Wait() }() // the code is in ProcessState
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(r.log, lines.Text())
			var line struct{ Msg, Addr, URL string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				r.addr, r.url = line.Addr, line.URL
				close(listening)
			}
		}
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // it may have ended
		<-r.exited
	})
	select {
	case <-listening:
	case <-r.exited:
		t.Fatalf("ends before it listens:\n%s", r.log)
	case <-time.After(patience):
		t.Fatalf("does not listen:\n%s", r.log)
	}
	return r
}

func (r *replica) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// wantExit waits for the end of the process.
func (r *replica) wantExit(code int) {
	r.t.Helper()
	select {
	case <-r.exited:
	case <-time.After(patience):
		r.t.Fatalf("does not end:\n%s", r.log)
	}
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		r.t.Errorf("exits %d, want %d:\n%s", got, code, r.log)
	}
}

// get is the status and body of a path.
func (r *replica) get(path string) (int, string) {
	r.t.Helper()
	response, err := (&http.Client{Timeout: patience}).Get("http://" + r.addr + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// closedPort is a loopback address on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// logBuffer is a log that tests read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
