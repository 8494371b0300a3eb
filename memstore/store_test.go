package memstore_test

import (
	"testing"
	"testing/synctest"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Around: synctest.Test,
		New: func(t *testing.T) storetest.Storage {
			var store *memstore.Store
			return storetest.Storage{
				Open: func(t *testing.T, limits mcpsession.Limits) mcpsession.SessionStore {
					if store == nil {
						store = open(t, limits, memstore.DefaultMaxSessions)
					}
					return store
				},
			}
		},
	})
}

func open(t *testing.T, limits mcpsession.Limits, maxSessions int) *memstore.Store {
	t.Helper()
	store, err := memstore.New(limits, maxSessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}
