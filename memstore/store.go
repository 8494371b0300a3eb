// Package memstore keeps sessions in the memory of one process. It needs no
// setup; sessions end with the process.
//
// A session that is not used ends when its idle timeout has passed, at most a
// sixteenth of it and at most one second later. At its absolute deadline it ends
// at once. Only if the process was stopped, or its machine so busy that it might
// as well have been, may sessions that were in use then end later by that time.
package memstore

import (
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/puzpuzpuz/xsync/v4"
)

// DefaultMaxSessions bounds a store that nobody configured: with sessions of a
// few hundred bytes, somewhat under a gigabyte.
const DefaultMaxSessions = 1_000_000

// Store is a [mcpsession.SessionStore] in memory. Get takes no lock and never
// waits for expired sessions to be cleared away; Count does, and Create when the
// store is full.
type Store struct {
	limits      mcpsession.Limits
	maxSessions int64

	entries *xsync.Map[mcpsession.Ref, *entry]
	closed  atomic.Bool
	clock   clock
	places  atomic.Int64 // entries in the map, and those about to be
	expiry  expiryQueue
}

var _ mcpsession.SessionStore = (*Store)(nil)

// New returns an empty store that holds at most maxSessions live sessions; one
// more is ErrFull. It fails when limits are out of range or maxSessions is less
// than one. Close it to give its memory back.
func New(limits mcpsession.Limits, maxSessions int) (*Store, error) {
	if err := limits.Validate(); err != nil {
		return nil, fmt.Errorf("open memory store: %w", err)
	}
	if maxSessions < 1 {
		return nil, fmt.Errorf("open memory store: maximum of %d sessions is out of range: at least 1 is needed", maxSessions)
	}
	s := &Store{
		limits:      limits,
		maxSessions: int64(maxSessions),
		entries:     xsync.NewMap[mcpsession.Ref, *entry](),
	}
	s.clock.open(margin(limits.IdleTimeout), s.extend)
	s.expiry.timer = time.AfterFunc(0, s.expire) // finds nothing; add sets it
	return s, nil
}

// Close drops all sessions and stops clearing expired ones away. Methods called
// later return an error that wraps ErrUnavailable. Closing twice is no error.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.expiry.close()
	s.entries.Clear()
	return nil
}

// Create implements [mcpsession.SessionStore].
func (s *Store) Create(ctx context.Context, id mcpsession.ID, session mcpsession.Session) (mcpsession.Session, error) {
	fail := func(err error) (mcpsession.Session, error) {
		return mcpsession.Session{}, fmt.Errorf("create session %s: %w", id, err)
	}
	if err := s.usable(ctx); err != nil {
		return fail(err)
	}
	if err := s.limits.Check(id, session); err != nil {
		return fail(err)
	}
	if !s.takePlace() {
		return fail(fmt.Errorf("%w: all %d places are taken", mcpsession.ErrFull, s.maxSessions))
	}
	now := s.clock.now()
	e := newEntry(id, session, s.limits, s.clock.start, now)
	for {
		other, taken := s.entries.LoadOrStore(id.Ref(), e)
		if !taken {
			break
		}
		switch deadline, done := other.endIfExpired(s.clock.settled()); {
		case done:
			s.remove(other)
		case deadline != ended: // else whoever ended it is about to remove it
			s.places.Add(-1)
			return fail(mcpsession.ErrExists)
		}
	}
	s.expiry.add(e, now)
	return e.session.Load().Clone(), nil
}

// Get implements [mcpsession.SessionStore]. The LastUsedAt that it returns may be
// a millisecond old.
func (s *Store) Get(ctx context.Context, id mcpsession.ID) (session mcpsession.Session, err error) {
	e, err := s.find(ctx, id)
	if err != nil {
		return session, fmt.Errorf("get session %s: %w", id, err)
	}
	used, ok := s.glance(e, s.clock.shared())
	if !ok {
		used = s.clock.now()
		if !s.touch(e, used) {
			return session, fmt.Errorf("get session %s: %w", id, mcpsession.ErrNotFound)
		}
	}
	e.read(&session, s.clock.start.Add(used))
	return session, nil
}

// Update implements [mcpsession.SessionStore]. It never fails with ErrConflict:
// some update always wins, and the others try again until ctx ends.
func (s *Store) Update(ctx context.Context, id mcpsession.ID, change func(*mcpsession.Session) error) (mcpsession.Session, error) {
	fail := func(err error) (mcpsession.Session, error) {
		return mcpsession.Session{}, fmt.Errorf("update session %s: %w", id, err)
	}
	for {
		e, err := s.find(ctx, id)
		if err != nil {
			return fail(err)
		}
		now := s.clock.now()
		if !s.touch(e, now) {
			return fail(mcpsession.ErrNotFound)
		}
		before := e.session.Load()
		next := before.Clone()
		next.LastUsedAt = s.clock.start.Add(now)
		if err := change(&next); err != nil {
			return fail(err)
		}
		if err := s.limits.Check(id, next); err != nil {
			return fail(err)
		}
		now = s.clock.now()
		after := before.Revise(next, s.clock.start.Add(now))
		if !e.session.CompareAndSwap(before, &after) {
			continue
		}
		// The write is an access too. If the session ended while change ran,
		// nobody will ever see what was written.
		if !s.touch(e, now) {
			return fail(mcpsession.ErrNotFound)
		}
		return after.Clone(), nil
	}
}

