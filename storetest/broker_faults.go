package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mcpsession/mcpsession"
)

var brokerFaults = []brokerTest{
	{"in an outage every method is ErrUnavailable, and nothing is lost", brokerOutage},
	{"an outage does not outlast the caller's deadline or patience", brokerOutageDeadline},
	{"watches outlive an outage, and wake after it", watchesOutliveOutage},
	{"a watch that begins in an outage wakes after it", watchBeginsInOutage},
	{"an Append whose reply was lost is done once", lostAppend},
	{"an Append whose reply was lost is done once though others appended since", lostAppendOvertaken},
	{"a Swap whose reply was lost is done once", lostSwap},
	{"a Swap whose reply was lost is done once though others swapped since", lostSwapOvertaken},
	{"a Drop whose reply was lost is done", lostDrop},
	{"lost wake-ups lose no event and spoil no later wake-up", lostWakeups},
}

// unavailable fails the test unless every method says so, on log and cell.
func (c *brokerContract) unavailable(ctx context.Context, b mcpsession.Broker, log, cell mcpsession.Key) {
	c.Helper()
	_, err := b.Append(ctx, log, []byte("event"), plenty)
	c.is(err, mcpsession.ErrUnavailable)
	_, err = b.Read(ctx, log, 0)
	c.is(err, mcpsession.ErrUnavailable)
	_, err = b.Swap(ctx, cell, []byte("value"), []byte("next"), time.Hour)
	c.is(err, mcpsession.ErrUnavailable)
	_, err = b.Swap(ctx, cell, nil, nil, 0)
	c.is(err, mcpsession.ErrUnavailable)
	c.is(b.Drop(ctx, log, cell), mcpsession.ErrUnavailable)
	_, err = b.Alive(ctx, b.Replica())
	c.is(err, mcpsession.ErrUnavailable)
}

// recovers waits until the storage is in reach of b again.
func (c *brokerContract) recovers(b mcpsession.Broker) {
	c.Helper()
	c.eventually("the broker works again", func() error {
		_, err := b.Read(c.Context(), c.key("log"), 0)
		return err
	})
}

func brokerOutage(c *brokerContract) {
	c.needs(c.storage.Outage != nil, "Outage")
	one, other := c.two()
	log, cell := c.key("log"), c.key("cell")
	c.append(one, log, "event")
	c.swap(one, cell, nil, []byte("value"))
	name := one.Replica()
	restore := c.storage.Outage(c.T)
	c.unavailable(c.Context(), one, log, cell)
	c.unavailable(c.Context(), other, log, cell)
	_, err := one.Append(c.Context(), log, nil, plenty)
	c.is(err, mcpsession.ErrInvalid) // that much is known without the storage
	if errors.Is(err, mcpsession.ErrUnavailable) {
		c.Error("an invalid event is called an outage")
	}
	restore()
	for _, b := range []mcpsession.Broker{one, other} {
		c.recovers(b)
		c.holds(b, log, "event")
		c.has(b, cell, []byte("value"))
	}
	c.append(other, log, "later")
	c.value(c.swap(other, cell, []byte("value"), []byte("next")), []byte("next"))
	c.holds(one, log, "event", "later")
	c.has(one, cell, []byte("next"))
	if one.Replica() != name {
		c.Error("an outage changed the name of a replica")
	}
	c.rest(log, cell)
}

func brokerOutageDeadline(c *brokerContract) {
	c.needs(c.storage.Outage != nil, "Outage")
	b := c.open()
	restore := c.storage.Outage(c.T)
	defer restore()
	for _, call := range []struct {
		name string
		make func(context.Context) error
	}{
		{"Append", func(ctx context.Context) error {
			_, err := b.Append(ctx, c.key("log"), []byte("event"), plenty)
			return err
		}},
		{"Read", func(ctx context.Context) error { _, err := b.Read(ctx, c.key("log"), 0); return err }},
		{"Swap", func(ctx context.Context) error {
			_, err := b.Swap(ctx, c.key("cell"), nil, []byte("a"), time.Hour)
			return err
		}},
		{"Drop", func(ctx context.Context) error { return b.Drop(ctx, c.key("log")) }},
		{"Alive", func(ctx context.Context) error { _, err := b.Alive(ctx, "somebody"); return err }},
		{"Watch", func(context.Context) error {
			b.Watch(c.key("log"), make(chan struct{}, 1))()
			return mcpsession.ErrUnavailable // it has no way to say so
		}},
	} {
		ctx, cancel := context.WithTimeout(c.Context(), 50*time.Millisecond)
		began := time.Now()
		c.is(call.make(ctx), mcpsession.ErrUnavailable)
		if took := time.Since(began); took > 2*time.Second {
			c.Errorf("%s took %v with a deadline of 50ms", call.name, took)
		}
		cancel()
	}
}

