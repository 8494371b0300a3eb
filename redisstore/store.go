// Package redisstore keeps sessions in Redis 7.0 or later, or Valkey 7.2 or
// later, shared by any number of processes, and carries what these say to one
// another. Sessions end by the TTL of their keys, by the server's clock: there is
// no cleanup loop, and nothing depends on a replica's clock.
//
// The server should have maxmemory-policy noeviction, and persistence to taste:
// a session is as durable as the server makes it.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// Store is a [mcpsession.SessionStore] in Redis. Get is one round trip, Update
// two and one more for each conflict; many callers at once share round trips.
type Store struct {
	client  *batching
	owned   bool // Close closes client
	limits  mcpsession.Limits
	keys    keys
	scripts scripts
	writers writers
	touched touched
	logger  *slog.Logger
}

var (
	_ mcpsession.SessionStore = (*Store)(nil)
	_ mcpsession.Pinger       = (*Store)(nil)
)

// attempts bounds how often Update applies its function before ErrConflict.
const attempts = 100

// Create implements [mcpsession.SessionStore].
func (s *Store) Create(ctx context.Context, id mcpsession.ID, session mcpsession.Session) (mcpsession.Session, error) {
	session, err := s.create(ctx, id, session)
	if err != nil {
		return mcpsession.Session{}, fmt.Errorf("create session %s: %w", id, err)
	}
	return session, nil
}

func (s *Store) create(ctx context.Context, id mcpsession.ID, session mcpsession.Session) (mcpsession.Session, error) {
	if err := s.limits.Check(id, session); err != nil {
		return session, err
	}
	content, err := encodeContent(session)
	if err != nil {
		return session, err
	}
	sent := time.Now()
	a, err := s.run(ctx, s.scripts.create, id, newWriterName(),
		s.limits.IdleTimeout.Milliseconds(), s.limits.MaxLifetime.Milliseconds(), content)
	switch {
	case err != nil:
		return session, err
	case a.outcome == exists:
		return session, mcpsession.ErrExists
	case a.outcome != done:
		return session, a.unexpected()
	}
	session = s.limits.Begin(id, session, a.time)
	s.touched.remember(id.Ref(), sent, a.time, session.IdleTimeout)
	return session, nil
}

// Get implements [mcpsession.SessionStore]: one round trip, which does not write
// if this replica touched the session recently enough.
func (s *Store) Get(ctx context.Context, id mcpsession.ID) (mcpsession.Session, error) {
	r, err := s.get(ctx, id)
	if err != nil {
		return mcpsession.Session{}, fmt.Errorf("get session %s: %w", id, err)
	}
	return r.session, nil
}

func (s *Store) get(ctx context.Context, id mcpsession.ID) (record, error) {
	now, recent := s.touched.now(id.Ref())
	if !recent {
		return s.touch(ctx, id)
	}
	value, err := s.client.Get(ctx, s.keys.session(id.Ref())).Result()
	if errors.Is(err, redis.Nil) {
		return s.touch(ctx, id) // which makes sure, and forgets
	}
	if err != nil {
		return record{}, storageError(err)
	}
	r, err := decode(value, id.Ref())
	if err != nil {
		return record{}, err
	}
	if !r.opens(id) {
		return record{}, mcpsession.ErrNotFound
	}
	r.session.LastUsedAt = now
	return r, nil
}

// touch reads the session that id opens and moves its idle deadline.
func (s *Store) touch(ctx context.Context, id mcpsession.ID) (record, error) {
	if id.IsZero() {
		return record{}, mcpsession.ErrNotFound
	}
	sent := time.Now()
	a, err := s.run(ctx, s.scripts.touch, id)
	if err != nil {
		return record{}, err
	}
	if a.outcome == absent {
		s.touched.forget(id.Ref())
		return record{}, mcpsession.ErrNotFound
	}
	r, err := decode(a.value, id.Ref())
	if err != nil {
		return record{}, err
	}
	if a.outcome != done { // we can read it, and the script could not
		return record{}, fmt.Errorf("%w: its header is malformed", errCorrupt)
	}
	if !r.opens(id) {
		return record{}, mcpsession.ErrNotFound
	}
	r.session.LastUsedAt = a.time
	s.touched.remember(id.Ref(), sent, a.time, r.session.IdleTimeout)
	return r, nil
}

