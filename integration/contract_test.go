package integration

import (
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/internal/redisharness"
	"github.com/mcpsession/mcpsession/storetest"
	"github.com/redis/go-redis/v9"
)

// The contract that redisstore keeps on an emulated server, kept on a real one.
func TestContractOnRedis(t *testing.T) {
	server := redistest.Start(t)
	storetest.Run(t, storetest.Harness{
		RealTime: true,
		Idle:     2 * time.Second,
		New: func(t *testing.T) storetest.Storage {
			return redisharness.NewStorage(t, redis.Options{Addr: server.Addr()})
		},
	})
}
