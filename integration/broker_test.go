package integration

import (
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/internal/redisharness"
	"github.com/mcpsession/mcpsession/storetest"
	"github.com/redis/go-redis/v9"
)

// The contract that redisstore.Broker keeps on an emulated server, kept on a real
// one.
func TestBrokerContractOnRedis(t *testing.T) {
	server := redistest.Start(t)
	storetest.RunBroker(t, storetest.BrokerHarness{
		RealTime: true,
		TTL:      2 * time.Second,
		New: func(t *testing.T) storetest.BrokerStorage {
			return redisharness.NewBrokerStorage(t, redis.Options{Addr: server.Addr()})
		},
	})
}
