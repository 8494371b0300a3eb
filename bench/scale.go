package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// scaleMemory shows what memstore's figures are at other numbers of sessions.
func scaleMemory(ctx context.Context, b *bench) error {
	b.table.growth = append(b.table.growth,
		"| sessions in memory | heap for each | Create, CPU | Get at random, CPU | Get of busy ones, CPU |", "|---|---|---|---|---|")
	for _, n := range b.sizes.growth {
		if err := b.growMemory(ctx, n); err != nil {
			return fmt.Errorf("at %d sessions: %w", n, err)
		}
	}
	b.table.growth = append(b.table.growth, "")
	return nil
}

func (b *bench) growMemory(ctx context.Context, n int) error {
	ids := newIDs(n)
	heapBefore := heap()
	cpuBefore, err := clientCPU()
	if err != nil {
		return err
	}
	k, err := fill(openMemstore, ids)
	if err != nil {
		return err
	}
	cpuAfter, err := clientCPU()
	if err != nil {
		return errors.Join(err, k.Close())
	}
	each := float64(heap()-heapBefore) / float64(n)
	order := shuffled(ids)
	var reads []string
	for _, some := range []int{n, min(b.sizes.hot, n)} {
		all := shares(k, order[:some], false)
		c := contest{rivals: []rival{{ours, func(context.Context) (figure, error) {
			return read(k, all, 0, 3*b.sizes.inMemory)
		}}}}
		figures, err := b.measure(ctx, c)
		if err != nil {
			return errors.Join(err, k.Close())
		}
		reads = append(reads, nanoseconds(float64(middle(figures[ours]).cpu.client.Nanoseconds())))
	}
	b.table.growth = append(b.table.growth, fmt.Sprintf("| %s | %s | %s | %s | %s |", thousands(float64(n)), byteCount(each),
		nanoseconds(float64((cpuAfter-cpuBefore).Nanoseconds())/float64(n)), reads[0], reads[1]))
	runtime.KeepAlive(ids)
	return k.Close()
}

// scaleRedis shows what redisstore's figures are at other numbers of sessions.
func scaleRedis(ctx context.Context, b *bench) (err error) {
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	b.table.growth = append(b.table.growth,
		"| sessions in Redis | Redis memory for each | Create, 50 callers | Get, 50 callers | of the rate of GETEX | Count |", "|---|---|---|---|---|---|")
	for _, n := range b.sizes.growth {
		if err := b.growRedis(ctx, s, n); err != nil {
			return fmt.Errorf("at %d sessions: %w", n, err)
		}
	}
	return nil
}

func (b *bench) growRedis(ctx context.Context, s *server, n int) error {
	sizes := b.sizes
	sizes.live = n
	if err := s.flush(ctx); err != nil {
		return err
	}
	before, err := s.memory(ctx)
	if err != nil {
		return err
	}
	store, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	ids := newIDs(n)
	began := time.Now()
	if err := populate(ctx, store, ids); err != nil {
		return err
	}
	creates := float64(n) / time.Since(began).Seconds()
	after, err := s.memory(ctx)
	if err != nil {
		return err
	}
	r := &readers{server: s, touching: store, again: store, ids: shuffled(ids)}
	if r.keys, err = s.storedKeys(ctx); err != nil {
		return err
	}
	c := r.contest(50, sizes)
	c.rivals = c.rivals[1:3] // touching, bare
	figures, err := b.measure(ctx, c)
	if err != nil {
		return err
	}
	get, bare := middle(figures[c.rivals[0].name]).value, middle(figures[c.rivals[1].name]).value
	var counts []figure
	for range b.rounds {
		began := time.Now()
		if _, err := store.Count(ctx); err != nil {
			return err
		}
		counts = append(counts, figure{value: time.Since(began).Seconds() * 1e3})
	}
	b.table.growth = append(b.table.growth, fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", thousands(float64(n)),
		byteCount((after-before)/float64(n)), perSecond(creates), perSecond(get), short(get/bare), milliseconds(middle(counts).value)))
	return nil
}
