package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// A contest measures one quantity of several rivals in alternating rounds:
// A B C, A B C, ... so that whatever else the machine does hits all alike.
type contest struct {
	unit        unit
	repeat      int // rounds for each that was asked for, where they are short; default 1
	enough      int // rounds at most, where they are long and hardly differ; default any number
	rivals      []rival
	comparisons []comparison
}

// A rival is one way to do the job.
type rival struct {
	name    string
	measure func(context.Context) (figure, error) // one round
}

// A figure is the outcome of one round.
type figure struct {
	value float64 // in the contest's unit
	cpu   cpu     // for one operation
}

// A comparison is one row of the table: subject against another rival.
type comparison struct {
	what             string // what is measured
	subject, against string // names of rivals
	as               relation
	aim              aim // the zero aim: none
}

// run measures, and adds the comparisons to the table.
func (b *bench) run(ctx context.Context, c contest) error {
	figures, err := b.measure(ctx, c)
	if err != nil {
		return err
	}
	for _, comparison := range c.comparisons {
		subject, against := figures[comparison.subject], figures[comparison.against]
		if len(subject) == 0 || len(against) == 0 {
			return fmt.Errorf("no rival called %q or %q", comparison.subject, comparison.against)
		}
		ratios := make([]float64, len(subject))
		for i := range ratios {
			ratios[i] = comparison.as.ratio(subject[i].value, against[i].value)
		}
		slices.Sort(ratios)
		b.table.add(row{
			comparison: comparison,
			unit:       c.unit,
			left:       middle(subject),
			right:      middle(against),
			ratio:      median(ratios),
			lowest:     ratios[0],
			highest:    ratios[len(ratios)-1],
		})
	}
	return nil
}

// measure returns the figures of all rounds by the name of the rival.
func (b *bench) measure(ctx context.Context, c contest) (map[string][]figure, error) {
	figures := make(map[string][]figure)
	rounds, repeat := b.rounds, max(c.repeat, 1)
	if c.enough > 0 {
		rounds = min(rounds, c.enough)
	}
	for round := range rounds * repeat {
		for _, r := range c.rivals {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if round%repeat == 0 {
				runtime.GC() // nobody pays for the last one's garbage
			}
			f, err := r.measure(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", r.name, round+1, err)
			}
			figures[r.name] = append(figures[r.name], f)
		}
	}
	return figures, nil
}

// middle returns the median of each part of some figures.
func middle(figures []figure) figure {
	part := func(of func(figure) float64) float64 {
		values := make([]float64, len(figures))
		for i, f := range figures {
			values[i] = of(f)
		}
		slices.Sort(values)
		return median(values)
	}
	return figure{
		value: part(func(f figure) float64 { return f.value }),
		cpu: cpu{
			client: time.Duration(part(func(f figure) float64 { return float64(f.cpu.client) })),
			server: time.Duration(part(func(f figure) float64 { return float64(f.cpu.server) })),
		},
	}
}

// median returns the middle of sorted values.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
