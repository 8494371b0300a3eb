package memstore

import (
	"container/heap"
	"sync"
	"time"
)

const (
	unqueued = -1

	// batch is how long an expired session may stay in memory, so that one run
	// of the timer clears many. Nobody sees such a session meanwhile.
	batch = time.Second

	// stride is how many entries are cleared under one hold of the lock, so that
	// Create and Delete never wait for a large clearing.
	stride = 256
)

// expiryQueue orders entries by a deadline they once had. An access does not
// reorder it: an entry whose time has come but whose deadline moved on is
// queued again, about once per idle timeout. So finding the stale sessions
// costs nothing for the others, and nothing on each access.
type expiryQueue struct {
	clearing sync.Mutex // held while a clear runs; taken before mu

	mu     sync.Mutex
	heap   entryHeap
	timer  *time.Timer   // runs the store's expire; none is set while the heap is empty
	alarm  time.Duration // when the timer runs, if armed
	armed  bool
	closed bool
}

// add queues a new entry, unless it ended already.
func (q *expiryQueue) add(e *entry, now time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	deadline := time.Duration(e.deadline.Load())
	if deadline == ended || q.closed {
		return
	}
	e.due = deadline
	heap.Push(&q.heap, e)
	q.arm(now)
}

// remove takes an ended entry out, so that its memory is free at once.
func (q *expiryQueue) remove(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e.place != unqueued && !q.closed {
		heap.Remove(&q.heap, e.place)
	}
}

// clear ends every entry whose deadline has passed and calls forget for each,
// then sets the timer for the next.
func (q *expiryQueue) clear(now func() time.Duration, forget func(*entry)) {
	q.clearing.Lock()
	defer q.clearing.Unlock()
	for {
		stale, more := q.popStale(now())
		for _, e := range stale {
			forget(e)
		}
		if !more {
			return
		}
	}
}

// popStale handles up to stride entries whose time has come, and returns those
// it ended. more is false when no other is due.
func (q *expiryQueue) popStale(now time.Duration) (stale []*entry, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, false
	}
	for range stride {
		if len(q.heap) == 0 || q.heap[0].due > now {
			q.armed = false
			q.arm(now)
			return stale, false
		}
		e := q.heap[0]
		deadline, done := e.endIfExpired(now)
		switch {
		case done:
			heap.Pop(&q.heap)
			stale = append(stale, e)
		case deadline == ended: // by a Delete that is about to remove it
			heap.Pop(&q.heap)
		default:
			e.due = deadline
			heap.Fix(&q.heap, 0)
		}
	}
	return stale, true
}

// arm sets the timer for the first entry, if it is not set for that time or an
// earlier one.
func (q *expiryQueue) arm(now time.Duration) {
	if len(q.heap) == 0 {
		return
	}
	alarm := q.heap[0].due + batch
	if q.armed && q.alarm <= alarm {
		return
	}
	q.timer.Reset(alarm - now)
	q.alarm, q.armed = alarm, true
}

// close drops all entries and waits for a clear that runs.
func (q *expiryQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.heap = nil
	q.timer.Stop()
	q.mu.Unlock()
	q.clearing.Lock() // a clear that had begun sees closed and returns
	defer q.clearing.Unlock()
}

// entryHeap implements [heap.Interface] by due time.
type entryHeap []*entry

func (h entryHeap) Len() int           { return len(h) }
func (h entryHeap) Less(i, j int) bool { return h[i].due < h[j].due }

func (h entryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *entryHeap) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

func (h *entryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.place = unqueued
	// Give memory back after a wave of sessions has ended.
	if cap(*h) > 1024 && len(*h) < cap(*h)/4 {
		*h = append(make(entryHeap, 0, cap(*h)/2), *h...)
	}
	return e
}
