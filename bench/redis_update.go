package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/mcpsession/mcpsession"
)

// redisUpdate measures changing a session in Redis against a GET and a SET of
// the same bytes, which lose an update whenever two callers meet.
func redisUpdate(ctx context.Context, b *bench) (err error) {
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	store, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	ids := newIDs(b.sizes.live)
	if err := populate(ctx, store, ids); err != nil {
		return err
	}
	ids = shuffled(ids)
	var next atomic.Int64
	const ours, bare = "redisstore Update", "go-redis GET and SET"
	for _, callers := range []int{1, 50} {
		err := b.run(ctx, contest{
			unit: perSecond, enough: 5,
			rivals: []rival{
				{ours, func(ctx context.Context) (figure, error) {
					return s.calls(ctx, callers, b.sizes.overSocket, func(int, int) error {
						_, err := store.Update(ctx, ids[int(next.Add(1))%len(ids)], func(s *mcpsession.Session) error {
							changed(s)
							return nil
						})
						return err
					})
				}},
				{bare, func(ctx context.Context) (figure, error) {
					// Of keys of its own, since it would undo what the other does.
					keys, err := s.copies(ctx, len(ids))
					if err != nil {
						return figure{}, err
					}
					return s.calls(ctx, callers, b.sizes.overSocket, func(int, int) error {
						key := keys[int(next.Add(1))%len(keys)]
						value, err := s.client.Get(ctx, key).Result()
						if err != nil {
							return err
						}
						return s.client.Set(ctx, key, value, idleTimeout).Err()
					})
				}},
			},
			comparisons: []comparison{{"Update in Redis, " + count(callers, "caller"), ours, bare, ofRate, aim{}}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copies stores a session's bytes under n plain keys.
func (s *server) copies(ctx context.Context, n int) ([]string, error) {
	stored, err := s.storedKeys(ctx)
	if err != nil {
		return nil, err
	}
	value, err := s.client.Get(ctx, stored[0]).Result()
	if err != nil {
		return nil, err
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench:%012d", i)
	}
	return keys, s.loadBenchmarkKeys(ctx, n, value)
}
