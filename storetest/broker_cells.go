package storetest

import (
	"bytes"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/mcpsession/mcpsession"
)

var brokerCells = []brokerTest{
	{"Swap creates, replaces, removes and reads", swapBasics},
	{"a Swap that names another value changes nothing", swapConflicts},
	{"an empty value is a value", swapEmpty},
	{"of 50 Swaps of one value at once exactly one succeeds", swapWinner},
	{"no Swap is lost", swapCounter},
	{"values passed in and returned can be modified", cellsAliasNothing},
}

func swapBasics(c *brokerContract) {
	one, other := c.two()
	cell := c.key("cell")
	c.has(one, cell, nil)
	c.has(other, cell, nil)
	c.rest() // reading stores nothing
	values := [][]byte{nil, []byte("a"), []byte("\x00\xff\n"), bytes.Repeat([]byte("long"), 100_000), []byte("a"), nil, []byte("b"), nil}
	for i, next := range values[1:] {
		c.value(c.swap(one, cell, values[i], next), next)
		c.has(one, cell, next)
		c.has(other, cell, next)
		one, other = other, one
	}
	c.rest()
	// The same value again is a change too: watchers wake, and it lasts anew.
	c.value(c.swap(one, cell, nil, []byte("same")), []byte("same"))
	c.value(c.swap(other, cell, []byte("same"), []byte("same")), []byte("same"))
	c.value(c.swapFor(other, cell, []byte("same"), nil, 0), nil) // which needs no ttl
	c.h.Advance(10 * time.Millisecond)                           // so that now and the longest ttl are more than fits
	c.value(c.swapFor(other, cell, nil, []byte("lasting"), math.MaxInt64), []byte("lasting"))
	c.has(one, cell, []byte("lasting"))
	c.rest(cell)
}

func swapConflicts(c *brokerContract) {
	one, other := c.two()
	cell := c.key("cell")
	for _, old := range []string{"", "a", "other"} { // of a cell that does not exist
		c.value(c.swap(one, cell, []byte(old), []byte("next")), nil)
		c.value(c.swap(one, cell, []byte(old), nil), nil)
		c.has(other, cell, nil)
	}
	c.rest()
	c.swap(one, cell, nil, []byte("a"))
	for _, old := range [][]byte{nil, {}, []byte("A"), []byte("a "), []byte("aa"), []byte("b")} {
		c.value(c.swap(other, cell, old, []byte("b")), []byte("a"))
		c.has(one, cell, []byte("a"))
		if old != nil { // nil, nil reads
			c.value(c.swap(other, cell, old, nil), []byte("a"))
			c.has(one, cell, []byte("a"))
		}
	}
	c.rest(cell)
}

func swapEmpty(c *brokerContract) {
	one, other := c.two()
	cell := c.key("cell")
	empty := []byte{}
	c.value(c.swap(one, cell, nil, empty), empty)
	c.has(other, cell, empty)
	c.value(c.swap(other, cell, nil, []byte("b")), empty) // there is one already
	c.value(c.swap(other, cell, empty, []byte("b")), []byte("b"))
	c.value(c.swap(one, cell, []byte("b"), empty), empty)
	c.has(one, cell, empty)
	c.rest(cell)
	c.value(c.swap(one, cell, empty, nil), nil)
	c.has(other, cell, nil)
	c.value(c.swap(other, cell, empty, nil), nil) // no error: there is none
	c.value(c.swap(other, cell, empty, []byte("b")), nil)
	c.rest()
}

func swapWinner(c *brokerContract) {
	brokers := []mcpsession.Broker{c.open(), c.open()}
	cell := c.key("cell")
	var old []byte
	for round := range rounds {
		var winners atomic.Int64
		var winner atomic.Value
		c.race(50, func(i int) {
			next := fmt.Appendf(nil, "round %d, caller %d", round, i)
			if bytes.Equal(c.swap(brokers[i%2], cell, old, next), next) {
				winners.Add(1)
				winner.Store(next)
			}
		})
		if n := winners.Load(); n != 1 {
			c.Fatalf("%d of 50 Swaps of one value succeeded", n)
		}
		old = winner.Load().([]byte)
		c.has(brokers[0], cell, old)
		c.has(brokers[1], cell, old)
	}
	c.rest(cell)
}

