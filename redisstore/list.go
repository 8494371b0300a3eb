package redisstore

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// Count implements [mcpsession.SessionStore]: two round trips, the second to
// every node of a cluster at once.
func (s *Store) Count(ctx context.Context) (int, error) {
	fail := func(err error) (int, error) { return 0, fmt.Errorf("count sessions: %w", storageError(err)) }
	now, err := s.client.Time(ctx).Result()
	if err != nil {
		return fail(err)
	}
	pipe := s.client.Pipeline()
	counts := make([]*redis.IntCmd, buckets)
	for b := range counts {
		counts[b] = pipe.ZCount(ctx, s.keys.index(b), after(now), "+inf")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fail(err)
	}
	total := 0
	for _, count := range counts {
		total += int(count.Val())
	}
	return total, nil
}

// How much All asks for in one round trip.
const (
	bucketsAtOnce  = 64
	sessionsAtOnce = 256
)

// All implements [mcpsession.SessionStore], bucket by bucket.
func (s *Store) All(ctx context.Context) iter.Seq2[mcpsession.Session, error] {
	return func(yield func(mcpsession.Session, error) bool) {
		now, err := s.client.Time(ctx).Result()
		for first := 0; first < buckets && err == nil; first += bucketsAtOnce {
			var members [][]redis.Z
			members, err = s.members(ctx, first, now)
			for _, bucket := range members {
				var more bool
				if more, err = s.yieldBucket(ctx, bucket, yield); !more {
					return
				}
				if err != nil {
					break
				}
			}
		}
		if err != nil {
			yield(mcpsession.Session{}, fmt.Errorf("list sessions: %w", storageError(err)))
		}
	}
}

// members returns the live index entries of bucketsAtOnce buckets.
func (s *Store) members(ctx context.Context, first int, now time.Time) ([][]redis.Z, error) {
	pipe := s.client.Pipeline()
	var replies []*redis.ZSliceCmd
	for b := first; b < first+bucketsAtOnce; b++ {
		replies = append(replies, pipe.ZRangeByScoreWithScores(ctx, s.keys.index(b), &redis.ZRangeBy{Min: after(now), Max: "+inf"}))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	members := make([][]redis.Z, len(replies))
	for i, reply := range replies {
		members[i] = reply.Val()
	}
	return members, nil
}

// yieldBucket yields the sessions of one bucket. more is false when the caller
// wants no more.
func (s *Store) yieldBucket(ctx context.Context, members []redis.Z, yield func(mcpsession.Session, error) bool) (more bool, err error) {
	for chunk := range slices.Chunk(members, sessionsAtOnce) {
		refs := make([]mcpsession.Ref, len(chunk))
		names := make([]string, len(chunk))
		for i, member := range chunk {
			// Whatever is no ref becomes the zero Ref, under which nothing is stored.
			refs[i], _ = mcpsession.ParseRef(fmt.Sprint(member.Member))
			names[i] = s.keys.session(refs[i])
		}
		values, err := s.client.MGet(ctx, names...).Result()
		if err != nil {
			return true, err
		}
		for i, value := range values {
			text, ok := value.(string)
			if !ok {
				continue // ended since the index was read
			}
			r, err := decode(text, refs[i])
			if err != nil {
				continue // of a newer schema, or corrupt: Get says which
			}
			r.session.LastUsedAt = r.lastUsed(millis(int64(chunk[i].Score)))
			if !yield(r.session, nil) {
				return false, nil
			}
		}
	}
	return true, nil
}

// lastUsed is the last access as far as the deadline in the index tells.
func (r record) lastUsed(deadline time.Time) time.Time {
	idle := r.session.IdleTimeout
	touched := deadline.Add(-idle - slack(idle))
	if r.written.After(touched) {
		return r.written
	}
	return touched
}

// after is the ZCOUNT and ZRANGE bound for the sessions that are alive at now.
func after(now time.Time) string { return "(" + strconv.FormatInt(now.UnixMilli(), 10) }
