package server

import "sync/atomic"

// maxIdle is how many goroutines wait for the next call, each with a stack of 8
// to 32 KB.
const maxIdle = 64

// workers run calls on goroutines that wait for the next call when they are
// done. A call needs a deep stack; a new goroutine begins with a small one, and
// growing it was a seventh of the work for an ordinary call.
type workers struct {
	next chan func() // taken at once, by a worker that waits, or not at all
	idle atomic.Int32
	done <-chan struct{} // closed when nobody needs to wait any more
}

// run has a worker run f. It does not wait, and any number run at once.
func (w *workers) run(f func()) {
	select {
	case w.next <- f:
	default:
		go w.work(f)
	}
}

func (w *workers) work(f func()) {
	for {
		f()
		f = nil // which the garbage collector would keep
		if w.idle.Add(1) > maxIdle {
			w.idle.Add(-1)
			return
		}
		select {
		case f = <-w.next:
			w.idle.Add(-1)
		case <-w.done:
			return
		}
	}
}