func swapCounter(c *brokerContract) {
	brokers := []mcpsession.Broker{c.open(), c.open()}
	cell := c.key("cell")
	count := func(value []byte) (n int) {
		if value != nil {
			if _, err := fmt.Sscan(string(value), &n); err != nil {
				c.Error(err)
			}
		}
		return n
	}
	c.race(racers, func(i int) {
		seen := c.swap(brokers[i%2], cell, nil, nil)
		for range rounds {
			for done := false; !done && !c.Failed(); {
				// A value that is the caller's own, so that it knows who succeeded.
				next := fmt.Appendf(nil, "%d by %d", count(seen)+1, i)
				seen = c.swap(brokers[i%2], cell, seen, next)
				done = bytes.Equal(seen, next)
			}
		}
	})
	if n := count(c.swap(brokers[1], cell, nil, nil)); n != racers*rounds {
		c.Errorf("the cell counts %d Swaps, %d succeeded", n, racers*rounds)
	}
	c.rest(cell)
}

func cellsAliasNothing(c *brokerContract) {
	one, other := c.two()
	cell := c.key("cell")
	next := []byte("value")
	returned := c.swap(one, cell, nil, next)
	clear(next)
	c.has(other, cell, []byte("value"))
	clear(returned)
	c.has(one, cell, []byte("value"))
	clear(c.swap(one, cell, nil, nil))
	clear(c.swap(one, cell, []byte("wrong"), []byte("refused")))
	c.has(one, cell, []byte("value"))
	old := []byte("value")
	next = []byte("second")
	c.swap(one, cell, old, next)
	clear(old)
	clear(next)
	c.has(other, cell, []byte("second"))
}

// The rest belongs to the tests about time.

func cellsEnd(c *brokerContract) {
	one, other := c.two()
	cell, ttl := c.key("cell"), c.h.TTL
	c.swapFor(one, cell, nil, []byte("a"), ttl)
	c.h.Advance(ttl * 3 / 4)
	c.has(other, cell, []byte("a"))
	c.value(c.swapFor(other, cell, []byte("wrong"), []byte("b"), 10*ttl), []byte("a"))
	c.value(c.swapFor(other, cell, nil, []byte("b"), 10*ttl), []byte("a"))
	c.value(c.swapFor(one, cell, nil, nil, 10*ttl), []byte("a"))
	c.rest(cell)
	c.h.Advance(ttl/4 + aWhile)
	c.has(one, cell, nil)
	c.has(other, cell, nil)
	c.value(c.swapFor(other, cell, []byte("a"), []byte("b"), ttl), nil)
	c.rest()
	c.value(c.swapFor(other, cell, nil, []byte("again"), ttl), []byte("again"))
	c.h.Advance(ttl / 2)
	c.has(one, cell, []byte("again"))
	c.rest(cell)
}

func cellsRenewed(c *brokerContract) {
	one, other := c.two()
	cell, same, ttl := c.key("cell"), c.key("same"), c.h.TTL
	c.swapFor(one, cell, nil, []byte("0"), ttl)
	c.swapFor(one, same, nil, []byte("same"), ttl)
	for i := range 3 {
		c.h.Advance(ttl * 3 / 4)
		c.value(c.swapFor(other, cell, fmt.Append(nil, i), fmt.Append(nil, i+1), ttl), fmt.Append(nil, i+1))
		c.value(c.swapFor(other, same, []byte("same"), []byte("same"), ttl), []byte("same"))
		one, other = other, one
	}
	c.h.Advance(ttl * 3 / 4)
	c.has(one, cell, []byte("3"))
	c.has(one, same, []byte("same"))
	c.h.Advance(ttl/4 + aWhile)
	c.has(one, cell, nil)
	c.has(one, same, nil)
	c.rest()

	// The last Swap alone says for how long, also if that is less.
	c.swapFor(one, cell, nil, []byte("long"), 100*ttl)
	c.swapFor(other, cell, []byte("long"), []byte("short"), ttl)
	c.h.Advance(ttl * 3 / 4)
	c.has(one, cell, []byte("short"))
	c.h.Advance(ttl/4 + aWhile)
	c.has(one, cell, nil)
	c.rest()
	c.swapFor(one, cell, nil, []byte("brief"), time.Millisecond)
	c.h.Advance(aWhile)
	c.has(other, cell, nil)
	c.rest()
}
