package main

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// startTied starts cmd so that the kernel ends it when this process ends,
// however it ends. The kernel goes by the thread that started the child, so one
// thread, which lives as long as the process, starts them all.
func startTied(cmd *exec.Cmd) error {
	startThread.Do(func() {
		go func() {
			runtime.LockOSThread()
			for start := range starts {
				start()
			}
		}()
	})
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	starts <- func() { result <- cmd.Start() }
	return <-result
}

var (
	startThread sync.Once
	starts      = make(chan func()) // never closed
)
