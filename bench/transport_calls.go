package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// transportCalls measures tools/call of a tool that answers its argument, by
// clients that each have a session and a keep-alive connection, against the
// transports of mcp-go and of the official go-sdk, and against a handler that
// only decodes and encodes.
func transportCalls(ctx context.Context, b *bench) error {
	what := "tools/call over HTTP, " + count(b.sizes.clients, "client")
	return b.callContest(ctx, b.startCallers, []string{onMemory, onRedis, theirs, goSDK, bareEcho},
		comparison{what, onMemory, theirs, ofRate, ratioAtLeast(1.2)},
		comparison{what, onRedis, theirs, ofRate, ratioAtLeast(0.85)},
		comparison{what, onMemory, goSDK, ofRate, aim{}},
		comparison{what, onMemory, bareEcho, ofRate, aim{}},
		comparison{what, theirs, bareEcho, ofRate, aim{}},
	)
}

// transportModern measures tools/call of 2026-07-28 of a tool that opens the
// session of a handle and answers its argument. mcp-go's transport serves the
// same MCPServer; with the go-sdk, the tool opens the session by itself.
func transportModern(ctx context.Context, b *bench) error {
	what := "tools/call of 2026-07-28 with a handle, " + count(b.sizes.clients, "client")
	return b.callContest(ctx, b.startModernCallers, []string{onMemory, onRedis, theirs, stateless},
		comparison{what, onMemory, theirs, ofRate, ratioAtLeast(1.3)},
		comparison{what, onRedis, theirs, ofRate, ratioAtLeast(0.9)},
		comparison{what, onMemory, stateless, ofRate, aim{}},
	)
}

// callContest compares the rates of calls to some endpoints.
func (b *bench) callContest(ctx context.Context, start func(name string, redis *server) (*callers, error), names []string, comparisons ...comparison) (err error) {
	redis, err := startServer(ctx)
	if err != nil {
		return err
	}
	stops := []func() error{redis.stop}
	defer func() { err = errors.Join(err, stopAll(stops)) }()
	// Short rounds, since rivals that take turns faster meet more alike machines.
	c := contest{unit: perSecond, repeat: 4, enough: 5, comparisons: comparisons}
	for _, name := range names {
		e, err := start(name, redis)
		if err != nil {
			return err
		}
		stops = append(stops, e.stop)
		c.rivals = append(c.rivals, rival{name, func(ctx context.Context) (figure, error) {
			return e.calls(ctx, b.sizes.overSocket/4)
		}})
	}
	return b.run(ctx, c)
}

// transportCommands counts what a call asks of Redis: one command, which reads
// its session, if it is answered without an event stream.
func transportCommands(ctx context.Context, b *bench) (err error) {
	redis, err := startServer(ctx)
	if err != nil {
		return err
	}
	stops := []func() error{redis.stop}
	defer func() { err = errors.Join(err, stopAll(stops)) }()
	const plain, stream = "a plain answer", "a message before it"
	c := contest{unit: commands, enough: 3}
	for _, kind := range []struct{ name, tool string }{{plain, "echo"}, {stream, "announce"}} {
		e, err := b.startCallers(onRedis, redis)
		if err != nil {
			return err
		}
		stops = append(stops, e.stop)
		for _, c := range e.callers {
			c.prepare(kind.tool)
		}
		c.rivals = append(c.rivals, rival{kind.name, func(ctx context.Context) (figure, error) {
			before, err := redis.commands(ctx)
			if err != nil {
				return figure{}, err
			}
			n, _, err := work(len(e.callers), b.sizes.overSocket/2, e.call)
			if err != nil {
				return figure{}, err
			}
			after, err := redis.commands(ctx)
			return figure{value: (after - before) / float64(n)}, err
		}})
	}
	// The rest is what replicas tell each other from time to time.
	c.comparisons = []comparison{{"Redis commands for a tools/call, those inside scripts included", plain, stream, costs, figureAtMost(1.05, commands)}}
	return b.run(ctx, c)
}

func commands(v float64) string { return fmt.Sprintf("%.2f commands", v) }

// callers are the clients of a process.
type callers struct {
	*process
	callers []*caller
	steps   []int // each goes on where its last round ended
}

// startCallers starts an endpoint with clients that each made a call already.
func (b *bench) startCallers(name string, redis *server) (*callers, error) {
	return b.startCallersWith(name, redis, func(addr string) (*caller, error) { return dialCaller(addr, name != bareEcho) })
}

// startModernCallers starts an endpoint with clients of 2026-07-28.
func (b *bench) startModernCallers(name string, redis *server) (*callers, error) {
	return b.startCallersWith(name, redis, func(addr string) (*caller, error) {
		c, err := dialCaller(addr, false)
		if err == nil {
			err = c.prepareModern("kept")
		}
		return c, err
	})
}

func (b *bench) startCallersWith(name string, redis *server, dial func(addr string) (*caller, error)) (*callers, error) {
	if name != onRedis {
		redis = nil
	}
	p, err := b.start(name, redis)
	if err != nil {
		return nil, err
	}
	e := &callers{process: p, steps: make([]int, b.sizes.clients)}
	for range b.sizes.clients {
		c, err := dial(p.addr)
		if err == nil {
			e.callers = append(e.callers, c)
			err = c.call(0)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), e.stop())
		}
	}
	return e, nil
}

func (e *callers) call(caller, _ int) error {
	e.steps[caller]++
	return e.callers[caller].call(e.steps[caller])
}

// calls measures how many calls a second the process answers, and the processor
// time that it takes for each.
func (e *callers) calls(ctx context.Context, d time.Duration) (figure, error) {
	if _, err := e.do(order{Do: "settle"}); err != nil {
		return figure{}, err
	}
	before, err := e.cpu(ctx)
	if err != nil {
		return figure{}, err
	}
	n, took, err := work(len(e.callers), d, e.call)
	if err != nil {
		return figure{}, err
	}
	after, err := e.cpu(ctx)
	return figure{value: float64(n) / took.Seconds(), cpu: after.minus(before).per(n)}, err
}

func (e *callers) stop() error {
	var errs []error
	for _, c := range e.callers {
		errs = append(errs, c.close())
	}
	return errors.Join(append(errs, e.process.stop())...)
}

// stopAll stops what was started, the last first.
func stopAll(stops []func() error) (err error) {
	for _, stop := range slices.Backward(stops) {
		err = errors.Join(err, stop())
	}
	return err
}

// commands is how many commands the server has executed, except INFO.
func (s *server) commands(ctx context.Context) (float64, error) {
	info, err := s.client.Info(ctx, "commandstats").Result()
	if err != nil {
		return 0, fmt.Errorf("INFO commandstats: %w", err)
	}
	total := 0.0
	for line := range strings.Lines(info) {
		var calls float64
		name, facts, ok := strings.Cut(strings.TrimSpace(line), ":calls=")
		if !ok || name == "cmdstat_info" {
			continue
		}
		if _, err := fmt.Sscanf(facts, "%f,", &calls); err != nil {
			return 0, fmt.Errorf("INFO commandstats says %q: %w", line, err)
		}
		total += calls
	}
	return total, nil
}
