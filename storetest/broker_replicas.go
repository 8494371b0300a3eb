package storetest

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/mcpsession/mcpsession"
)

var brokerReplicas = []brokerTest{
	{"every replica has a name of its own, fit for a key", replicaNames},
	{"replicas that run are alive, on every replica, and no others", replicasAlive},
	{"a replica that was closed is not alive any more", closedReplica},
}

// brokerTime are the tests that take time.
var brokerTime = []brokerTest{
	{"a log ends its time after the last Append", logsEnd},
	{"a log that ended begins anew, with greater positions", endedLogs},
	{"a cell ends its time after the last Swap that succeeded", cellsEnd},
	{"each Swap that succeeds gives a cell its time anew", cellsRenewed},
	{"a replica is alive for as long as it runs", replicasStayAlive},
	{"a replica that died is not alive a few seconds later", killedReplica},
	{"a replica outlives an outage that was longer than its life sign", replicasOutliveOutage},
}

func replicaNames(c *brokerContract) {
	brokers := []mcpsession.Broker{c.open(), c.open(), c.open()}
	names := make(map[string]mcpsession.Broker)
	for range 2 {
		for _, b := range brokers {
			name := b.Replica()
			if earlier, taken := names[name]; taken && earlier != b {
				c.Errorf("two replicas are called %q", name)
			}
			names[name] = b
			if len(name) > 32 {
				c.Errorf("the replica name %q has more than 32 bytes", name)
			}
			for _, r := range name {
				if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r) {
					c.Errorf("the replica name %q has characters that are neither letters nor digits", name)
				}
			}
			c.append(b, c.key("of:"+name), "event") // moves no name
		}
	}
	for name, b := range names {
		if b.Replica() != name || name == "" {
			c.Errorf("replica %q is now called %q", name, b.Replica())
		}
	}
	// Another storage has other replicas.
	for _, b := range []mcpsession.Broker{c.h.New(c.T).Open(c.T), c.h.New(c.T).Open(c.T)} {
		if _, taken := names[b.Replica()]; taken {
			c.Errorf("replicas of two storages are called %q", b.Replica())
		}
		names[b.Replica()] = b
	}
}

// alive fails the test unless b finds the replica alive or not.
func (c *brokerContract) alive(b mcpsession.Broker, replica string, want bool) {
	c.Helper()
	if got, err := b.Alive(c.Context(), replica); err != nil || got != want {
		c.Errorf("Alive(%.70q) = %t, %v, want %t", replica, got, err, want)
	}
}

// dead waits until b finds that the replica is not alive.
func (c *brokerContract) dead(b mcpsession.Broker, replica string, within time.Duration) {
	c.Helper()
	const step = 100 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		alive, err := b.Alive(c.Context(), replica)
		if err != nil {
			c.Fatal(err)
		}
		if !alive {
			return
		}
		if waited >= within {
			c.Fatalf("a replica is still alive %v after its end", waited)
		}
		c.h.Advance(step)
	}
}

func replicasAlive(c *brokerContract) {
	one, other := c.two()
	for _, b := range []mcpsession.Broker{one, other} {
		c.alive(b, one.Replica(), true) // from the first moment
		c.alive(b, other.Replica(), true)
		for _, name := range []string{"", "nobody", " ", "*", "a b\n", "\x00", "{}:*", one.Replica() + "x", one.Replica()[1:], strings.ToLower(one.Replica()) + "-", strings.Repeat("x", 1000)} {
			c.alive(b, name, false)
		}
	}
	late := c.open()
	c.alive(one, late.Replica(), true)
	c.rest()
}