// Update implements [mcpsession.SessionStore].
func (s *Store) Update(ctx context.Context, id mcpsession.ID, change func(*mcpsession.Session) error) (mcpsession.Session, error) {
	session, err := s.update(ctx, id, change)
	if err != nil {
		return mcpsession.Session{}, fmt.Errorf("update session %s: %w", id, err)
	}
	return session, nil
}

func (s *Store) update(ctx context.Context, id mcpsession.ID, change func(*mcpsession.Session) error) (mcpsession.Session, error) {
	writer, giveBack := s.writers.take()
	defer giveBack()
	before, err := s.touch(ctx, id)
	if err != nil {
		return mcpsession.Session{}, err
	}
	for range attempts {
		after := before.session.Clone()
		if err := change(&after); err != nil {
			return mcpsession.Session{}, err
		}
		if err := s.limits.Check(id, after); err != nil {
			return mcpsession.Session{}, err
		}
		stored, newer, err := s.replace(ctx, id, writer, before.session, after)
		if err != nil {
			return mcpsession.Session{}, err
		}
		if newer == nil {
			return stored, nil
		}
		before = *newer
	}
	return mcpsession.Session{}, fmt.Errorf("%w: others were faster %d times", mcpsession.ErrConflict, attempts)
}

// replace stores after as the revision that follows before, and returns it as
// stored; or it returns the stored session, if that is no longer at before.
func (s *Store) replace(ctx context.Context, id mcpsession.ID, writer *writer, before, after mcpsession.Session) (stored mcpsession.Session, newer *record, err error) {
	content, err := encodeContent(before.Revise(after, time.Time{}))
	if err != nil {
		return stored, nil, err
	}
	sent := time.Now()
	a, err := s.run(ctx, s.scripts.update, id, writer.name, strconv.FormatUint(before.Revision, 10), content)
	switch {
	case err != nil:
		writer.retire()
		return stored, nil, err
	case a.outcome == absent:
		s.touched.forget(id.Ref())
		return stored, nil, mcpsession.ErrNotFound
	case a.outcome == differs:
		r, err := decode(a.value, id.Ref())
		r.session.LastUsedAt = a.time
		return stored, &r, err
	case a.outcome != done:
		return stored, nil, a.unexpected()
	}
	s.touched.remember(id.Ref(), sent, a.time, before.IdleTimeout)
	return before.Revise(after, a.time), nil, nil
}

// Share implements [mcpsession.SessionStore]: one round trip.
func (s *Store) Share(ctx context.Context, id mcpsession.ID) (mcpsession.ID, error) {
	handle, err := s.share(ctx, id)
	if err != nil {
		return mcpsession.ID{}, fmt.Errorf("share session %s: %w", id, err)
	}
	return handle, nil
}

func (s *Store) share(ctx context.Context, id mcpsession.ID) (handle mcpsession.ID, err error) {
	if id.IsZero() {
		return handle, mcpsession.ErrNotFound
	}
	handle = id.Handle()
	a, err := s.run(ctx, s.scripts.share, id, encodeDigest(handle.Digest()))
	switch {
	case err != nil:
		return handle, err
	case a.outcome == absent:
		s.touched.forget(id.Ref())
		return handle, mcpsession.ErrNotFound
	case a.outcome == differs:
		_, err := decode(a.value, id.Ref())
		return handle, err
	case a.outcome != done:
		return handle, a.unexpected()
	}
	return handle, nil
}

// Delete implements [mcpsession.SessionStore].
func (s *Store) Delete(ctx context.Context, id mcpsession.ID) error {
	if id.IsZero() {
		return nil
	}
	s.touched.forget(id.Ref())
	a, err := s.run(ctx, s.scripts.delete, id)
	if err == nil && a.outcome == differs {
		_, err = decode(a.value, id.Ref())
	}
	if err != nil {
		return fmt.Errorf("delete session %s: %w", id, err)
	}
	return nil
}
