package storetest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mcpsession/mcpsession"
)

var brokerLogs = []brokerTest{
	{"what one replica appends, all read in that order", logsAreShared},
	{"appenders and readers on two replicas agree, and no reader misses an event", logsUnderLoad},
	{"five thousand events are read page by page, each once, from any position", logsInPages},
	{"an event of 4 MiB arrives whole", logsOfBigEvents},
	{"a log keeps as many events as it should, and not many more", logsAreBounded},
	{"how much is kept is for the last Append to say", logsFollowRetention},
	{"PositionAt lies between what came before and what comes from then on", positionsTellTime},
	{"a log that was dropped begins anew, with greater positions", droppedLogs},
	{"events passed in and returned can be modified", logsAliasNothing},
}

func logsAreShared(c *brokerContract) {
	one, other := c.two()
	log := c.key("log")
	for _, b := range []mcpsession.Broker{one, other} {
		page := c.read(b, log, 0)
		if page.Len != 0 || page.First != 0 || page.Last != 0 {
			c.Errorf("a log that does not exist has %d events, %d to %d", page.Len, page.First, page.Last)
		}
	}
	want := []string{"first", "\x00\xff\r\n \"", "ü", strings.Repeat("x", 1000), "first"}
	var positions []mcpsession.Position
	for i, event := range want {
		writer, reader := one, other
		if i%2 == 1 {
			writer, reader = other, one
		}
		at := c.append(writer, log, event)
		positions = append(positions, at)
		c.holds(reader, log, want[:i+1]...) // what was acknowledged is there
		c.holds(writer, log, want[:i+1]...)
	}
	for i, e := range c.all(other, log, 0) {
		if i < len(positions) && e.Position != positions[i] {
			c.Errorf("event %d is at %d, but Append said %d", i, e.Position, positions[i])
		}
	}
	for _, after := range []mcpsession.Position{positions[4], positions[4] + 1, math.MaxUint64} {
		page := c.read(one, log, after)
		if len(page.Events) != 0 || page.Len != 5 || page.First != positions[0] || page.Last != positions[4] {
			c.Errorf("after the last event: %d events, and %d of them from %d to %d", len(page.Events), page.Len, page.First, page.Last)
		}
	}
	c.rest(log)
	c.h.Advance(10 * time.Millisecond) // so that now and the longest For are more than fits
	c.appendKept(one, log, "lasting", mcpsession.Retention{Events: math.MaxInt, For: math.MaxInt64})
	c.holds(other, log, append(want, "lasting")...)
}

func logsUnderLoad(c *brokerContract) {
	const appenders, each, readers = 8, 100, 4
	brokers := []mcpsession.Broker{c.open(), c.open()}
	log := c.key("log")
	var (
		mu        sync.Mutex
		positions = make(map[string]mcpsession.Position)
		running   sync.WaitGroup
		seen      [readers][]mcpsession.Event
	)
	running.Add(appenders)
	appended := make(chan struct{})
	go func() {
		running.Wait()
		close(appended)
	}()
	c.race(appenders+readers, func(i int) {
		mine, another := brokers[i%2], brokers[(i+1)%2]
		if i < appenders {
			defer running.Done()
			for n := range each {
				event := fmt.Sprintf("%d %d", i, n)
				at := c.append(mine, log, event)
				mu.Lock()
				positions[event] = at
				mu.Unlock()
				if n%8 > 0 { // else the appenders would mostly read
					continue
				}
				if page := c.read(another, log, at-1); len(page.Events) == 0 || string(page.Events[0].Data) != event {
					c.Errorf("event %q is not at its position %d", event, at)
				}
			}
			return
		}
		// A reader never goes back: what is inserted behind it, it misses.
		after, mineSeen := mcpsession.Position(0), &seen[i-appenders]
		for over := false; !over; {
			select {
			case <-appended:
				over = true // all that is left is there by now
			default:
			}
			events := c.all(mine, log, after)
			if len(events) > 0 {
				after = events[len(events)-1].Position
			}
			*mineSeen = append(*mineSeen, events...)
		}
	})
	for _, events := range seen {
		if len(events) != appenders*each {
			c.Errorf("a reader saw %d events of %d", len(events), appenders*each)
		}
		next := make(map[string]int)
		for _, e := range events {
			var by, n int
			if _, err := fmt.Sscanf(string(e.Data), "%d %d", &by, &n); err != nil {
				c.Fatal(err)
			}
			if positions[string(e.Data)] != e.Position {
				c.Errorf("event %q is at %d for a reader, at %d for its appender", e.Data, e.Position, positions[string(e.Data)])
			}
			if key := fmt.Sprint(by); next[key] != n {
				c.Errorf("event %d of appender %d comes where %d was expected", n, by, next[key])
			} else {
				next[key]++
			}
		}
	}
	c.rest(log)
}