func watchesOutliveOutage(c *brokerContract) {
	c.needs(c.storage.Outage != nil, "Outage")
	one, other := c.two()
	keys := []mcpsession.Key{c.key("log"), {Name: "log"}}
	var woken []<-chan struct{}
	for _, key := range keys {
		woken = append(woken, c.settled(one, key))
	}
	for range 2 {
		restore := c.storage.Outage(c.T)
		c.h.Advance(time.Second)
		for i := range keys { // as many as it likes, so far
			c.drain(woken[i])
		}
		restore()
		for i := range keys { // a change may have been missed
			c.wakes(woken[i], "the end of an outage")
		}
		c.recovers(other)
		for i, key := range keys {
			c.drain(woken[i])
			c.append(other, key, "event")
			c.wakes(woken[i], "an Append after an outage")
			c.drain(woken[i])
		}
	}
}

func watchBeginsInOutage(c *brokerContract) {
	c.needs(c.storage.Outage != nil, "Outage")
	one, other := c.two()
	log := c.key("log")
	restore := c.storage.Outage(c.T)
	woken := c.watch(one, log)
	stopped := make(chan struct{}, 1)
	one.Watch(log, stopped)() // can be stopped meanwhile
	c.h.Advance(time.Second)
	c.drain(woken)
	for len(stopped) > 0 {
		<-stopped
	}
	restore()
	c.wakes(woken, "the end of an outage")
	c.recovers(other)
	c.drain(woken)
	c.append(other, log, "event")
	c.wakes(woken, "an Append after an outage")
	if len(stopped) > 0 {
		c.Error("a watch that was stopped in the outage woke")
	}
}

// lostReplies runs operation several times, each time losing another one of the
// replies that it may wait for. during says whether it found that the operation
// had been done by then, which has to happen.
func (c *brokerContract) lostReplies(during func(other mcpsession.Broker, key mcpsession.Key) bool, operation func(one, other mcpsession.Broker, key mcpsession.Key)) {
	one, other := c.two()
	// First uses have replies of their own, as when a script is not known yet.
	c.append(one, c.key("first"), "event")
	c.swap(one, c.key("first-cell"), nil, []byte("value"))
	c.drop(one, c.key("first"), c.key("first-cell"))
	lost, done := 0, 0
	for nth := 1; nth <= 4; nth++ {
		key := c.key(fmt.Sprintf("key-%d", nth))
		c.storage.LoseReply(c.T, nth, func() {
			lost++
			if during(other, key) {
				done++
			}
		})
		operation(one, other, key)
		for range 4 { // uses up a reply that operation did not wait for
			c.read(one, c.key("unused"), 0)
		}
		c.drop(other, key)
		c.rest()
	}
	if lost != 4 || done == 0 {
		c.Errorf("%d replies were lost, want 4, and %d of them to what was tested", lost, done)
	}
}

func lostAppend(c *brokerContract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	appended := func(other mcpsession.Broker, log mcpsession.Key) bool { return c.read(other, log, 0).Len == 2 }
	c.lostReplies(appended, func(one, other mcpsession.Broker, log mcpsession.Key) {
		c.append(other, log, "before")
		at := c.append(one, log, "event")
		c.holds(other, log, "before", "event")
		if last := c.read(other, log, 0).Last; last != at {
			c.Errorf("the event is at %d, but Append said %d", last, at)
		}
		if again := c.append(one, log, "event"); again <= at { // another Append is not a repetition
			c.Errorf("the same event again is at %d, not after %d", again, at)
		}
		c.holds(other, log, "before", "event", "event")
	})
}

