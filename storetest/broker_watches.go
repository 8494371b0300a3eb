package storetest

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/mcpsession/mcpsession"
)

var brokerWatches = []brokerTest{
	{"a watch wakes once after Watch returns", watchBegins},
	{"Append, a Swap that succeeds and Drop wake watchers on every replica", watchWakes},
	{"what changes nothing wakes nobody", watchSleeps},
	{"a watcher that does not receive holds nobody up", watchNeverWaits},
	{"one channel can watch several keys", watchManyKeys},
	{"a watch that was stopped sends nothing any more", watchStops},
	{"two watches of one key do not disturb one another", watchTwice},
	{"of an event appended while Watch is called, the watcher hears", watchBeginRace},
	{"after the last wake-up, one more look shows everything", watchNoLostWake},
	{"a thousand watches begin and end while others append", watchManyAtOnce},
}

func watchBegins(c *brokerContract) {
	one, other := c.two()
	for _, b := range []mcpsession.Broker{one, other, one} {
		c.wakes(c.watch(b, c.key("log")), "Watch")
		c.wakes(c.watch(b, mcpsession.Key{Name: "log"}), "Watch")
	}
	c.rest() // watching stores nothing
}

func watchWakes(c *brokerContract) {
	one, other := c.two()
	for _, ref := range []mcpsession.Ref{c.ref, {}} {
		log, cell, never := mcpsession.Key{Ref: ref, Name: "log"}, mcpsession.Key{Ref: ref, Name: "cell"}, mcpsession.Key{Ref: ref, Name: "never-was"}
		for _, watcher := range []mcpsession.Broker{one, other} {
			logWoken, cellWoken := c.settled(watcher, log), c.settled(watcher, cell)
			for _, change := range []struct {
				name  string
				woken <-chan struct{}
				make  func(b mcpsession.Broker)
			}{
				{"Append", logWoken, func(b mcpsession.Broker) { c.append(b, log, "event") }},
				{"a second Append", logWoken, func(b mcpsession.Broker) { c.append(b, log, "event") }},
				{"a Drop of the log", logWoken, func(b mcpsession.Broker) { c.drop(b, log) }},
				{"a Swap that creates", cellWoken, func(b mcpsession.Broker) { c.swap(b, cell, nil, []byte("a")) }},
				{"a Swap that changes", cellWoken, func(b mcpsession.Broker) { c.swap(b, cell, []byte("a"), []byte("b")) }},
				{"a Swap that removes", cellWoken, func(b mcpsession.Broker) { c.swap(b, cell, []byte("b"), nil) }},
				{"another Swap that creates", cellWoken, func(b mcpsession.Broker) { c.swap(b, cell, nil, []byte("a")) }},
				{"a Drop of the cell", cellWoken, func(b mcpsession.Broker) { c.drop(b, never, cell) }},
			} {
				change.make(one)
				c.wakes(change.woken, change.name)
				c.drain(change.woken)
			}
		}
	}
}

// watchSleeps is what keeps a watcher that looks when it is woken from waking
// itself for ever.
func watchSleeps(c *brokerContract) {
	one, other := c.two()
	log, cell, never := c.key("log"), c.key("cell"), c.key("never-was")
	c.append(one, log, "event")
	c.swap(one, cell, nil, []byte("value"))
	var woken []<-chan struct{}
	for _, b := range []mcpsession.Broker{one, other} {
		for _, key := range []mcpsession.Key{log, cell, never} {
			woken = append(woken, c.settled(b, key))
		}
	}
	for _, b := range []mcpsession.Broker{one, other} {
		c.read(b, log, 0)
		c.read(b, never, 0)
		c.swap(b, cell, nil, nil)
		c.swap(b, never, nil, nil)
		c.swap(b, cell, []byte("wrong"), []byte("next"))
		c.swap(b, cell, []byte("wrong"), nil)
		c.swap(b, never, []byte("wrong"), []byte("next"))
		c.append(b, mcpsession.Key{Name: "log"}, "of another key")
		c.append(b, c.key("log2"), "of another key")
	}
	for i := range woken {
		if c.wakesWithin(woken[i], aWhile) {
			c.Errorf("watch %d woke though nothing changed", i)
		}
	}
}

func watchNeverWaits(c *brokerContract) {
	one, other := c.two()
	log, cell := c.key("log"), c.key("cell")
	for _, b := range []mcpsession.Broker{one, other} {
		for _, woken := range []chan struct{}{make(chan struct{}), make(chan struct{}, 1)} {
			c.Cleanup(b.Watch(log, woken))
			c.Cleanup(b.Watch(cell, woken))
		}
	}
	woken := c.watch(other, log)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			c.append(one, log, fmt.Sprint(i))
		}
		c.swap(one, cell, nil, []byte("value"))
		c.drop(one, cell)
	}()
	if !c.wakesWithin(done, patience) {
		c.Fatal("Append, Swap and Drop wait for a watcher to receive")
	}
	c.wakes(woken, "a hundred Appends") // although others do not receive
	c.drain(woken)
	c.append(one, log, "last")
	c.wakes(woken, "Append")
}

func watchManyKeys(c *brokerContract) {
	one, other := c.two()
	keys := []mcpsession.Key{c.key("a"), c.key("b"), {Name: "a"}, {Ref: mcpsession.NewSessionID().Ref(), Name: "a"}}
	woken := make(chan struct{}, 1)
	var stops []func()
	for _, key := range keys {
		stops = append(stops, one.Watch(key, woken))
	}
	c.wakes(woken, "Watch")
	c.drain(woken)
	for i := range keys {
		for _, key := range keys[i:] {
			c.append(other, key, "event")
			c.wakes(woken, "Append")
			c.drain(woken)
		}
		stops[i]()
	}
}

