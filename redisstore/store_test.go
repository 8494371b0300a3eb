package redisstore_test

import (
	"context"
	"net"
	"os"
	"testing"
	"testing/synctest"

	"github.com/alicebob/miniredis/v2"
	"github.com/mcpsession/mcpsession/internal/redisharness"
	"github.com/mcpsession/mcpsession/storetest"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

func TestMain(m *testing.M) {
	logging.Disable() // the client's log of outages that tests make
	os.Exit(m.Run())
}

// The contract on an emulated server, whose clock is that of the bubble. The
// integration tests run it on a real one.
func TestContractOnMiniredis(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Around: synctest.Test,
		New: func(t *testing.T) storetest.Storage {
			return redisharness.NewStorage(t, onMiniredis(t))
		},
	})
}

// onMiniredis starts an emulated server whose time is that of time.Now, and
// returns how to reach it.
func onMiniredis(t *testing.T) redis.Options {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	t.Cleanup(m.Close)
	return redis.Options{
		Addr: "127.0.0.1:6379", // not used: the dialer connects in memory
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			c, err := m.Dial()
			if err != nil {
				return nil, err
			}
			return redisharness.Queued(c), nil
		},
	}
}
