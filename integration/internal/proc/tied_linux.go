package proc

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// startTied starts cmd so that the kernel kills it when this process ends,
// however it ends (PR_SET_PDEATHSIG).
//
// The kernel sends that signal when the thread that started the child ends,
// not the process. So one thread starts them all, and lives as long as the
// process: it is locked to a goroutine that never returns.
func startTied(cmd *exec.Cmd) error {
	startThread.Do(func() {
		go func() {
			runtime.LockOSThread()
			for start := range starts {
				start()
			}
		}()
	})
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	result := make(chan error)
	starts <- func() { result <- cmd.Start() }
	return <-result
}

var (
	startThread sync.Once
	starts      = make(chan func()) // never closed
)
