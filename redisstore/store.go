// Package redisstore keeps sessions in Redis 7.0 or later, or Valkey 7.2 or
// later, shared by any number of processes. Sessions end by the TTL of their
// keys, by the server's clock: there is no cleanup loop, and nothing depends on
// a replica's clock.
//
// The server should have maxmemory-policy noeviction, and persistence to taste:
// a session is as durable as the server makes it.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// Store is a [mcpsession.SessionStore] in Redis. Get is one round trip, Update
// two and one more for each conflict.
type Store struct {
	client  redis.UniversalClient
	owned   bool // Close closes client
	limits  mcpsession.Limits
	keys    keys
	scripts scripts
	writers writers
	touched touched
}

var (
	_ mcpsession.SessionStore = (*Store)(nil)
	_ mcpsession.Pinger       = (*Store)(nil)
)

// attempts bounds how often Update applies its function before ErrConflict.
const attempts = 100

// Create implements [mcpsession.SessionStore].
func (s *Store) Create(ctx context.Context, id mcpsession.ID, session mcpsession.Session) (mcpsession.Session, error) {
	fail := func(err error) (mcpsession.Session, error) {
		return mcpsession.Session{}, fmt.Errorf("create session %s: %w", id, err)
	}
	if err := s.limits.Check(id, session); err != nil {
		return fail(err)
	}
	content, err := encodeContent(session)
	if err != nil {
		return fail(err)
	}
	sent := time.Now()
	created, err := s.run(ctx, s.scripts.create, id.Ref(),
		id.Ref().String(), encodeDigest(id.Digest()), newWriterName(),
		s.limits.IdleTimeout.Milliseconds(), s.limits.MaxLifetime.Milliseconds(), content).Int64()
	if errors.Is(err, redis.Nil) {
		return fail(mcpsession.ErrExists)
	}
	if err != nil {
		return fail(storageError(err))
	}
	session = session.Clone()
	session.Ref = id.Ref()
	session.CreatedAt = millis(created)
	session.LastUsedAt = session.CreatedAt
	session.ExpiresAt = session.CreatedAt.Add(s.limits.MaxLifetime)
	session.IdleTimeout = s.limits.IdleTimeout
	session.Revision = 1
	s.touched.remember(id.Ref(), sent, session.CreatedAt, session.IdleTimeout)
	return session, nil
}

// Get implements [mcpsession.SessionStore].
func (s *Store) Get(ctx context.Context, id mcpsession.ID) (mcpsession.Session, error) {
	r, err := s.access(ctx, id)
	if err != nil {
		return mcpsession.Session{}, fmt.Errorf("get session %s: %w", id, err)
	}
	return r.session, nil
}

// Update implements [mcpsession.SessionStore].
func (s *Store) Update(ctx context.Context, id mcpsession.ID, change func(*mcpsession.Session) error) (mcpsession.Session, error) {
	fail := func(err error) (mcpsession.Session, error) {
		return mcpsession.Session{}, fmt.Errorf("update session %s: %w", id, err)
	}
	writer, done := s.writers.take()
	defer done()
	before, err := s.access(ctx, id)
	if err != nil {
		return fail(err)
	}
	for range attempts {
		after := before.session.Clone()
		if err := change(&after); err != nil {
			return fail(err)
		}
		if err := s.limits.Check(id, after); err != nil {
			return fail(err)
		}
		after = fixed(before.session, after)
		newer, err := s.replace(ctx, id, writer, &after)
		if err != nil {
			return fail(err)
		}
		if newer == "" {
			return after, nil
		}
		if before, err = decode(newer, id.Ref()); err != nil {
			return fail(err)
		}
	}
	return fail(fmt.Errorf("%w: others were faster %d times", mcpsession.ErrConflict, attempts))
}

