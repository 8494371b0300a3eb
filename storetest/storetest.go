// Package storetest is the contract of [mcpsession.SessionStore] as tests. Run
// it against any implementation:
//
//	func TestContract(t *testing.T) {
//		storetest.Run(t, storetest.Harness{New: newStorage})
//	}
//
// and RunBroker likewise, which is the contract of [mcpsession.Broker].
package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
)

// Harness tells Run how to make the store under test, and how time passes there.
type Harness struct {
	// New makes an empty storage for one test, to be cleaned up with t. Required.
	New func(t *testing.T) Storage

	// Around runs one test; for instance synctest.Test, which gives it a clock
	// of its own. Default: the test is simply called.
	Around func(t *testing.T, test func(t *testing.T))

	// Advance lets d pass for the store and for time.Now. Default: time.Sleep,
	// which is also right inside a synctest bubble.
	Advance func(d time.Duration)

	// Idle is the idle timeout in tests about time, each of which takes a few of
	// it. Default: an hour, for clocks that can be advanced. On a real clock, no
	// less than two seconds: the tests rely on less than a quarter of it being
	// lost to a busy machine.
	Idle time.Duration

	// RealTime says that Advance really waits. Tests about time then run in
	// parallel, and the random operations do not advance time.
	RealTime bool
}

// Storage is what the stores of one test keep their sessions in. A nil function
// means that the implementation has no such thing; the tests that need it are
// then shown as skipped.
type Storage struct {
	// Open opens one replica's store on the storage. Required. Called twice, it
	// returns two stores that share their sessions, or the same one twice.
	Open func(t *testing.T, limits mcpsession.Limits) mcpsession.SessionStore

	// Outage puts the storage out of reach until restore is called.
	Outage func(t *testing.T) (restore func())

	// LoseReply makes the first store that was opened lose the nth reply from
	// now on (counting from 1): the storage has done what it was asked, then
	// during runs, then the connection breaks.
	LoseReply func(t *testing.T, nth int, during func())

	// Upgrade rewrites a stored session as a release with a newer schema would,
	// and returns a function that fails the test if it was changed since.
	Upgrade func(t *testing.T, ref mcpsession.Ref) (unchanged func(t *testing.T))

	// Always returns an error if something is wrong that must be right at every
	// moment, also in the middle of an operation: a key without a TTL, say.
	Always func(ctx context.Context) error

	// AtRest returns an error if the storage holds anything but what belongs to
	// these live sessions. Called while no operation is under way.
	AtRest func(ctx context.Context, live []mcpsession.Ref) error
}

// Run proves the contract on the stores that h makes. Each promise is a subtest
// named after it.
func Run(t *testing.T, h Harness) {
	if h.Around == nil {
		h.Around = func(t *testing.T, test func(*testing.T)) { test(t) }
	}
	if h.Advance == nil {
		h.Advance = time.Sleep
	}
	if h.Idle == 0 {
		h.Idle = time.Hour
	}
	for _, group := range []struct {
		name  string
		timed bool
		tests []contractTest
	}{
		{"basics", false, basics},
		{"ids", false, ids},
		{"sharing", false, sharing},
		{"limits", false, limits},
		{"races", false, races},
		{"faults", false, faults},
		{"model", false, model},
		{"time", true, deadlines},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.promise, func(t *testing.T) {
					if group.timed && h.RealTime {
						t.Parallel()
					}
					idle := time.Hour // out of the way of tests that are not about time
					if group.timed {
						idle = h.Idle
					}
					h.Around(t, func(t *testing.T) { test.run(&contract{T: t, h: h, idle: idle, storage: h.New(t)}) })
				})
			}
		})
	}
}

type contractTest struct {
	promise string
	run     func(c *contract)
}

// contract is one test: a storage, and shorthands that fail the test.
type contract struct {
	*testing.T
	h       Harness
	idle    time.Duration // the idle timeout of open's stores
	storage Storage
}

// open opens a store with limits so wide that only the idle timeout matters.
func (c *contract) open() mcpsession.SessionStore {
	c.Helper()
	return c.openWith(c.limits())
}

func (c *contract) limits() mcpsession.Limits {
	limits := mcpsession.DefaultLimits()
	limits.IdleTimeout = c.idle
	limits.MaxLifetime = 1000 * c.idle
	return limits
}

func (c *contract) openWith(limits mcpsession.Limits) mcpsession.SessionStore {
	c.Helper()
	return c.storage.Open(c.T, limits)
}

// needs skips the test when the implementation cannot be put into its situation.
func (c *contract) needs(has bool, capability string) {
	c.Helper()
	if !has {
		c.Skipf("does not apply: the harness has no %s", capability)
	}
}

func (c *contract) create(store mcpsession.SessionStore, s mcpsession.Session) mcpsession.ID {
	c.Helper()
	id := mcpsession.NewSessionID()
	if _, err := store.Create(c.Context(), id, s); err != nil {
		c.Fatal(err)
	}
	return id
}

func (c *contract) get(store mcpsession.SessionStore, id mcpsession.ID) mcpsession.Session {
	c.Helper()
	s, err := store.Get(c.Context(), id)
	if err != nil {
		c.Fatal(err)
	}
	return s
}

func (c *contract) update(store mcpsession.SessionStore, id mcpsession.ID, change func(*mcpsession.Session)) mcpsession.Session {
	c.Helper()
	s, err := store.Update(c.Context(), id, func(s *mcpsession.Session) error {
		change(s)
		return nil
	})
	if err != nil {
		c.Fatal(err)
	}
	return s
}

// live fails the test unless Count, All and the storage agree that exactly
// these sessions are alive.
func (c *contract) live(store mcpsession.SessionStore, want ...mcpsession.ID) {
	c.Helper()
	if n, err := store.Count(c.Context()); err != nil || n != len(want) {
		c.Errorf("Count() = %d, %v, want %d", n, err, len(want))
	}
	listed := make(map[mcpsession.Ref]bool)
	for s, err := range store.All(c.Context()) {
		if err != nil {
			c.Fatalf("All(): %v", err)
		}
		if listed[s.Ref] {
			c.Errorf("All() yields session %s twice", s.Ref)
		}
		listed[s.Ref] = true
	}
	refs := make([]mcpsession.Ref, len(want))
	for i, id := range want {
		refs[i] = id.Ref()
		if !listed[id.Ref()] {
			c.Errorf("All() leaves out session %s", id)
		}
		delete(listed, id.Ref())
	}
	for ref := range listed {
		c.Errorf("All() yields session %s, which is not alive", ref)
	}
	if c.storage.Always != nil {
		if err := c.storage.Always(c.Context()); err != nil {
			c.Error(err)
		}
	}
	if c.storage.AtRest != nil {
		if err := c.storage.AtRest(c.Context(), refs); err != nil {
			c.Error(err)
		}
	}
}

// gone fails the test unless every access to id is ErrNotFound.
func (c *contract) gone(store mcpsession.SessionStore, id mcpsession.ID) {
	c.Helper()
	_, err := store.Get(c.Context(), id)
	c.is(err, mcpsession.ErrNotFound)
	_, err = store.Update(c.Context(), id, func(*mcpsession.Session) error {
		c.Error("Update called its function for a session that does not exist")
		return nil
	})
	c.is(err, mcpsession.ErrNotFound)
}
