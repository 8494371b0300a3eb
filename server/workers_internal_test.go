package server

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
)

func TestAnyNumberOfCallsRunAtOnceAndFewGoroutinesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		w := workers{next: make(chan func()), done: done}
		for range 2 { // the second time, some wait for it
			const n = 3 * maxIdle
			var running, finish sync.WaitGroup
			running.Add(n)
			finish.Add(1)
			for range n {
				w.run(func() {
					running.Done()
					finish.Wait()
				})
			}
			running.Wait() // for ever, if they do not run all at once
			finish.Done()
			synctest.Wait()
			if idle := w.idle.Load(); idle != maxIdle {
				t.Errorf("%d goroutines wait for more, want %d", idle, maxIdle)
			}
		}
		close(done) // else the test does not end
	})
}

func TestACallRunsOnAGoroutineThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		defer close(done)
		w := workers{next: make(chan func()), done: done}
		goroutine := func() string {
			var name string
			w.run(func() {
				text := make([]byte, 64)
				name = string(text[:runtime.Stack(text, false)])
			})
			synctest.Wait()
			return name
		}
		if first, second := goroutine(), goroutine(); first != second {
			t.Errorf("a call ran on %q, and the next one on %q", first, second)
		}
	})
}