// fixed returns after with everything that an Update may not change as it was.
func fixed(before, after mcpsession.Session) mcpsession.Session {
	after = after.Clone()
	after.Ref = before.Ref
	after.Owner = before.Owner
	after.CreatedAt = before.CreatedAt
	after.ExpiresAt = before.ExpiresAt
	after.IdleTimeout = before.IdleTimeout
	after.Revision = before.Revision
	return after
}

// replace stores after in place of the revision that it was made from, and
// completes it; or returns the stored value, if that has another revision.
func (s *Store) replace(ctx context.Context, id mcpsession.ID, writer *writer, after *mcpsession.Session) (newer string, err error) {
	content, err := encodeContent(*after)
	if err != nil {
		return "", err
	}
	sent := time.Now()
	newer, now, err := valueAndTime(s.run(ctx, s.scripts.update, id.Ref(),
		id.Ref().String(), encodeDigest(id.Digest()), writer.name, strconv.FormatUint(after.Revision, 10), content))
	if errors.Is(err, redis.Nil) {
		s.touched.forget(id.Ref())
		return "", mcpsession.ErrNotFound
	}
	if err != nil {
		writer.retire()
		return "", storageError(err)
	}
	if newer == "" {
		after.Revision++
		after.LastUsedAt = now
		s.touched.remember(id.Ref(), sent, now, after.IdleTimeout)
	}
	return newer, nil
}

// Delete implements [mcpsession.SessionStore].
func (s *Store) Delete(ctx context.Context, id mcpsession.ID) error {
	if id.IsZero() {
		return nil
	}
	value, err := s.run(ctx, s.scripts.delete, id.Ref(), id.Ref().String(), encodeDigest(id.Digest())).Text()
	if err != nil {
		return fmt.Errorf("delete session %s: %w", id, storageError(err))
	}
	s.touched.forget(id.Ref())
	if value != "" {
		if _, err := decode(value, id.Ref()); err != nil {
			return fmt.Errorf("delete session %s: %w", id, err)
		}
	}
	return nil
}

// access reads the session that id opens and moves its idle deadline, in one
// round trip. It does not write when this replica touched the session recently
// enough.
func (s *Store) access(ctx context.Context, id mcpsession.ID) (record, error) {
	if id.IsZero() {
		return record{}, mcpsession.ErrNotFound
	}
	ref := id.Ref()
	var value string
	var err error
	sent := time.Now()
	now, recent := s.touched.now(ref)
	if recent {
		value, err = s.client.Get(ctx, s.keys.session(ref)).Result()
	} else {
		value, now, err = valueAndTime(s.run(ctx, s.scripts.touch, ref, ref.String(), encodeDigest(id.Digest())))
	}
	if errors.Is(err, redis.Nil) {
		s.touched.forget(ref)
		return record{}, mcpsession.ErrNotFound
	}
	if err != nil {
		return record{}, storageError(err)
	}
	r, err := decode(value, ref)
	if err != nil {
		return record{}, err
	}
	if !r.opens(id) {
		return record{}, mcpsession.ErrNotFound
	}
	if !recent {
		s.touched.remember(ref, sent, now, r.session.IdleTimeout)
	}
	r.session.LastUsedAt = now
	return r, nil
}

// run runs a script on the keys of one session.
func (s *Store) run(ctx context.Context, script *redis.Script, ref mcpsession.Ref, args ...any) *redis.Cmd {
	return script.Run(ctx, s.client, []string{s.keys.session(ref), s.keys.index(bucketOf(ref))}, args...)
}

// valueAndTime reads the reply {value, milliseconds} of a script.
func valueAndTime(cmd *redis.Cmd) (string, time.Time, error) {
	reply, err := cmd.Slice()
	if err != nil {
		return "", time.Time{}, err
	}
	if len(reply) == 2 {
		value, isText := reply[0].(string)
		now, isNumber := reply[1].(int64)
		if isText && isNumber {
			return value, millis(now), nil
		}
	}
	return "", time.Time{}, fmt.Errorf("script returned an unexpected reply of %d elements", len(reply))
}
