package memstore

import (
	"math"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/puzpuzpuz/xsync/v4"
)

// ending is a map whose entries end by themselves. An entry has a timer, which
// runs when the entry was first to end and looks whether that has moved since:
// an entry in use costs about one run for each of its lifetimes, and one that is
// not leaves memory.
//
// The map's lock of a few keys is the lock of their entries: whatever reads or
// changes an entry does so inside Compute.
type ending[V any] struct {
	entries *xsync.Map[mcpsession.Key, *mortal[V]]
	now     func() time.Duration
}

// mortal is an entry.
type mortal[V any] struct {
	value *V
	ends  time.Duration
	timer *time.Timer
	runs  time.Duration // when the timer does, never after ends
}

func newEnding[V any](now func() time.Duration) *ending[V] {
	return &ending[V]{entries: xsync.NewMap[mcpsession.Key, *mortal[V]](), now: now}
}

// unchanged says that a visit moves no end.
const unchanged = time.Duration(-1)

// visit calls look with what is under key, nil if nothing. Nobody else sees or
// changes that meanwhile. What look returns takes its place, nil if nothing
// shall, and ends ttl from now; if ttl is unchanged, look returns what it got.
func (m *ending[V]) visit(key mcpsession.Key, look func(*V) (next *V, ttl time.Duration)) {
	m.entries.Compute(key, func(e *mortal[V], loaded bool) (*mortal[V], xsync.ComputeOp) {
		now := m.now()
		var value *V
		if loaded && e.ends > now {
			value = e.value
		}
		next, ttl := look(value)
		switch {
		case next == nil && !loaded:
			return nil, xsync.CancelOp
		case next == nil:
			e.timer.Stop()
			return nil, xsync.DeleteOp
		case ttl == unchanged:
			return e, xsync.CancelOp
		}
		ends := now + min(ttl, math.MaxInt64-now)
		if !loaded {
			e = &mortal[V]{value: next, ends: ends, runs: ends}
			e.timer = time.AfterFunc(ttl, func() { m.end(key, e) })
			return e, xsync.UpdateOp
		}
		e.value, e.ends = next, ends
		if ends < e.runs {
			e.timer.Reset(ttl)
			e.runs = ends
		}
		return e, xsync.CancelOp
	})
}

// end removes an entry if its time has come.
func (m *ending[V]) end(key mcpsession.Key, e *mortal[V]) {
	m.entries.Compute(key, func(present *mortal[V], _ bool) (*mortal[V], xsync.ComputeOp) {
		now := m.now()
		switch {
		case present != e: // it was removed while the timer ran
			return present, xsync.CancelOp
		case e.ends > now:
			e.timer.Reset(e.ends - now)
			e.runs = e.ends
			return e, xsync.CancelOp
		}
		return nil, xsync.DeleteOp
	})
}

func (m *ending[V]) remove(key mcpsession.Key) {
	m.visit(key, func(*V) (*V, time.Duration) { return nil, unchanged })
}

// clear removes everything that is there when it is called.
func (m *ending[V]) clear() {
	for key := range m.entries.All() {
		m.remove(key)
	}
}
