package main

import (
	"context"
	"errors"
	"testing"
)

// memoryAllocs counts what a Get allocates for a session without application
// values.
func memoryAllocs(ctx context.Context, b *bench) error {
	ids := newIDs(100)
	c := contest{unit: allocations}
	for _, candidate := range keepers {
		c.rivals = append(c.rivals, rival{candidate.name, func(context.Context) (_ figure, err error) {
			k, err := fill(candidate.open, ids)
			if err != nil {
				return figure{}, err
			}
			defer func() { err = errors.Join(err, k.Close()) }()
			next := 0
			n := testing.AllocsPerRun(10*len(ids), func() {
				err = errors.Join(err, k.get(0, ids[next%len(ids)]))
				next++
			})
			return figure{value: n}, err
		}})
	}
	c.comparisons = []comparison{{"allocations of a Get in memory", ours, plainMap, costs, figureAtMost(0, allocations)}}
	return b.run(ctx, c)
}
