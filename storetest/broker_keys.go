package storetest

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mcpsession/mcpsession"
)

var brokerKeys = []brokerTest{
	{"logs and cells of different keys never mix", keysApart},
	{"Drop removes what it names and nothing else", dropEnds},
	{"what cannot be kept is ErrInvalid, and nothing is stored", invalidArguments},
	{"a context that ended stops every method of a broker", brokerContextEnds},
}

func keysApart(c *brokerContract) {
	one, other := c.two()
	neighbour := func(ref mcpsession.Ref) mcpsession.Ref {
		ref[15]++
		return ref
	}
	names := []string{
		"a", "A", "a:", "a:b", "b", ":", "*", "a*", "{a}", "}", "{}", `"`, `\`, "%s", "'", "a/../b", "0",
		"l:a", "c:a", "s:a", c.ref.String(), strings.Repeat("n", 64), strings.Repeat("n", 63),
	}
	var logs, cells []mcpsession.Key
	another := mcpsession.NewSessionID().Ref()
	for _, name := range names {
		for _, ref := range []mcpsession.Ref{{}, c.ref, neighbour(c.ref)} {
			logs = append(logs, mcpsession.Key{Ref: ref, Name: name})
		}
		for _, ref := range []mcpsession.Ref{another, neighbour(another)} {
			cells = append(cells, mcpsession.Key{Ref: ref, Name: name})
		}
		if len(name) < 60 { // in the zero Ref, but of no log's name
			cells = append(cells, mcpsession.Key{Name: "~" + name})
		}
	}
	content := func(key mcpsession.Key) string { return fmt.Sprint(key.Ref, " ", key.Name) }
	for _, log := range logs {
		c.append(one, log, content(log))
	}
	for _, cell := range cells {
		c.value(c.swap(one, cell, nil, []byte(content(cell))), []byte(content(cell)))
	}
	for _, log := range logs {
		c.holds(other, log, content(log))
	}
	for _, cell := range cells {
		c.has(other, cell, []byte(content(cell)))
	}
	c.rest(append(logs, cells...)...)
	for round := 0; len(logs) > 0 || len(cells) > 0; round++ {
		if len(logs) > 0 {
			c.drop(one, logs[0])
			c.holds(other, logs[0])
			logs = logs[1:]
		}
		if len(cells) > 0 {
			c.drop(other, cells[0])
			c.has(one, cells[0], nil)
			cells = cells[1:]
		}
		if round%12 > 0 {
			continue
		}
		for _, log := range logs {
			c.holds(one, log, content(log))
		}
		for _, cell := range cells {
			c.has(other, cell, []byte(content(cell)))
		}
	}
	c.rest()
}

func dropEnds(c *brokerContract) {
	one, other := c.two()
	log, cell, stays := c.key("log"), c.key("cell"), c.key("stays")
	c.drop(one)
	c.drop(one, c.key("never-was"))
	c.append(one, log, "event")
	c.append(one, stays, "event")
	c.swap(one, cell, nil, []byte("value"))
	c.drop(other, log, c.key("never-was"), cell)
	for _, b := range []mcpsession.Broker{one, other} {
		c.holds(b, log)
		c.has(b, cell, nil)
		c.holds(b, stays, "event")
	}
	c.rest(stays)
	c.drop(one, log, cell) // again
	// They can be made again, and know nothing of before.
	c.append(other, log, "anew")
	c.value(c.swap(one, cell, []byte("value"), []byte("second")), nil)
	c.value(c.swap(one, cell, nil, []byte("anew")), []byte("anew"))
	c.holds(one, log, "anew")
	c.rest(log, cell, stays)
}

func invalidArguments(c *brokerContract) {
	b := c.open()
	invalid := func(what string, err error) {
		c.Helper()
		if c.is(err, mcpsession.ErrInvalid); c.Failed() {
			c.Fatalf("that was for %s", what)
		}
	}
	for _, name := range []string{"", " ", "a b", "a\n", "\x00", "ü", "a\x7f", strings.Repeat("n", 65)} {
		for _, ref := range []mcpsession.Ref{{}, c.ref} {
			key := mcpsession.Key{Ref: ref, Name: name}
			what := fmt.Sprintf("the key name %q", name)
			_, err := b.Append(c.Context(), key, []byte("event"), plenty)
			invalid(what, err)
			_, err = b.Read(c.Context(), key, 0)
			invalid(what, err)
			_, err = b.Swap(c.Context(), key, nil, []byte("value"), time.Hour)
			invalid(what, err)
			_, err = b.Swap(c.Context(), key, nil, nil, 0)
			invalid(what, err)
			invalid(what, b.Drop(c.Context(), key))
		}
	}
	log, cell := c.key("log"), c.key("cell")
	for _, event := range [][]byte{nil, {}} {
		_, err := b.Append(c.Context(), log, event, plenty)
		invalid("an empty event", err)
	}
	for _, keep := range []mcpsession.Retention{{}, {Events: 1}, {For: time.Hour}, {Events: -1, For: time.Hour}, {Events: 1, For: -time.Hour}, {Events: 1, For: time.Millisecond - 1}} {
		_, err := b.Append(c.Context(), log, []byte("event"), keep)
		invalid(fmt.Sprintf("%+v", keep), err)
	}
	for _, ttl := range []time.Duration{0, -1, -time.Hour, time.Millisecond - 1} {
		for _, old := range [][]byte{nil, []byte("old")} {
			for _, next := range [][]byte{{}, []byte("next")} {
				_, err := b.Swap(c.Context(), cell, old, next, ttl)
				invalid(fmt.Sprintf("a ttl of %v", ttl), err)
			}
		}
	}
	c.holds(b, log)
	c.has(b, cell, nil)
	c.rest()

	c.append(b, log, "event")
	c.swap(b, cell, nil, []byte("value"))
	_, err := b.Append(c.Context(), log, nil, plenty)
	invalid("an empty event", err)
	_, err = b.Swap(c.Context(), cell, []byte("value"), []byte("next"), 0)
	invalid("a ttl of 0", err)
	bad := mcpsession.Key{Ref: c.ref}
	invalid("one key of several", b.Drop(c.Context(), log, bad, cell))
	invalid("keys of two sessions", b.Drop(c.Context(), log, mcpsession.Key{Name: "log"}, cell))
	c.holds(b, log, "event")
	c.has(b, cell, []byte("value"))
	c.rest(log, cell)
}

func brokerContextEnds(c *brokerContract) {
	b := c.open()
	log, cell := c.key("log"), c.key("cell")
	c.append(b, log, "event")
	c.swap(b, cell, nil, []byte("value"))
	cancelled, cancel := context.WithCancel(c.Context())
	cancel()
	late, cancel := context.WithDeadline(c.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for ctx, want := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
		_, err := b.Append(ctx, log, []byte("more"), plenty)
		c.is(err, want)
		_, err = b.Read(ctx, log, 0)
		c.is(err, want)
		_, err = b.Swap(ctx, cell, []byte("value"), []byte("next"), time.Hour)
		c.is(err, want)
		_, err = b.Swap(ctx, cell, nil, nil, 0)
		c.is(err, want)
		c.is(b.Drop(ctx, log, cell), want)
		_, err = b.Alive(ctx, b.Replica())
		c.is(err, want)
	}
	c.holds(b, log, "event")
	c.has(b, cell, []byte("value"))
	c.rest(log, cell)
}
