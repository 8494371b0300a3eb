package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// transportBroadcast measures how long a change of the list of tools takes from
// one replica to the subscriptions/listen streams that three of them hold, beside
// mcp-go's transport, which sends it within one process.
func transportBroadcast(ctx context.Context, b *bench) (err error) {
	redis, err := startServer(ctx)
	if err != nil {
		return err
	}
	stops := []func() error{redis.stop}
	defer func() { err = errors.Join(err, stopAll(stops)) }()
	c := contest{unit: milliseconds, enough: 5}
	for _, kind := range []struct {
		name, endpoint string
		processes      int
	}{
		{"ours, three replicas", onRedis, 3},
		{"mcp-go, one process", theirs, 1},
	} {
		s, err := b.startSubscribers(kind.endpoint, kind.processes, redis)
		if err != nil {
			return err
		}
		stops = append(stops, s.stop)
		c.rivals = append(c.rivals, rival{"p99, " + kind.name, func(context.Context) (figure, error) {
			took, err := s.broadcasts(b.sizes.broadcasts)
			if err != nil {
				return figure{}, err
			}
			return figure{value: took[len(took)*99/100].Seconds() * 1e3}, nil
		}})
	}
	what := fmt.Sprintf("from a broadcast to its arrival on each of %s subscriptions/listen streams", thousands(float64(b.sizes.listeners)))
	c.comparisons = []comparison{{what, c.rivals[0].name, c.rivals[1].name, costs, figureAtMost(100, milliseconds)}}
	return b.run(ctx, c)
}

// subscribers are clients with a subscriptions/listen stream each.
type subscribers struct {
	processes []*process
	streams   []*stream
	arrived   chan time.Duration // of each broadcast, since it was sent
}

func (b *bench) startSubscribers(endpoint string, processes int, redis *server) (*subscribers, error) {
	if endpoint != onRedis {
		redis = nil
	}
	s := &subscribers{arrived: make(chan time.Duration, b.sizes.listeners)}
	for range processes {
		p, err := b.start(endpoint, redis)
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.processes = append(s.processes, p)
	}
	for i := range b.sizes.listeners {
		stream, err := subscribe(s.processes[i%processes].addr, func(sent int64) { s.arrived <- time.Since(time.Unix(0, sent)) })
		if err != nil {
			return nil, errors.Join(err, s.stop())
		}
		s.streams = append(s.streams, stream)
	}
	// What arrives shows that the streams are ready.
	_, err := s.broadcasts(1)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// broadcasts sends some, one after the other, and returns how long each took to
// each stream, in order.
func (s *subscribers) broadcasts(n int) (took []time.Duration, err error) {
	for range n {
		if _, err := s.processes[0].do(order{Do: "broadcast"}); err != nil {
			return nil, err
		}
		deadline := time.After(10 * time.Second)
		for range s.streams {
			select {
			case d := <-s.arrived:
				took = append(took, d)
			case <-deadline:
				return nil, fmt.Errorf("%s: a broadcast reached %d of %d streams", s.processes[0].name, len(took), n*len(s.streams))
			}
		}
	}
	slices.Sort(took)
	return took, nil
}

func (s *subscribers) stop() error {
	var errs []error
	for _, stream := range s.streams {
		errs = append(errs, stream.close())
	}
	for _, p := range s.processes {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}