func logsInPages(c *brokerContract) {
	const n, appenders = 5000, 8
	brokers := []mcpsession.Broker{c.open(), c.open()}
	log := c.key("log")
	var mu sync.Mutex
	var want []mcpsession.Event
	c.race(appenders, func(i int) {
		for j := range n / appenders {
			event := fmt.Sprintf("event %d of %d", j, i)
			at := c.append(brokers[i%2], log, event)
			mu.Lock()
			want = append(want, mcpsession.Event{Position: at, Data: []byte(event)})
			mu.Unlock()
		}
	})
	slices.SortFunc(want, func(a, b mcpsession.Event) int { return int(a.Position) - int(b.Position) })
	c.sameEvents(c.all(brokers[0], log, 0), want)
	if page := c.read(brokers[1], log, want[n/2].Position); page.Len != n || page.First != want[0].Position || page.Last != want[n-1].Position {
		c.Errorf("a page from the middle says that there are %d events, from %d to %d", page.Len, page.First, page.Last)
	}
	for i, from := range []int{1, n / 3, n - 100, n - 1} {
		c.sameEvents(c.all(brokers[i%2], log, want[from].Position-1), want[from:])
		c.sameEvents(c.all(brokers[i%2], log, want[from].Position), want[from+1:])
	}
	for from := 0; from < n-1; from += 99 {
		page := c.read(brokers[from%2], log, want[from].Position)
		c.sameEvents(page.Events, want[from+1:min(n, from+1+max(1, len(page.Events)))])
	}
}

func (c *brokerContract) sameEvents(got, want []mcpsession.Event) {
	c.Helper()
	same := func(a, b mcpsession.Event) bool { return a.Position == b.Position && bytes.Equal(a.Data, b.Data) }
	if !slices.EqualFunc(got, want, same) {
		c.Errorf("read %d events, want %d, or other ones", len(got), len(want))
	}
}

func logsOfBigEvents(c *brokerContract) {
	one, other := c.two()
	log := c.key("log")
	big := []byte(strings.Repeat("4 MiB \x00\xff", 4<<20/8))
	for i := range 3 {
		big[i] = 'X'
		c.append(one, log, string(big))
		c.append(other, log, "small")
	}
	events := c.all(other, log, 0)
	if len(events) != 6 {
		c.Fatalf("read %d events, want 6", len(events))
	}
	for i := range 3 {
		copy(big, "XXX"[:i+1]+"4 MiB"[i+1:])
		if !bytes.Equal(events[2*i].Data, big) || string(events[2*i+1].Data) != "small" {
			c.Errorf("events %d and %d, of %d and %d bytes, are not what was appended", 2*i, 2*i+1, len(events[2*i].Data), len(events[2*i+1].Data))
		}
	}
}

// tooMany is more events than a log may have that keeps n.
func tooMany(n int) int { return 2*n + 200 + 1 }

