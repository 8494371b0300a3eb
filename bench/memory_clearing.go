package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	scs "github.com/alexedwards/scs/v2/memstore"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
)

// probed is how many sessions stay alive and are read all the time.
const probed = 1000

// memoryClearing finds the longest Get while a million expired sessions are
// cleared away, by one caller who does nothing else: on two cores, one is left
// to the clearing. What the operating system and the garbage collector add is
// seen from the same store shortly before, with nothing to clear.
func memoryClearing(ctx context.Context, b *bench) error {
	what := fmt.Sprintf("longest Get in memory while %s expired sessions are cleared away", thousands(float64(b.sizes.many)))
	const clearing, quiet, theirs = "memstore", "memstore, nothing to clear", "scs memstore"
	ids := newIDs(b.sizes.many + probed)
	idle := b.sizes.idle
	var before float64
	return b.run(ctx, contest{
		unit: milliseconds, enough: 5,
		rivals: []rival{
			{clearing, func(ctx context.Context) (f figure, err error) {
				err = patiently(&idle, func() (err error) {
					before, f.value, err = clearOurs(ctx, ids, idle)
					return err
				})
				return f, err
			}},
			{quiet, func(context.Context) (figure, error) { return figure{value: before}, nil }},
			{theirs, func(context.Context) (f figure, err error) {
				err = patiently(&idle, func() (err error) {
					f.value, err = clearTheirs(ids, idle)
					return err
				})
				return f, err
			}},
		},
		comparisons: []comparison{
			{what, clearing, quiet, costs, figureAtMost(20, milliseconds)},
			{what, clearing, theirs, faster, aim{}},
		},
	})
}

var errTooSlow = errors.New("this machine is too slow: the first sessions ended before the last was stored")

// patiently tries again with a longer idle timeout, if this one was too short
// to fill a store.
func patiently(idle *time.Duration, measure func() error) error {
	for {
		err := measure()
		if !errors.Is(err, errTooSlow) || *idle > time.Minute {
			return err
		}
		*idle *= 2
	}
}

// clearOurs fills a memstore, reads every session once, so that all but those
// probed end at nearly the same moment, and watches it before and while they
// are cleared.
func clearOurs(ctx context.Context, ids []mcpsession.ID, idle time.Duration) (quiet, clearing float64, err error) {
	limits := mcpsession.DefaultLimits()
	limits.IdleTimeout = idle
	store, err := memstore.New(limits, len(ids))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	session := newSession(0)
	add := func(i int) error {
		_, err := store.Create(ctx, ids[i], session)
		return err
	}
	touch := func(i int) error {
		_, err := store.Get(ctx, ids[i])
		return err
	}
	cores := runtime.GOMAXPROCS(0)
	if err := all(cores, len(ids), add); err != nil {
		return 0, 0, err
	}
	if err := all(cores, len(ids), touch); errors.Is(err, mcpsession.ErrNotFound) {
		return 0, 0, errTooSlow
	} else if err != nil {
		return 0, 0, err
	}
	live := ids[len(ids)-probed:]
	runtime.GC()
	ends := time.Now().Add(idle)

	probe := func(i int) error {
		_, err := store.Get(ctx, live[i])
		return err
	}
	if quiet, err = longest(time.Until(ends)-idle/4, probe); err != nil {
		return 0, 0, err
	}
	// The timer fires up to a second after the first has ended.
	if clearing, err = longest(time.Until(ends)+2500*time.Millisecond, probe); err != nil {
		return 0, 0, err
	}
	if left, err := store.Count(ctx); err != nil || left != probed {
		return 0, 0, errors.Join(err, fmt.Errorf("%d sessions are left, not %d", left, probed))
	}
	return quiet, clearing, nil
}

// clearTheirs does the same to scs's memstore, which clears at an interval.
func clearTheirs(ids []mcpsession.ID, interval time.Duration) (float64, error) {
	text, err := content(newSession(0))
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	store := scs.NewWithCleanupInterval(interval)
	live := ids[len(ids)-probed:]
	for _, id := range ids[:len(ids)-probed] {
		if err := store.Commit(id.Token(), text, begin); err != nil {
			return 0, err
		}
	}
	for _, id := range live {
		if err := store.Commit(id.Token(), text, begin.Add(time.Hour)); err != nil {
			return 0, err
		}
	}
	runtime.GC()
	defer store.StopCleanup()
	if time.Since(begin) > interval {
		return 0, errTooSlow
	}
	return longest(time.Until(begin.Add(interval+interval/2)), func(i int) error {
		_, ok, err := store.Find(live[i].Token())
		if !ok {
			err = errors.Join(err, errMissing)
		}
		return err
	})
}

// longest calls get for about d and returns the longest call, in milliseconds.
func longest(d time.Duration, get func(i int) error) (float64, error) {
	var worst time.Duration
	for i, end := 0, time.Now().Add(d); ; i++ {
		began := time.Now()
		if began.After(end) {
			return worst.Seconds() * 1e3, nil
		}
		if err := get(i % probed); err != nil {
			return 0, err
		}
		worst = max(worst, time.Since(began))
	}
}
