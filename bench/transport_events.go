package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// transportEvents measures how long an event takes from Notify on one replica
// to a GET stream that another holds, through Redis, beside mcp-go's transport,
// which sends it within one process. Events are sent at a steady rate, to each
// of many open streams in turn.
func transportEvents(ctx context.Context, b *bench) (err error) {
	redis, err := startServer(ctx)
	if err != nil {
		return err
	}
	stops := []func() error{redis.stop}
	defer func() { err = errors.Join(err, stopAll(stops)) }()
	c := contest{unit: milliseconds, enough: 5}
	for _, kind := range []struct{ name, holder, sender string }{
		{"ours, from another replica", onRedis, onRedis},
		{"mcp-go, within one process", theirs, ""},
	} {
		l, err := b.startListeners(kind.holder, kind.sender, redis)
		if err != nil {
			return err
		}
		stops = append(stops, l.stop)
		c.rivals = append(c.rivals, rival{"p99, " + kind.name, func(context.Context) (figure, error) {
			if err := l.round(b.sizes.eventLaps, b.sizes.eventGap); err != nil {
				return figure{}, err
			}
			return figure{value: l.quantile(0.99)}, nil
		}}, rival{"p50, " + kind.name, func(context.Context) (figure, error) {
			return figure{value: l.quantile(0.5)}, nil // of the same round
		}})
	}
	what := fmt.Sprintf("from an event to its arrival on a GET stream, %s, %s a second",
		count(b.sizes.streams, "stream"), count(int(time.Second/b.sizes.eventGap), "event"))
	names := func(i int) string { return c.rivals[i].name }
	c.comparisons = []comparison{
		{what, names(0), names(2), costs, figureAtMost(20, milliseconds)},
		{what, names(1), names(3), costs, aim{}},
	}
	return b.run(ctx, c)
}

// listeners are clients with a GET stream each, and whoever sends them events.
type listeners struct {
	holder, sender *process // the same, if there is one process
	clients        []*caller
	streams        []*stream
	arrived        chan time.Duration // of each event, since it was sent
	took           []time.Duration    // of the last round, sorted
}

func (b *bench) startListeners(holder, sender string, redis *server) (*listeners, error) {
	l := &listeners{arrived: make(chan time.Duration, b.sizes.streams*b.sizes.eventLaps)}
	var err error
	if l.holder, err = b.start(holder, redis); err != nil {
		return nil, err
	}
	if l.sender = l.holder; sender != "" {
		if l.sender, err = b.start(sender, redis); err != nil {
			return nil, errors.Join(err, l.holder.stop())
		}
	}
	for range b.sizes.streams {
		c, err := dialCaller(l.holder.addr, true)
		if err != nil {
			return nil, errors.Join(err, l.stop())
		}
		l.clients = append(l.clients, c)
		s, err := c.listen(func(sent int64) { l.arrived <- time.Since(time.Unix(0, sent)) })
		if err != nil {
			return nil, errors.Join(err, l.stop())
		}
		l.streams = append(l.streams, s)
	}
	// What arrives shows that the streams are ready.
	if err := l.round(1, time.Millisecond); err != nil {
		return nil, errors.Join(err, l.stop())
	}
	return l, nil
}

// round sends each stream some events and waits until they have arrived.
func (l *listeners) round(laps int, gap time.Duration) error {
	o := order{Do: "notify", Gap: gap}
	for range laps {
		for _, c := range l.clients {
			o.Sessions = append(o.Sessions, c.session)
		}
	}
	if _, err := l.sender.do(o); err != nil {
		return err
	}
	l.took = l.took[:0]
	for deadline := time.After(10 * time.Second); len(l.took) < len(o.Sessions); {
		select {
		case d := <-l.arrived:
			l.took = append(l.took, d)
		case <-deadline:
			return fmt.Errorf("%s: %d of %d events arrived", l.holder.name, len(l.took), len(o.Sessions))
		}
	}
	slices.Sort(l.took)
	return nil
}

// quantile of the last round, in milliseconds.
func (l *listeners) quantile(q float64) float64 {
	return l.took[int(q*float64(len(l.took)-1))].Seconds() * 1e3
}

func (l *listeners) stop() error {
	var errs []error
	for _, s := range l.streams {
		errs = append(errs, s.close())
	}
	for _, c := range l.clients {
		errs = append(errs, c.close())
	}
	if l.sender != l.holder {
		errs = append(errs, l.sender.stop())
	}
	return errors.Join(append(errs, l.holder.stop())...)
}