func watchStops(c *brokerContract) {
	one, other := c.two()
	log := c.key("log")
	for range 3 { // it can be watched again
		woken := make(chan struct{}, 1)
		stop := one.Watch(log, woken)
		c.wakes(woken, "Watch")
		c.drain(woken)
		c.append(other, log, "event")
		c.wakes(woken, "Append")
		stop()
		c.drain(woken)
		c.append(other, log, "event")
		c.append(one, log, "event")
		if c.wakesWithin(woken, aWhile) {
			c.Error("a stopped watch woke")
		}
	}
	for range rounds { // nor when it is stopped while others append
		woken := make(chan struct{}, 100)
		stop := one.Watch(log, woken)
		c.race(3, func(i int) {
			if i > 0 {
				for range 10 {
					c.append([]mcpsession.Broker{one, other}[i-1], log, "event")
				}
				return
			}
			for range rand.IntN(100) {
				runtime.Gosched()
			}
			stop()
			for len(woken) > 0 {
				<-woken
			}
			c.append(other, log, "event")
			c.append(one, log, "event")
			if len(woken) > 0 {
				c.Error("a stopped watch woke")
			}
		})
		if c.wakesWithin(woken, time.Millisecond) {
			c.Error("a stopped watch woke, later")
		}
	}
}

func watchTwice(c *brokerContract) {
	one, other := c.two()
	log := c.key("log")
	first, second, shared := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	stopFirst, stopSecond := one.Watch(log, first), one.Watch(log, second)
	// Two watches can even be of one key and channel.
	stopShared, stopSharedToo := one.Watch(log, shared), one.Watch(log, shared)
	settle := func(channels ...chan struct{}) {
		c.Helper()
		for _, woken := range channels {
			c.wakes(woken, "Watch or Append")
			c.drain(woken)
		}
	}
	settle(first, second, shared)
	c.append(other, log, "event")
	settle(first, second, shared)
	stopFirst()
	stopShared()
	c.append(other, log, "event")
	settle(second, shared)
	if c.wakesWithin(first, aWhile) {
		c.Error("a stopped watch woke because another goes on")
	}
	third := make(chan struct{}, 1)
	stopThird := one.Watch(log, third) // is woken though the key is watched already
	settle(third)
	stopSecond()
	stopSharedToo()
	c.append(other, log, "event")
	settle(third)
	stopThird()
}

// watchBeginRace has no wake-up but those of the broker, so it waits in vain if
// one is lost.
func watchBeginRace(c *brokerContract) {
	one, other := c.two()
	for i := range 20 * rounds {
		log := c.key(fmt.Sprintf("log-%d", i%3)) // some watched before
		event := fmt.Sprint(i)
		woken := make(chan struct{}, 1)
		var stop func()
		var after mcpsession.Position
		if page := c.read(one, log, 0); page.Len > 0 {
			after = page.Last
		}
		c.race(3, func(j int) {
			if j < 2 {
				for range rand.IntN(50) {
					runtime.Gosched()
				}
			}
			switch j {
			case 0:
				stop = one.Watch(log, woken)
			case 1:
				c.append(other, log, event)
			case 2: // receives already, say because it watches other keys too
				for len(c.read(one, log, after).Events) == 0 {
					if !c.wakesWithin(woken, patience) {
						c.Errorf("round %d: not woken for an event appended around Watch", i)
						return
					}
				}
			}
		})
		stop()
		if c.Failed() {
			return
		}
	}
}

func watchNoLostWake(c *brokerContract) {
	const events, watchers = 500, 4
	brokers := []mcpsession.Broker{c.open(), c.open()}
	log := c.key("log")
	var caughtUp [watchers]chan mcpsession.Position
	for i := range caughtUp {
		caughtUp[i] = make(chan mcpsession.Position, events+1)
	}
	var wg sync.WaitGroup
	over := make(chan struct{})
	for i := range watchers {
		woken := make(chan struct{}, 1)
		stop := brokers[i%2].Watch(log, woken)
		wg.Go(func() {
			defer stop()
			after, n := mcpsession.Position(0), 0
			for n < events {
				select {
				case <-woken:
				case <-over:
					return
				}
				for _, e := range c.all(brokers[i%2], log, after) {
					after = e.Position
					n++
				}
				caughtUp[i] <- after
			}
		})
	}
	defer wg.Wait()
	defer close(over)
	for n := range events {
		at := c.append(brokers[rand.IntN(2)], log, fmt.Sprint(n))
		if n%3 == 0 && n != events-1 {
			continue // in a burst
		}
		timeout := time.NewTimer(patience)
		for i := range watchers {
			for seen := mcpsession.Position(0); seen < at; {
				select {
				case seen = <-caughtUp[i]:
				case <-timeout.C:
					c.Fatalf("watcher %d never saw event %d at %d: it was not woken after it", i, n, at)
				}
			}
		}
		timeout.Stop()
	}
}

func watchManyAtOnce(c *brokerContract) {
	brokers := []mcpsession.Broker{c.open(), c.open()}
	c.race(racers, func(i int) {
		for n := range 1000 / racers {
			log := c.key(fmt.Sprintf("log-%d", n%5))
			woken := make(chan struct{}, 1)
			stop := brokers[i%2].Watch(log, woken)
			if n%4 == 0 {
				c.append(brokers[(i+1)%2], log, "event")
			}
			if n%8 == 0 {
				c.wakes(woken, "Watch and Append")
			}
			stop()
		}
	})
	for n := range 5 {
		log := c.key(fmt.Sprintf("log-%d", n))
		for _, b := range brokers {
			woken := c.settled(b, log)
			c.append(brokers[n%2], log, "event")
			c.wakes(woken, "Append, when many watches have ended")
		}
	}
}
