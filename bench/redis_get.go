package main

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
)

// redisGet measures reading a session from Redis, decoding included, against a
// bare GETEX of the same bytes with the same client, and both against
// redis-benchmark. redisstore reads in two ways: a session that this replica
// touched within the last minute by a GET, any other by the script that moves
// its deadlines.
func redisGet(ctx context.Context, b *bench) (err error) {
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	r, err := newReaders(ctx, s, b.sizes)
	if err != nil {
		return err
	}
	for _, callers := range []int{1, 50, 256} {
		if err := b.run(ctx, r.contest(callers, b.sizes)); err != nil {
			return err
		}
	}
	return nil
}

// readers are the ways to read the same sessions.
type readers struct {
	server   *server
	again    *redisstore.Store // reads few sessions again and again
	touching *redisstore.Store // reads more in turn than it can remember
	ids      []mcpsession.ID
	keys     []string
}

func newReaders(ctx context.Context, s *server, sizes sizes) (*readers, error) {
	r := &readers{server: s, ids: newIDs(sizes.live)}
	var err error
	if r.touching, err = s.openStore(ctx); err != nil {
		return nil, err
	}
	if r.again, err = s.openStore(ctx); err != nil {
		return nil, err
	}
	if err := populate(ctx, r.touching, r.ids); err != nil {
		return nil, err
	}
	r.ids = shuffled(r.ids)
	if r.keys, err = s.storedKeys(ctx); err != nil {
		return nil, err
	}
	value, err := s.client.Get(ctx, r.keys[0]).Result()
	if err != nil {
		return nil, err
	}
	return r, s.loadBenchmarkKeys(ctx, sizes.live, value)
}

func (r *readers) contest(callers int, sizes sizes) contest {
	const again, touching, bare, c = "redisstore, read again within a minute", "redisstore, read after more than that",
		"go-redis GETEX", "redis-benchmark GETEX"
	// Each its own, so that a round goes on where the last one ended.
	var nextTouch, nextBare atomic.Int64
	what := "Get from Redis, " + count(callers, "caller")
	return contest{
		unit: perSecond, enough: 5,
		rivals: []rival{
			{again, func(ctx context.Context) (figure, error) {
				busy := r.ids[:sizes.busy]
				if err := all(fillers, len(busy), func(i int) error { return r.get(ctx, r.again, busy[i]) }); err != nil {
					return figure{}, err
				}
				return r.server.calls(ctx, callers, sizes.overSocket, func(caller, step int) error {
					return r.get(ctx, r.again, busy[(step*callers+caller)%len(busy)])
				})
			}},
			{touching, func(ctx context.Context) (figure, error) {
				return r.server.calls(ctx, callers, sizes.overSocket, func(int, int) error {
					return r.get(ctx, r.touching, r.ids[int(nextTouch.Add(1))%len(r.ids)])
				})
			}},
			{bare, func(ctx context.Context) (figure, error) {
				return r.server.calls(ctx, callers, sizes.overSocket, func(int, int) error {
					return r.server.client.GetEx(ctx, r.keys[int(nextBare.Add(1))%len(r.keys)], idleTimeout).Err()
				})
			}},
			{c, func(ctx context.Context) (figure, error) {
				return r.server.redisBenchmark(ctx, callers, sizes.live, sizes.overSocket)
			}},
		},
		comparisons: []comparison{
			{what, again, bare, ofRate, ratioAtLeast(0.9)},
			{what, touching, bare, ofRate, ratioAtLeast(0.9)},
			{what, again, c, ofRate, aim{}},
			{what, touching, c, ofRate, aim{}},
			{what, bare, c, ofRate, aim{}},
		},
	}
}

func (r *readers) get(ctx context.Context, store *redisstore.Store, id mcpsession.ID) error {
	_, err := store.Get(ctx, id)
	return err
}
