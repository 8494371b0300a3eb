package proc_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/proc"
)

// TestChildDiesWithTheTestProcess runs this test binary again, which starts a
// child and is then killed before it can clean up.
func TestChildDiesWithTheTestProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tie a child's life to its parent's")
	}
	const inner = "PROC_TEST_INNER"
	if os.Getenv(inner) != "" {
		child := proc.Start(t, "sleep", os.Environ(), "sleep", "600")
		fmt.Printf("child=%d;\n", child.Pid())
		<-child.Done()
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := proc.Start(t, "inner test", append(os.Environ(), inner+"=1"), self, "-test.run=^"+t.Name()+"$")
	var child int
	err = poll.Until(20*time.Second, func() error {
		_, rest, _ := strings.Cut(parent.Log(), "child=")
		_, err := fmt.Sscanf(rest, "%d;", &child)
		return err
	})
	if err != nil {
		t.Fatalf("the inner test started no child: %v", err)
	}
	if !alive(child) {
		t.Fatal("the child does not run")
	}
	parent.Kill()
	err = poll.Until(5*time.Second, func() error {
		if alive(child) {
			return fmt.Errorf("process %d is alive", child)
		}
		return nil
	})
	if err != nil {
		t.Errorf("the child outlived its parent: %v", err)
	}
}

// alive reports whether the process exists and is not merely waiting to be
// reaped.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestPauseResumeStop(t *testing.T) {
	p := proc.Start(t, "shell", os.Environ(), "sh", "-c", `trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done`)
	if err := poll.Until(10*time.Second, func() error {
		if p.Log() != "up\n" {
			return fmt.Errorf("log %q", p.Log())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.Pause()
	p.Resume()
	if code := p.Stop(); code != 7 || p.Log() != "up\nbye\n" || p.Running() {
		t.Errorf("exit code %d, log %q", code, p.Log())
	}
	p.Kill() // nothing to do
}
