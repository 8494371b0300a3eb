package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// redisCount measures counting the live sessions from the index against walking
// through all keys.
func redisCount(ctx context.Context, b *bench) (err error) {
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	store, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	if err := populate(ctx, store, newIDs(b.sizes.live)); err != nil {
		return err
	}
	const ours, scan = "redisstore Count", "go-redis SCAN COUNT 1000"
	once := func(count func(context.Context) (int, error)) func(context.Context) (figure, error) {
		return func(ctx context.Context) (figure, error) {
			before, err := s.cpu(ctx)
			if err != nil {
				return figure{}, err
			}
			began := time.Now()
			n, err := count(ctx)
			took := time.Since(began)
			if err != nil || n != b.sizes.live {
				return figure{}, errors.Join(err, fmt.Errorf("it counted %d of %d", n, b.sizes.live))
			}
			after, err := s.cpu(ctx)
			return figure{value: took.Seconds() * 1e3, cpu: after.minus(before)}, err
		}
	}
	return b.run(ctx, contest{
		unit: milliseconds, repeat: 3,
		rivals: []rival{
			{ours, once(store.Count)},
			{scan, once(s.countByScan)},
		},
		comparisons: []comparison{{
			fmt.Sprintf("Count of %s sessions in Redis", thousands(float64(b.sizes.live))),
			ours, scan, faster, ratioAtLeast(25),
		}},
	})
}

func (s *server) countByScan(ctx context.Context) (int, error) {
	seen := make(map[string]struct{}) // SCAN may return a key twice
	scan := s.client.Scan(ctx, 0, "mcps:*:s:*", 1000).Iterator()
	for scan.Next(ctx) {
		seen[scan.Val()] = struct{}{}
	}
	return len(seen), scan.Err()
}
