// Package proc runs real processes for tests: it keeps what they print, ends
// exactly the ones it started, and leaves none behind.
package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
)

// StopTimeout bounds how long Stop waits for a process to end by itself.
const StopTimeout = 30 * time.Second

// logTail is how many of its last lines a failed test shows of each process.
const logTail = 200

// A Process is a running or ended child of the test.
//
// Its methods may be called from any goroutine, except for those that can
// fail the test (Stop, Kill, Pause, Resume): these belong to the test's own.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	log  string        // the file that stdout and stderr go to
	done chan struct{} // closed once the process has ended and was waited for
}

// Start starts a program with these arguments and exactly this environment,
// and with standard input at end of file. name is what test output calls it.
//
// When the test ends, the process is killed if it still runs, and what it
// printed is shown if the test failed. On Linux the kernel kills it too
// should the test process end without cleaning up: by a panic, a timeout or
// a signal.
func Start(t testing.TB, name string, env []string, path string, args ...string) *Process {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	// The process gets the file itself, not a pipe: then waiting for it never
	// waits for a grandchild that inherited the pipe.
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	defer out.Close()

	cmd := exec.Command(path, args...)
	cmd.Env = append([]string{}, env...) // not nil, which would mean the test's own
	cmd.Stdout, cmd.Stderr = out, out
	if err := startTied(cmd); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	p := &Process{t: t, name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s (pid %d) ended with %s and had printed:\n%s", name, p.Pid(), cmd.ProcessState, tail(p.Log(), logTail))
		}
	})
	return p
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// ExitCode waits for the end and returns the exit code, -1 after a signal.
func (p *Process) ExitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Log returns what the process has printed so far to stdout and stderr.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	return string(b)
}

// Kill ends the process at once, as `kill -9` does, and waits until it is
// gone. It does nothing to a process that has ended.
func (p *Process) Kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end (SIGTERM), waits for it and returns its exit
// code, or -1 if a signal ended it. The test fails if the process takes longer
// than StopTimeout; it then gets a SIGQUIT, so that the log of a Go program
// shows what its goroutines were waiting for.
func (p *Process) Stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.ExitCode()
	case <-time.After(StopTimeout):
	}
	p.signal(syscall.SIGQUIT)
	select {
	case <-p.done:
	case <-time.After(2 * time.Second):
		p.Kill()
	}
	p.t.Fatalf("%s did not stop within %v of SIGTERM", p.name, StopTimeout)
	return -1
}

// Pause freezes the process (SIGSTOP): connections stay open, nothing answers.
// When it returns, no thread of it runs any more, where /proc tells.
func (p *Process) Pause() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	if err := poll.Until(StopTimeout, func() error { return allStopped(p.cmd.Process.Pid) }); err != nil {
		p.t.Errorf("pause %s: %v", p.name, err)
	}
}

// allStopped returns an error that names a thread which may still run.
func allStopped(pid int) error {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return err
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		// PID (NAME) STATE ..., where the name can be anything.
		_, after, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
		if !strings.HasPrefix(after, "T") && !strings.HasPrefix(after, "Z") {
			return fmt.Errorf("the thread of %s is in state %.1s", path, after)
		}
	}
	return nil
}

// Resume lets a paused process go on (SIGCONT).
func (p *Process) Resume() {
	p.t.Helper()
	p.signal(syscall.SIGCONT)
}

func (p *Process) signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("send %v to %s: %v", sig, p.name, err)
	}
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(lines) > n {
		lines = append([]string{"..."}, lines[len(lines)-n:]...)
	}
	return strings.Join(lines, "\n")
}