func logsAreBounded(c *brokerContract) {
	brokers := []mcpsession.Broker{c.open(), c.open()}
	for _, keep := range []int{1, 10, 300} {
		log := c.key(fmt.Sprintf("log-of-%d", keep))
		var want []string
		for i := range tooMany(keep) + keep {
			want = append(want, fmt.Sprintf("event %d", i))
			c.appendKept(brokers[i%2], log, want[i], mcpsession.Retention{Events: keep, For: time.Hour})
			if i%37 > 0 {
				continue
			}
			if page := c.read(brokers[(i+1)%2], log, 0); page.Len < min(i+1, keep) || page.Len >= tooMany(keep) {
				c.Errorf("after %d appends to a log that keeps %d it has %d events", i+1, keep, page.Len)
			}
		}
		events := c.all(brokers[0], log, 0)
		if len(events) < keep || len(events) >= tooMany(keep) {
			c.Fatalf("of a log that keeps %d, %d events are read", keep, len(events))
		}
		c.holds(brokers[1], log, want[len(want)-len(events):]...) // the last ones
	}
}

func logsFollowRetention(c *brokerContract) {
	one, other := c.two()
	log := c.key("log")
	var want []string
	for i := range 500 {
		want = append(want, fmt.Sprintf("event %d", i))
		c.appendKept(one, log, want[i], mcpsession.Retention{Events: 1000, For: time.Hour})
	}
	c.holds(other, log, want...)
	c.appendKept(other, log, "last", mcpsession.Retention{Events: 5, For: time.Hour})
	if page := c.read(one, log, 0); page.Len < 5 || page.Len >= tooMany(5) {
		c.Errorf("after an append that keeps 5 events, the log has %d", page.Len)
	}
	events := c.all(one, log, 0)
	c.holds(other, log, append(want, "last")[501-len(events):]...)
}

func positionsTellTime(c *brokerContract) {
	one, other := c.two()
	log := c.key("log")
	var earlier mcpsession.Position
	for range 5 {
		// On the first instant of a millisecond, if the clock allows.
		now := time.Now()
		c.h.Advance(now.Truncate(time.Millisecond).Add(time.Millisecond).Sub(now))
		from := mcpsession.PositionAt(time.Now())
		at := c.append(one, log, "from then on")
		if from <= earlier {
			c.Errorf("PositionAt is %d, but an event of a millisecond before is at %d", from, earlier)
		}
		if at <= from {
			c.Errorf("PositionAt is %d, but an event of later is at %d", from, at)
		}
		if events := c.all(other, log, from); len(events) != 1 || events[0].Position != at {
			c.Errorf("%d events after the time before the last", len(events))
		}
		later := c.append(other, log, "in the same millisecond, perhaps")
		if later <= at {
			c.Errorf("a later event is at %d, an earlier one at %d", later, at)
		}
		c.h.Advance(time.Millisecond)
		earlier = later
		if events := c.all(one, log, mcpsession.PositionAt(time.Now())); len(events) != 0 {
			c.Errorf("%d events from a millisecond after the last on", len(events))
		}
	}
}

func droppedLogs(c *brokerContract) {
	brokers := []mcpsession.Broker{c.open(), c.open()}
	log := c.key("log")
	var last mcpsession.Position
	for i := range 20 { // many of them within a millisecond
		var events []string
		for j := range 3 {
			events = append(events, fmt.Sprintf("event %d of log %d", j, i))
			at := c.append(brokers[(i+j)%2], log, events[j])
			if at <= last {
				c.Errorf("event %d of log %d is at %d, one before it was at %d", j, i, at, last)
			}
			last = at
		}
		c.holds(brokers[i%2], log, events...)
		c.drop(brokers[i%2], log)
		c.holds(brokers[0], log)
		c.holds(brokers[1], log)
		c.rest()
	}
}

func logsAliasNothing(c *brokerContract) {
	one, other := c.two()
	log := c.key("log")
	event := []byte("event")
	if _, err := one.Append(c.Context(), log, event, plenty); err != nil {
		c.Fatal(err)
	}
	clear(event)
	for _, b := range []mcpsession.Broker{one, other, one} {
		events := c.all(b, log, 0)
		if len(events) != 1 || string(events[0].Data) != "event" {
			c.Fatalf("%d events, or one that changed with a caller's copy", len(events))
		}
		clear(events[0].Data)
		_ = append(events[0].Data, "more"...)
	}
	c.append(one, log, "next")
	c.holds(other, log, "event", "next")
}
