package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"
)

// A replica is alive while its key exists. The key is renewed so often that two
// attempts can fail.
const (
	aliveFor   = 4 * time.Second
	aliveAgain = time.Second // when the key is renewed, and how long that may take
)

func newReplicaName() string { return rand.Text() }

// Alive implements [mcpsession.Broker].
func (b *Broker) Alive(ctx context.Context, replica string) (bool, error) {
	n, err := b.client.Exists(ctx, b.keys.replica(replica)).Result()
	if err != nil {
		return false, fmt.Errorf("ask whether replica %q is alive: %w", replica, brokerError(err))
	}
	return n == 1, nil
}

func (b *Broker) announce(ctx context.Context) error {
	return b.client.Set(ctx, b.keys.replica(b.replica), "", aliveFor).Err()
}

func (b *Broker) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), aliveAgain)
	defer cancel()
	if err := b.client.Del(ctx, b.keys.replica(b.replica)).Err(); err != nil {
		return fmt.Errorf("tell the other replicas: %w", brokerError(err))
	}
	return nil
}

// stayAlive renews the key until ctx ends, whatever the server does meanwhile.
func (b *Broker) stayAlive(ctx context.Context, logger *slog.Logger) {
	tick := time.NewTicker(aliveAgain)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, aliveAgain)
		err := b.announce(attempt)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			logger.Error("Redis is out of reach: other replicas will take this one for dead; retrying", "replica", b.replica, "error", err)
		}
		if err == nil && failing {
			logger.Info("Redis is in reach again: other replicas see this one", "replica", b.replica)
		}
		failing = err != nil
	}
}
