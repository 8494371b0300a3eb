package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
)

// BrokerHarness tells RunBroker how to make the broker under test, and how time
// passes there.
type BrokerHarness struct {
	// New makes an empty storage for one test, to be cleaned up with t. Its clock
	// is that of time.Now. Required.
	New func(t *testing.T) BrokerStorage

	// Around runs one test; for instance synctest.Test, which gives it a clock
	// of its own. Default: the test is simply called.
	Around func(t *testing.T, test func(t *testing.T))

	// Advance lets d pass for the broker and for time.Now. Default: time.Sleep,
	// which is also right inside a synctest bubble.
	Advance func(d time.Duration)

	// TTL is how long logs and cells last in tests about time, each of which
	// takes a few of it. Default: a minute, for clocks that can be advanced. On a
	// real clock, no less than two seconds: the tests rely on less than a quarter
	// of it being lost to a busy machine.
	TTL time.Duration

	// RealTime says that Advance really waits. Tests about time then run in
	// parallel.
	RealTime bool
}

// BrokerStorage is what the brokers of one test share. A nil function means that
// the implementation has no such thing; the tests that need it are then shown as
// skipped.
type BrokerStorage struct {
	// Open opens one replica's broker on the storage, to be closed with t.
	// Required. Called twice, it returns two brokers that share their logs and
	// cells, or, where all replicas are one process, the same one twice.
	Open func(t *testing.T) mcpsession.Broker

	// Outage puts the storage out of reach of all brokers until restore is
	// called.
	Outage func(t *testing.T) (restore func())

	// LoseReply makes the first broker that was opened lose the nth reply from
	// now on (counting from 1) to something that it asked of the storage: the
	// storage has done it, then during runs, then the connection breaks.
	LoseReply func(t *testing.T, nth int, during func())

	// LoseWakeups makes what one broker tells the others get lost, unnoticed by
	// any, until restore is called. What they read and write is not affected.
	LoseWakeups func(t *testing.T) (restore func())

	// Kill makes a replica die without a goodbye. Its broker is not used after.
	Kill func(t *testing.T, broker mcpsession.Broker)

	// Always returns an error if something is wrong that must be right at every
	// moment, also in the middle of an operation: a key without a TTL, say.
	Always func(ctx context.Context) error

	// AtRest returns an error if the storage holds anything but these logs and
	// cells, what says that replicas run, and what a broker has to remember for a
	// minute of its own writes and of logs that are gone. Called while no
	// operation is under way.
	AtRest func(ctx context.Context, live []mcpsession.Key) error
}

// RunBroker proves the contract of [mcpsession.Broker] on the brokers that h
// makes. Each promise is a subtest named after it. A broker that is an
// [io.Closer] says goodbye when it is closed, which is tested too.
func RunBroker(t *testing.T, h BrokerHarness) {
	if h.Around == nil {
		h.Around = func(t *testing.T, test func(*testing.T)) { test(t) }
	}
	if h.Advance == nil {
		h.Advance = time.Sleep
	}
	if h.TTL == 0 {
		h.TTL = time.Minute
	}
	for _, group := range []struct {
		name  string
		timed bool
		tests []brokerTest
	}{
		{"logs", false, brokerLogs},
		{"cells", false, brokerCells},
		{"keys", false, brokerKeys},
		{"watches", false, brokerWatches},
		{"replicas", false, brokerReplicas},
		{"faults", false, brokerFaults},
		{"time", true, brokerTime},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.promise, func(t *testing.T) {
					if group.timed && h.RealTime {
						t.Parallel()
					}
					h.Around(t, func(t *testing.T) {
						storage := h.New(t)
						test.run(&brokerContract{
							contract: &contract{T: t, storage: Storage{Always: storage.Always}},
							h:        h,
							storage:  storage,
							ref:      mcpsession.NewSessionID().Ref(),
						})
					})
				})
			}
		})
	}
}

type brokerTest struct {
	promise string
	run     func(c *brokerContract)
}

// brokerContract is one test: a storage, and shorthands that fail the test.
type brokerContract struct {
	*contract // for what is not about sessions
	h         BrokerHarness
	storage   BrokerStorage
	ref       mcpsession.Ref // some session
}

const (
	// patience bounds what has to happen, but not at once.
	patience = 10 * time.Second

	// aWhile is for what must not happen at all: long enough to catch it.
	aWhile = 200 * time.Millisecond
)

// plenty is out of the way of tests that are about neither number nor time.
var plenty = mcpsession.Retention{Events: 100_000, For: time.Hour}

func (c *brokerContract) open() mcpsession.Broker {
	c.Helper()
	return c.storage.Open(c.T)
}

// two opens two replicas, which can be the same.
func (c *brokerContract) two() (one, other mcpsession.Broker) {
	c.Helper()
	return c.open(), c.open()
}

// key names a log or cell of the test's session.
func (c *brokerContract) key(name string) mcpsession.Key {
	return mcpsession.Key{Ref: c.ref, Name: name}
}

// append is safe to call from any goroutine, as are read, all and swap.
func (c *brokerContract) append(b mcpsession.Broker, log mcpsession.Key, event string) mcpsession.Position {
	c.Helper()
	return c.appendKept(b, log, event, plenty)
}

func (c *brokerContract) appendKept(b mcpsession.Broker, log mcpsession.Key, event string, keep mcpsession.Retention) mcpsession.Position {
	c.Helper()
	at, err := b.Append(c.Context(), log, []byte(event), keep)
	if err != nil {
		c.Errorf("append to log %s: %v", log.Name, err)
	}
	return at
}

