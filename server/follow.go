package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/mcpsession/mcpsession"
)

// fleetRetry is the pause after the broker was out of reach.
const fleetRetry = time.Second

// follower reads a log on, from its own position, so that nothing is lost with a
// connection.
type follower struct {
	broker mcpsession.Broker
	log    mcpsession.Key
	logger *slog.Logger
	after  mcpsession.Position
	hear   func(mcpsession.Page) // each page, in order, also the first, if that is empty
}

// follow runs until ctx ends, whatever the broker does meanwhile.
func (f *follower) follow(ctx context.Context) {
	woken := make(chan struct{}, 1)
	defer f.broker.Watch(f.log, woken)()
	failing := false
	for ctx.Err() == nil {
		err := f.catchUp(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			f.logger.Error("out of touch with the other replicas; retrying", "log", f.log.Name, "error", err)
		}
		if failing && err == nil {
			f.logger.Info("in touch with the other replicas again", "log", f.log.Name)
		}
		wait := recheck // one read for all streams and calls
		if failing = err != nil; failing {
			wait = fleetRetry
		}
		select {
		case <-woken:
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func (f *follower) catchUp(ctx context.Context) error {
	for {
		page, err := f.broker.Read(ctx, f.log, f.after)
		if err != nil {
			return err
		}
		f.hear(page)
		if len(page.Events) == 0 {
			return nil
		}
		f.after = page.Events[len(page.Events)-1].Position
	}
}