func lostAppendOvertaken(c *brokerContract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	overtake := func(other mcpsession.Broker, log mcpsession.Key) bool {
		appended := c.read(other, log, 0).Len == 1
		for i := range 40 {
			c.append(other, log, fmt.Sprintf("other %d", i))
		}
		return appended
	}
	c.lostReplies(overtake, func(one, other mcpsession.Broker, log mcpsession.Key) {
		at := c.append(one, log, "event")
		n := 0
		for _, e := range c.all(other, log, 0) {
			if string(e.Data) != "event" {
				continue
			}
			if n++; e.Position != at {
				c.Errorf("the event is at %d, but Append said %d", e.Position, at)
			}
		}
		if n != 1 {
			c.Errorf("the event was appended %d times", n)
		}
	})
}

func lostSwap(c *brokerContract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	swapped := func(other mcpsession.Broker, cell mcpsession.Key) bool {
		return c.swap(other, cell, nil, nil) != nil
	}
	c.lostReplies(swapped, func(one, other mcpsession.Broker, cell mcpsession.Key) {
		for _, step := range []struct{ old, next []byte }{
			{nil, []byte("a")}, {[]byte("a"), []byte("b")}, {[]byte("b"), []byte("b")}, {[]byte("b"), nil},
		} {
			c.value(c.swap(one, cell, step.old, step.next), step.next)
			c.has(other, cell, step.next)
		}
		c.swap(other, cell, nil, []byte("c"))
		c.value(c.swap(one, cell, []byte("b"), []byte("a")), []byte("c")) // another Swap is not a repetition
		c.has(other, cell, []byte("c"))
	})
}

func lostSwapOvertaken(c *brokerContract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	overtaken := false
	overtake := func(other mcpsession.Broker, cell mcpsession.Key) bool {
		if value := c.swap(other, cell, nil, nil); string(value) != "mine" {
			return false // another reply was lost
		}
		c.swap(other, cell, []byte("mine"), []byte("another's"))
		for range 40 {
			c.swap(other, cell, []byte("another's"), []byte("another's"))
		}
		// Back to what it was, so that a repeated Swap would find its old value.
		c.value(c.swap(other, cell, []byte("another's"), []byte("old")), []byte("old"))
		overtaken = true
		return true
	}
	c.lostReplies(overtake, func(one, other mcpsession.Broker, cell mcpsession.Key) {
		overtaken = false
		c.swap(other, cell, nil, []byte("old"))
		c.value(c.swap(one, cell, []byte("old"), []byte("mine")), []byte("mine")) // it did succeed
		if overtaken {
			c.has(other, cell, []byte("old"))
		} else {
			c.has(other, cell, []byte("mine"))
			c.swap(other, cell, []byte("mine"), []byte("over")) // not to be taken for it later
		}
	})
}

func lostDrop(c *brokerContract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	cell := c.key("cell")
	dropped := func(other mcpsession.Broker, _ mcpsession.Key) bool {
		return c.swap(other, cell, nil, nil) == nil
	}
	c.lostReplies(dropped, func(one, other mcpsession.Broker, log mcpsession.Key) {
		c.append(other, log, "event")
		c.swap(other, cell, nil, []byte("value"))
		c.drop(one, log, cell)
		c.holds(other, log)
		c.has(other, cell, nil)
	})
}

func lostWakeups(c *brokerContract) {
	c.needs(c.storage.LoseWakeups != nil, "LoseWakeups")
	one, other := c.two()
	log := c.key("log")
	woken := c.settled(one, log)
	restore := c.storage.LoseWakeups(c.T)
	c.append(other, log, "unheard")
	c.holds(one, log, "unheard") // by a watcher that reads from time to time
	c.append(other, log, "unheard too")
	c.holds(one, log, "unheard", "unheard too")
	restore()
	c.drain(woken)
	c.append(other, log, "heard")
	c.wakes(woken, "Append")
	c.holds(one, log, "unheard", "unheard too", "heard")
}
