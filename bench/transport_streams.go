package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"
)

// transportStreams measures what idle GET streams cost the process that holds
// them, with their sessions, beside mcp-go's transport and the go-sdk's.
func transportStreams(ctx context.Context, b *bench) (err error) {
	n, err := openable(b.sizes.idleStreams)
	if err != nil {
		return err
	}
	redis, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.stop()) }()
	c := contest{unit: byteCount, enough: 2}
	for _, name := range []string{onRedis, theirs, goSDK} {
		var held report
		c.rivals = append(c.rivals, rival{name + ", resident", func(ctx context.Context) (_ figure, err error) {
			held, err = b.holdIdle(ctx, name, redis, n)
			return figure{value: held.Resident}, err
		}}, rival{name + ", heap and stacks", func(context.Context) (figure, error) {
			return figure{value: held.Heap}, nil // of the same process
		}})
	}
	what := fmt.Sprintf("memory of the server for each of %s idle GET streams", thousands(float64(n)))
	for i := range c.rivals[2:] {
		c.comparisons = append(c.comparisons, comparison{what, c.rivals[i%2].name, c.rivals[2+i].name, costs, aim{}})
	}
	return b.run(ctx, c)
}

// holdIdle starts a process that holds n idle streams, and returns how much its
// memory grew for each. It had served some before.
func (b *bench) holdIdle(ctx context.Context, name string, redis *server, n int) (_ report, err error) {
	e, err := b.startCallers(name, redis)
	if err != nil {
		return report{}, err
	}
	defer func() { err = errors.Join(err, e.stop(), redis.flush(ctx)) }()
	before, err := e.do(order{Do: "usage"})
	if err != nil {
		return report{}, err
	}
	var idle idleStreams
	defer func() { err = errors.Join(err, idle.close()) }()
	if err := idle.open(e, n); err != nil {
		return report{}, err
	}
	time.Sleep(b.sizes.overSocket) // what opening began may go on
	after, err := e.do(order{Do: "usage"})
	each := func(before, after float64) float64 { return (after - before) / float64(n) }
	return report{Heap: each(before.Heap, after.Heap), Resident: each(before.Resident, after.Resident)}, err
}

// connectionsAim is what a replica may hold, however many streams it does: the
// pool of redisstore.Open and some for subscriptions.
const connectionsAim = 256 + 8

// transportConnections counts the connections to Redis of one replica, with few
// idle streams and with ten times as many, over a time in which each stream is
// kept alive once.
func transportConnections(ctx context.Context, b *bench) (err error) {
	n, err := openable(b.sizes.idleStreams)
	if err != nil {
		return err
	}
	redis, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.stop()) }()
	e, err := b.startCallers(onRedis, redis)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	var idle idleStreams
	defer func() { err = errors.Join(err, idle.close()) }()
	few, many := thousands(float64(n/10))+" streams", thousands(float64(n))+" streams"
	return b.run(ctx, contest{
		unit: connections, enough: 1,
		rivals: []rival{
			{few, func(ctx context.Context) (figure, error) {
				if err := idle.open(e, n/10); err != nil {
					return figure{}, err
				}
				return redis.mostConnections(ctx, b.sizes.hold)
			}},
			{many, func(ctx context.Context) (figure, error) {
				if err := idle.open(e, n-n/10); err != nil {
					return figure{}, err
				}
				return redis.mostConnections(ctx, b.sizes.hold)
			}},
		},
		comparisons: []comparison{{"connections to Redis of a replica that holds idle GET streams", many, few, costs, figureAtMost(connectionsAim, connections)}},
	})
}

func connections(v float64) string { return fmt.Sprintf("%.0f connections", v) }

// mostConnections is the greatest number of the server's connections that are
// not ours, during some time.
func (s *server) mostConnections(ctx context.Context, during time.Duration) (figure, error) {
	most := 0
	for end := time.Now().Add(during); ; {
		list, err := s.client.ClientList(ctx).Result()
		if err != nil {
			return figure{}, fmt.Errorf("CLIENT LIST: %w", err)
		}
		most = max(most, strings.Count(list, "\n")-int(s.client.PoolStats().TotalConns))
		pause := min(time.Until(end), 100*time.Millisecond)
		if pause <= 0 {
			return figure{value: float64(most)}, nil
		}
		time.Sleep(pause)
	}
}

// idleStreams are GET streams on which nothing happens, each of a session of its
// own, whose client keeps no other connection.
type idleStreams struct {
	mu  sync.Mutex
	all []*stream
}

// open opens n more streams, through the clients of e.
func (s *idleStreams) open(e *callers, n int) error {
	sessions := make(chan *caller, len(e.callers))
	for _, c := range e.callers {
		own := *c // its connection, with a session of its own
		sessions <- &own
	}
	return all(len(e.callers), n, func(int) error {
		c := <-sessions
		defer func() { sessions <- c }()
		if err := c.begin(); err != nil {
			return err
		}
		one, err := c.listen(func(int64) {})
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = append(s.all, one)
		return nil
	})
}

func (s *idleStreams) close() error {
	var errs []error
	for _, one := range s.all {
		errs = append(errs, one.close())
	}
	return errors.Join(errs...)
}

// openable returns how many of n streams can be open, each of which takes a file
// descriptor of this process and one of the server.
func openable(n int) (int, error) {
	const others = 400
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("getrlimit: %w", err)
	}
	if limit.Cur < 2*others {
		return 0, fmt.Errorf("a process may open %d files here: raise the limit (ulimit -n) to %d", limit.Cur, n+others)
	}
	return int(min(uint64(n), limit.Cur-others)), nil // the table says how many
}
