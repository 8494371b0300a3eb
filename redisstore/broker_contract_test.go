package redisstore_test

import (
	"testing"
	"testing/synctest"

	"github.com/mcpsession/mcpsession/internal/redisharness"
	"github.com/mcpsession/mcpsession/storetest"
)

// The broker's contract on an emulated server, whose clock is that of the bubble.
// The integration tests run it on a real one.
func TestBrokerContractOnMiniredis(t *testing.T) {
	storetest.RunBroker(t, storetest.BrokerHarness{
		Around: synctest.Test,
		New: func(t *testing.T) storetest.BrokerStorage {
			return redisharness.NewBrokerStorage(t, onMiniredis(t))
		},
	})
}
