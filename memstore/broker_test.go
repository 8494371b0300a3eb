package memstore_test

import (
	"testing"
	"testing/synctest"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/storetest"
)

func TestBrokerContract(t *testing.T) {
	storetest.RunBroker(t, storetest.BrokerHarness{
		Around: synctest.Test,
		New: func(t *testing.T) storetest.BrokerStorage {
			b := memstore.NewBroker()
			t.Cleanup(func() { b.Close() })
			return storetest.BrokerStorage{
				Open: func(*testing.T) mcpsession.Broker { return b },
			}
		},
	})
}
