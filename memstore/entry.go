package memstore

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/mcpsession/mcpsession"
)

// ended is the deadline of an entry that was deleted or cleared away. It lies
// before every possible now, so no access can revive the entry.
const ended = time.Duration(math.MinInt64)

// maxSlack bounds how much later than its idle timeout a session ends.
const maxSlack = time.Second

// slack is how much later than it has to an unused session ends, so that most
// accesses to a busy one need not write: the cores that read it then share its
// cache line. The contract allows a sixteenth of the idle timeout.
func slack(idle time.Duration) time.Duration { return min(idle/16, maxSlack) }

// margin is the part of the slack that an access finds or writes, so that the
// next ones need not know the exact time.
func margin(idle time.Duration) time.Duration { return slack(idle) / 2 }

// entry is one session. Its times are durations since the store's start.
type entry struct {
	// What every access reads: 64 bytes, so as few cache lines as can be.
	digest   mcpsession.Digest
	idle     time.Duration
	last     time.Duration                      // the absolute deadline
	deadline atomic.Int64                       // the next deadline, or ended; only ever grows until then
	session  atomic.Pointer[mcpsession.Session] // the newest revision, never modified

	ref    mcpsession.Ref
	handle atomic.Pointer[mcpsession.Digest] // of the handle, once the session is shared

	// Of the expiryQueue, guarded by its lock.
	due   time.Duration // a deadline that the entry had, so never later than its deadline
	place int           // in the heap, or unqueued
}

func newEntry(id mcpsession.ID, s mcpsession.Session, limits mcpsession.Limits, start time.Time, now time.Duration) *entry {
	s = limits.Begin(id, s, start.Add(now))
	e := &entry{
		ref:    id.Ref(),
		digest: id.Digest(),
		idle:   limits.IdleTimeout,
		last:   now + limits.MaxLifetime,
		place:  unqueued,
	}
	e.deadline.Store(int64(e.next(now)))
	e.session.Store(&s)
	return e
}

// opens reports whether id is a credential of the session.
func (e *entry) opens(id mcpsession.ID) bool {
	if id.Matches(e.digest) {
		return true
	}
	handle := e.handle.Load()
	return handle != nil && id.Matches(*handle)
}

// read sets into to a copy of the newest revision, last used at the given time
// or when it was written, whichever is later. It copies the struct, which is
// large, once: to where the caller wants it.
func (e *entry) read(into *mcpsession.Session, lastUsed time.Time) {
	*into = *e.session.Load()
	into.Unshare()
	if lastUsed.After(into.LastUsedAt) {
		into.LastUsedAt = lastUsed
	}
}

func (e *entry) expired(now time.Duration) bool { return time.Duration(e.deadline.Load()) <= now }

// next is the deadline that an access at the time now writes, if it has to.
func (e *entry) next(now time.Duration) time.Duration {
	return min(now+e.idle+slack(e.idle), e.last)
}

// touch makes sure that the session lives one idle timeout from now. It is
// false, and changes nothing, when the session has ended or a deadline passed.
func (e *entry) touch(now time.Duration) bool {
	for {
		deadline := time.Duration(e.deadline.Load())
		if deadline <= now {
			return false
		}
		if min(now+e.idle+margin(e.idle), e.last) <= deadline || e.deadline.CompareAndSwap(int64(deadline), int64(e.next(now))) {
			return true
		}
	}
}

// end makes the entry ended. It is true for the one caller that did it.
func (e *entry) end() bool {
	return time.Duration(e.deadline.Swap(int64(ended))) != ended
}

// endIfExpired ends the entry if its deadline has passed, and else returns that
// deadline. A touch at the same moment either comes first, and is respected, or
// finds the entry ended.
func (e *entry) endIfExpired(now time.Duration) (deadline time.Duration, done bool) {
	for {
		d := e.deadline.Load()
		switch {
		case time.Duration(d) == ended:
			return ended, false
		case time.Duration(d) > now:
			return time.Duration(d), false
		case e.deadline.CompareAndSwap(d, int64(ended)):
			return ended, true
		}
	}
}

// extend moves the deadline to one idle timeout from now if it lies between
// from and there.
func (e *entry) extend(from, now time.Duration) {
	for {
		deadline, next := time.Duration(e.deadline.Load()), min(now+e.idle, e.last)
		if deadline < from || deadline >= next || e.deadline.CompareAndSwap(int64(deadline), int64(next)) {
			return
		}
	}
}

// lastUsed is the last access that wrote the deadline. It hides an access soon
// after, and one within an idle timeout of the absolute deadline.
func (e *entry) lastUsed(deadline time.Duration) time.Duration {
	return deadline - slack(e.idle) - e.idle
}
