// Package memstore keeps sessions in the memory of one process. It needs no
// setup; sessions end with the process.
//
// A session that is not used ends when its idle timeout has passed, at most a
// sixteenth of it and at most one second later. At its absolute deadline it ends
// at once.
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

	// start is the origin of all times inside the store. Its monotonic reading
	// keeps deadlines right when the wall clock is set.
	start   time.Time
	entries *xsync.Map[mcpsession.Ref, *entry]
	places  atomic.Int64 // entries in the map, and those about to be
	expiry  expiryQueue
	closed  atomic.Bool
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
		start:       time.Now(),
		entries:     xsync.NewMap[mcpsession.Ref, *entry](),
	}
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
	now := s.now()
	e := newEntry(id, session, s.limits, s.start, now)
	for {
		other, taken := s.entries.LoadOrStore(id.Ref(), e)
		if !taken {
			break
		}
		if !other.expired(now) {
			s.places.Add(-1)
			return fail(mcpsession.ErrExists)
		}
		s.end(other)
	}
	s.expiry.add(e, now)
	return e.session.Load().Clone(), nil
}

// Get implements [mcpsession.SessionStore].
func (s *Store) Get(ctx context.Context, id mcpsession.ID) (session mcpsession.Session, err error) {
	e, now, err := s.access(ctx, id)
	if err != nil {
		return session, fmt.Errorf("get session %s: %w", id, err)
	}
	e.read(&session, s.start.Add(now))
	return session, nil
}

// Update implements [mcpsession.SessionStore]. It never fails with ErrConflict:
// some update always wins, and the others try again until ctx ends.
func (s *Store) Update(ctx context.Context, id mcpsession.ID, change func(*mcpsession.Session) error) (mcpsession.Session, error) {
	fail := func(err error) (mcpsession.Session, error) {
		return mcpsession.Session{}, fmt.Errorf("update session %s: %w", id, err)
	}
	for {
		e, now, err := s.access(ctx, id)
		if err != nil {
			return fail(err)
		}
		before := e.session.Load()
		next := before.Clone()
		next.LastUsedAt = s.start.Add(now)
		if err := change(&next); err != nil {
			return fail(err)
		}
		if err := s.limits.Check(id, next); err != nil {
			return fail(err)
		}
		now = s.now()
		after := before.Revise(next, s.start.Add(now))
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

// Delete implements [mcpsession.SessionStore].
func (s *Store) Delete(ctx context.Context, id mcpsession.ID) error {
	if err := s.usable(ctx); err != nil {
		return fmt.Errorf("delete session %s: %w", id, err)
	}
	if e, ok := s.entries.Load(id.Ref()); ok && id.Matches(e.digest) {
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
			deadline := time.Duration(e.deadline.Load())
			if deadline <= s.now() {
				continue
			}
			var session mcpsession.Session
			e.read(&session, e.lastUsed(s.start, deadline))
			if !yield(session, nil) {
				return
			}
		}
	}
}

// access finds the live session that id opens and moves its idle deadline.
func (s *Store) access(ctx context.Context, id mcpsession.ID) (*entry, time.Duration, error) {
	if err := s.usable(ctx); err != nil {
		return nil, 0, err
	}
	e, ok := s.entries.Load(id.Ref())
	if !ok || !id.Matches(e.digest) {
		return nil, 0, mcpsession.ErrNotFound
	}
	now := s.now()
	if !s.touch(e, now) {
		return nil, 0, mcpsession.ErrNotFound
	}
	return e, now, nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return fmt.Errorf("%w: the memory store is closed", mcpsession.ErrUnavailable)
	}
	return ctx.Err()
}

func (s *Store) now() time.Duration { return time.Since(s.start) }

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
	if _, done := e.endIfExpired(now); done {
		s.remove(e)
	}
	return false
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
	s.expiry.clear(s.now, s.forget)
}

// forget removes an ended entry from the map. Until then no other entry can
// take its ref, so this cannot remove a successor.
func (s *Store) forget(e *entry) {
	s.entries.Delete(e.ref)
	s.places.Add(-1)
}