// read returns a page, after checking that it agrees with itself.
func (c *brokerContract) read(b mcpsession.Broker, log mcpsession.Key, after mcpsession.Position) mcpsession.Page {
	c.Helper()
	page, err := b.Read(c.Context(), log, after)
	if err != nil {
		c.Errorf("read log %s: %v", log.Name, err)
		return mcpsession.Page{}
	}
	if (page.Len == 0) != (page.First == 0) || (page.Len == 0) != (page.Last == 0) ||
		page.First > page.Last || (page.Len == 1) != (page.First == page.Last && page.Len > 0) {
		c.Errorf("log %s: %d events from %d to %d", log.Name, page.Len, page.First, page.Last)
	}
	if len(page.Events) == 0 && page.Last > after {
		c.Errorf("log %s: no events after %d, but the last is %d", log.Name, after, page.Last)
	}
	if len(page.Events) > page.Len {
		c.Errorf("log %s: a page of %d events of %d", log.Name, len(page.Events), page.Len)
	}
	before := after
	for _, e := range page.Events {
		if e.Position <= before || e.Position < page.First || e.Position > page.Last {
			c.Errorf("log %s from %d to %d: after %d comes %d", log.Name, page.First, page.Last, before, e.Position)
		}
		before = e.Position
	}
	return page
}

// all returns what comes after a position, page by page.
func (c *brokerContract) all(b mcpsession.Broker, log mcpsession.Key, after mcpsession.Position) []mcpsession.Event {
	c.Helper()
	var events []mcpsession.Event
	for {
		page := c.read(b, log, after)
		if len(page.Events) == 0 {
			return events
		}
		events = append(events, page.Events...)
		last := page.Events[len(page.Events)-1].Position
		if last <= after { // read has said so
			return events
		}
		after = last
	}
}

// holds fails the test unless the log is exactly these events.
func (c *brokerContract) holds(b mcpsession.Broker, log mcpsession.Key, want ...string) {
	c.Helper()
	got := c.all(b, log, 0)
	if len(got) != len(want) {
		c.Errorf("log %s has %d events, want %d", log.Name, len(got), len(want))
		return
	}
	for i, e := range got {
		if string(e.Data) != want[i] {
			c.Errorf("log %s: event %d is %.40q, want %.40q", log.Name, i, e.Data, want[i])
		}
	}
	if page := c.read(b, log, 0); page.Len != len(want) || len(got) > 0 && (page.First != got[0].Position || page.Last != got[len(got)-1].Position) {
		c.Errorf("log %s of %d events is said to have %d, from %d to %d", log.Name, len(want), page.Len, page.First, page.Last)
	}
}

// swap returns the value that the cell then has. Its ttl is out of the way.
func (c *brokerContract) swap(b mcpsession.Broker, cell mcpsession.Key, old, next []byte) []byte {
	c.Helper()
	return c.swapFor(b, cell, old, next, time.Hour)
}

func (c *brokerContract) swapFor(b mcpsession.Broker, cell mcpsession.Key, old, next []byte, ttl time.Duration) []byte {
	c.Helper()
	value, err := b.Swap(c.Context(), cell, old, next, ttl)
	if err != nil {
		c.Errorf("swap cell %s: %v", cell.Name, err)
	}
	return value
}

// has fails the test unless the cell has this value.
func (c *brokerContract) has(b mcpsession.Broker, cell mcpsession.Key, want []byte) {
	c.Helper()
	c.value(c.swapFor(b, cell, nil, nil, 0), want)
}

// value tells nil and empty values apart.
func (c *brokerContract) value(got, want []byte) {
	c.Helper()
	if (got == nil) != (want == nil) || string(got) != string(want) {
		c.Errorf("a cell has the value %#v %q, want %#v %q", got, got, want, want)
	}
}

func (c *brokerContract) drop(b mcpsession.Broker, keys ...mcpsession.Key) {
	c.Helper()
	if err := b.Drop(c.Context(), keys...); err != nil {
		c.Error(err)
	}
}

// rest fails the test unless the storage holds just these logs and cells.
func (c *brokerContract) rest(live ...mcpsession.Key) {
	c.Helper()
	if c.storage.Always != nil {
		if err := c.storage.Always(c.Context()); err != nil {
			c.Error(err)
		}
	}
	if c.storage.AtRest != nil {
		if err := c.storage.AtRest(c.Context(), live); err != nil {
			c.Error(err)
		}
	}
}

// watch watches for as long as the test runs.
func (c *brokerContract) watch(b mcpsession.Broker, key mcpsession.Key) <-chan struct{} {
	c.Helper()
	woken := make(chan struct{}, 1)
	c.Cleanup(b.Watch(key, woken))
	return woken
}

// settled returns a watch whose first wake-up has come.
func (c *brokerContract) settled(b mcpsession.Broker, key mcpsession.Key) <-chan struct{} {
	c.Helper()
	woken := c.watch(b, key)
	c.wakes(woken, "Watch")
	c.drain(woken)
	return woken
}

// wakes waits for a wake-up.
func (c *brokerContract) wakes(woken <-chan struct{}, after string) {
	c.Helper()
	if !c.wakesWithin(woken, patience) {
		c.Errorf("not woken %v after %s", patience, after)
	}
}

func (c *brokerContract) wakesWithin(woken <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-woken:
		return true
	case <-timer.C:
		return false
	}
}

// drain takes wake-ups until none comes any more. More than needed are allowed,
// but not for ever.
func (c *brokerContract) drain(woken <-chan struct{}) {
	c.Helper()
	for range 1000 {
		if !c.wakesWithin(woken, aWhile) {
			return
		}
	}
	c.Fatal("woken again and again")
}
