package redisstore

import (
	"crypto/rand"
	"sync"
)

// writers lends a name to each Update, so that a repeated write can be
// recognised. A stored session remembers for a minute which revision each
// writer produced last. A write that would lead from revision 7 to 8 and finds
// that its own writer produced 8 was done before, and only its reply was lost;
// others' later revisions do not hide that. The memory grows with the number of
// concurrent writers of one session, not with the number of writes, and is one
// entry nearly always.
//
// Two rules make this right. An Update takes its name before it reads the
// session: had it read first, the name's last holder could have produced the
// very revision that it is about to. And a name is given back only by an Update
// that knows how its writes ended.
type writers struct {
	mu   sync.Mutex
	idle []*writer // used as a stack, so that few names are in use
}

type writer struct {
	name    string
	retired bool
}

// take returns a writer that nobody else has. done makes it available again.
func (w *writers) take() (_ *writer, done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var taken *writer
	if n := len(w.idle); n > 0 {
		taken = w.idle[n-1]
		w.idle = w.idle[:n-1]
	} else {
		taken = &writer{name: newWriterName()}
	}
	return taken, func() { w.giveBack(taken) }
}

func (w *writers) giveBack(taken *writer) {
	if taken.retired {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = append(w.idle, taken)
}

// retire says that a write of unknown outcome has been sent under this name. It
// may still be on its way, and would be taken for the next holder's.
func (w *writer) retire() { w.retired = true }

// newWriterName returns a name that was never used before.
func newWriterName() string { return rand.Text()[:13] } // 65 random bits in base32
