package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/mcpsession/mcpsession"
)

// memoryGet measures reading a session, which also moves its idle deadline.
// Read at random, most of the time is spent waiting for memory, so how many
// places a store keeps a session in decides; of the busy sessions, the
// processor's caches hold all, and the work decides.
func memoryGet(ctx context.Context, b *bench) error {
	aims := map[string]aim{plainMap: ratioAtMost(1.5), scsMem: ratioAtLeast(4)}
	live := thousands(float64(b.sizes.live))
	what := fmt.Sprintf("Get in memory, any of %s sessions", live)
	if err := b.inMemory(ctx, what, b.sizes.live, 0, aims); err != nil {
		return err
	}
	what = fmt.Sprintf("Get in memory, %s busy ones of %s sessions", thousands(float64(b.sizes.hot)), live)
	return b.inMemory(ctx, what, b.sizes.hot, 0, aims)
}

// memoryMix measures nine reads and an update, again and again.
func memoryMix(ctx context.Context, b *bench) error {
	what := fmt.Sprintf("nine Gets to one Update in memory, any of %s sessions", thousands(float64(b.sizes.live)))
	return b.inMemory(ctx, what, b.sizes.live, 10, nil)
}

// inMemory compares all keepers, reading some of the sessions in random order,
// with every nth operation an update, or none.
func (b *bench) inMemory(ctx context.Context, what string, some, nth int, aims map[string]aim) (err error) {
	ids := newIDs(b.sizes.live)
	order := shuffled(ids)[:some]
	c := contest{unit: nanoseconds, repeat: 4}
	for _, candidate := range keepers {
		k, err := fill(candidate.open, ids)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, k.Close()) }()
		shares := shares(k, order, nth > 0)
		c.rivals = append(c.rivals, rival{candidate.name, func(context.Context) (figure, error) {
			return read(k, shares, nth, b.sizes.inMemory)
		}})
		if candidate.name != ours {
			as := faster
			if candidate.name == plainMap {
				as = costs
			}
			c.comparisons = append(c.comparisons, comparison{what, ours, candidate.name, as, aims[candidate.name]})
		}
	}
	return b.run(ctx, c)
}

// shares returns the sessions that each caller goes through: all of them, each
// caller beginning elsewhere, or for a plain map that is written to, a map and
// a share of its own.
func shares(k keeper, ids []mcpsession.ID, writing bool) [][]mcpsession.ID {
	callers := runtime.GOMAXPROCS(0)
	m, plain := k.(*mapKeeper)
	shares := make([][]mcpsession.ID, callers)
	for caller := range shares {
		first := caller * len(ids) / callers
		if plain && writing {
			shares[caller] = ids[first : first+len(ids)/callers]
			continue
		}
		shares[caller] = append(append([]mcpsession.ID(nil), ids[first:]...), ids[:first]...)
	}
	if plain && writing {
		m.divide(shares)
	}
	return shares
}

// atOnce is how many operations one step does, so that counting them costs
// nothing beside them.
const atOnce = 100

// read lets all callers go through their shares.
func read(k keeper, shares [][]mcpsession.ID, nth int, d time.Duration) (figure, error) {
	callers := len(shares)
	before, err := clientCPU()
	if err != nil {
		return figure{}, err
	}
	steps, took, err := work(callers, d, func(caller, step int) error {
		share := shares[caller]
		at := step * atOnce % len(share)
		for i := range atOnce {
			id := share[at]
			if at++; at == len(share) {
				at = 0
			}
			var err error
			if nth > 0 && i%nth == 0 {
				err = k.update(caller, id)
			} else {
				err = k.get(caller, id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return figure{}, err
	}
	after, err := clientCPU()
	if err != nil {
		return figure{}, err
	}
	operations := steps * atOnce
	// What one caller waits for one operation.
	each := float64(took.Nanoseconds()) * float64(callers) / float64(operations)
	return figure{value: each, cpu: cpu{client: after - before}.per(operations)}, nil
}