// Share implements [mcpsession.SessionStore].
func (s *Store) Share(ctx context.Context, id mcpsession.ID) (mcpsession.ID, error) {
	e, err := s.find(ctx, id)
	if err == nil && !s.touch(e, s.clock.now()) {
		err = mcpsession.ErrNotFound
	}
	if err != nil {
		return mcpsession.ID{}, fmt.Errorf("share session %s: %w", id, err)
	}
	handle := id.Handle()
	if digest := handle.Digest(); !handle.Matches(e.digest) {
		e.handle.Store(&digest) // the same one whenever, for this session has one other credential
	}
	return handle, nil
}

// Delete implements [mcpsession.SessionStore].
func (s *Store) Delete(ctx context.Context, id mcpsession.ID) error {
	if err := s.usable(ctx); err != nil {
		return fmt.Errorf("delete session %s: %w", id, err)
	}
	if e, ok := s.entries.Load(id.Ref()); ok && e.opens(id) {
		s.end(e)
	}
	return nil
}

// Count implements [mcpsession.SessionStore]. It is exact.
func (s *Store) Count(ctx context.Context) (int, error) {
	if err := s.usable(ctx); err != nil {
		return 0, fmt.Errorf("count sessions: %w", err)
	}
	s.expire()
	return s.entries.Size(), nil
}

// All implements [mcpsession.SessionStore].
func (s *Store) All(ctx context.Context) iter.Seq2[mcpsession.Session, error] {
	return func(yield func(mcpsession.Session, error) bool) {
		fail := func(err error) { yield(mcpsession.Session{}, fmt.Errorf("list sessions: %w", err)) }
		if err := s.usable(ctx); err != nil {
			fail(err)
			return
		}
		for _, e := range s.entries.All() {
			if err := s.usable(ctx); err != nil {
				fail(err)
				return
			}
			now := s.clock.settled()
			deadline := time.Duration(e.deadline.Load())
			if deadline <= now {
				continue
			}
			var session mcpsession.Session
			e.read(&session, s.clock.start.Add(e.lastUsed(deadline)))
			if !yield(session, nil) {
				return
			}
		}
	}
}

// find returns the entry that id opens, live or over.
func (s *Store) find(ctx context.Context, id mcpsession.ID) (*entry, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	e, ok := s.entries.Load(id.Ref())
	if !ok || !e.opens(id) {
		return nil, mcpsession.ErrNotFound
	}
	return e, nil
}

// glance is an access to e at the time of a shared reading. It is false, and no
// access, when there is no such reading or the deadline has to move.
//
// The reading must still be shared after the deadline was read: then whoever
// finds that it was shared for too long finds that deadline, or a later one.
func (s *Store) glance(e *entry, reading time.Duration) (used time.Duration, ok bool) {
	if reading == none {
		return 0, false
	}
	deadline := time.Duration(e.deadline.Load())
	if reading+e.idle+s.clock.margin > deadline || s.clock.shared() != reading {
		return 0, false
	}
	// The last write may be later than the reading was taken.
	return max(reading, e.lastUsed(deadline)), true
}

// extend makes up for a reading that was shared for longer than the margin:
// every session for which glance may have used it lives one idle timeout from
// when it was taken back. All then shows it as used shortly before that, as it
// may have been.
func (s *Store) extend(reading, taken time.Duration) {
	for _, e := range s.entries.All() {
		e.extend(reading+e.idle+s.clock.margin, taken)
	}
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return fmt.Errorf("%w: the memory store is closed", mcpsession.ErrUnavailable)
	}
	return ctx.Err()
}

// takePlace reserves room for one more session, clearing expired ones away
// first if there is none.
func (s *Store) takePlace() bool {
	if s.places.Add(1) <= s.maxSessions {
		return true
	}
	s.expire()
	if s.places.Load() <= s.maxSessions {
		return true
	}
	s.places.Add(-1)
	return false
}

// touch moves the idle deadline of e. If it has passed, it ends the session, so
// that nobody with an older idea of now finds it alive again.
func (s *Store) touch(e *entry, now time.Duration) bool {
	if e.touch(now) {
		return true
	}
	now = s.clock.settled()
	if _, done := e.endIfExpired(now); done {
		s.remove(e)
	}
	return e.touch(now) // it was given more time
}

// end takes e out of the store, once, whoever else tries.
func (s *Store) end(e *entry) {
	if e.end() {
		s.remove(e)
	}
}

// remove takes an entry out of the store. It is called once, by whoever ended
// the entry.
func (s *Store) remove(e *entry) {
	s.expiry.remove(e)
	s.forget(e)
}

// expire takes every session out of the store whose deadline has passed.
func (s *Store) expire() {
	s.expiry.clear(s.clock.settled, s.forget)
}

// forget removes an ended entry from the map. Until then no other entry can
// take its ref, so this cannot remove a successor.
func (s *Store) forget(e *entry) {
	s.entries.Delete(e.ref)
	s.places.Add(-1)
}
