package main

import (
	"context"
	"fmt"
	"runtime"
)

// memoryHeap measures what one of a million sessions takes of the heap: with
// 300 bytes of text in eight strings, and all that a store adds.
func memoryHeap(ctx context.Context, b *bench) error {
	what := fmt.Sprintf("heap for each of %s sessions of %d bytes", thousands(float64(b.sizes.many)), contentSize)
	ids := newIDs(b.sizes.many)
	c := contest{unit: byteCount, enough: 5}
	for _, candidate := range keepers {
		c.rivals = append(c.rivals, rival{candidate.name, func(context.Context) (_ figure, err error) {
			before := heap()
			k, err := fill(candidate.open, ids)
			if err != nil {
				return figure{}, err
			}
			used := float64(heap()) - float64(before)
			runtime.KeepAlive(ids)
			return figure{value: used / float64(len(ids))}, k.Close()
		}})
		if candidate.name != ours {
			c.comparisons = append(c.comparisons, comparison{what, ours, candidate.name, costs, aim{}})
		}
	}
	return b.run(ctx, c)
}

// heap returns the bytes that are still in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held for one cycle
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