func closedReplica(c *brokerContract) {
	one, other := c.two()
	closer, ok := other.(io.Closer)
	c.needs(ok, "brokers that can be closed")
	c.needs(one != other, "brokers of several replicas")
	log, cell := c.key("log"), c.key("cell")
	c.append(other, log, "event")
	c.swap(other, cell, nil, []byte("value"))
	woken := c.settled(one, log)
	name := other.Replica()
	c.alive(one, name, true)
	if err := closer.Close(); err != nil {
		c.Error(err)
	}
	c.dead(one, name, time.Second/2)
	c.alive(one, one.Replica(), true)
	// What it wrote and who else watches is none of its business.
	c.holds(one, log, "event")
	c.has(one, cell, []byte("value"))
	c.append(c.open(), log, "more")
	c.wakes(woken, "Append")
	c.rest(log, cell)
}

// noticed is for how long a replica may be alive that is not.
const noticed = 15 * time.Second

func replicasStayAlive(c *brokerContract) {
	one, other := c.two()
	for range 5 {
		c.h.Advance(noticed / 5)
		c.alive(one, one.Replica(), true)
		c.alive(one, other.Replica(), true)
		c.alive(other, one.Replica(), true)
	}
	c.rest()
}

func killedReplica(c *brokerContract) {
	c.needs(c.storage.Kill != nil, "Kill")
	one, other := c.two()
	name := other.Replica()
	c.append(other, c.key("log"), "event")
	c.swap(other, c.key("cell"), nil, []byte("value"))
	c.alive(one, name, true)
	c.storage.Kill(c.T, other)
	c.dead(one, name, noticed)
	c.alive(one, one.Replica(), true)
	c.holds(one, c.key("log"), "event")
	c.has(one, c.key("cell"), []byte("value"))
	successor := c.open()
	if successor.Replica() == name {
		c.Errorf("two replicas, one after the other, are called %q", name)
	}
	c.h.Advance(time.Second)
	c.alive(one, name, false)
	c.alive(one, successor.Replica(), true)
	c.rest(c.key("log"), c.key("cell"))
}

func replicasOutliveOutage(c *brokerContract) {
	c.needs(c.storage.Outage != nil, "Outage")
	one, other := c.two()
	names := []string{one.Replica(), other.Replica()}
	restore := c.storage.Outage(c.T)
	c.h.Advance(noticed)
	restore()
	c.recovers(one)
	c.recovers(other)
	for _, name := range names {
		c.eventually("a replica is alive again", func() error {
			alive, err := one.Alive(c.Context(), name)
			if err == nil && !alive {
				err = errors.New("it is not")
			}
			return err
		})
		c.alive(other, name, true)
	}
	if one.Replica() != names[0] || other.Replica() != names[1] {
		c.Error("an outage changed the name of a replica")
	}
	c.rest()
}

func logsEnd(c *brokerContract) {
	one, other := c.two()
	log, ttl := c.key("log"), c.h.TTL
	keep := mcpsession.Retention{Events: 100, For: ttl}
	c.appendKept(one, log, "first", keep)
	c.h.Advance(ttl * 3 / 4)
	c.appendKept(other, log, "second", keep)
	c.h.Advance(ttl * 3 / 4)
	c.holds(one, log, "first", "second") // reading keeps nothing alive
	c.rest(log)
	c.h.Advance(ttl/4 + aWhile)
	c.holds(one, log)
	c.holds(other, log)
	c.rest()

	// The last Append alone says for how long, also if that is less.
	c.appendKept(one, log, "long", mcpsession.Retention{Events: 100, For: 100 * ttl})
	c.appendKept(other, log, "short", keep)
	c.h.Advance(ttl * 3 / 4)
	c.holds(other, log, "long", "short")
	c.h.Advance(ttl/4 + aWhile)
	c.holds(one, log)
	c.rest()
}

func endedLogs(c *brokerContract) {
	one, other := c.two()
	log := c.key("log")
	last := mcpsession.Position(0)
	for i := range 5 {
		first := c.appendKept(one, log, "first", mcpsession.Retention{Events: 1, For: time.Millisecond})
		if first <= last {
			c.Errorf("log %d begins at %d, the last one ended at %d", i, first, last)
		}
		last = first
		c.h.Advance(aWhile)
		c.holds(other, log)
		c.holds(one, log)
	}
	c.rest()
}
