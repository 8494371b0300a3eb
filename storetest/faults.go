package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpsession/mcpsession"
)

var faults = []contractTest{
	{"an outage is ErrUnavailable, never ErrNotFound, and loses nothing", outage},
	{"an outage does not outlast the caller's deadline", outageDeadline},
	{"a Create whose reply was lost is done once", lostCreate},
	{"an Update whose reply was lost is applied once", lostUpdate},
	{"an Update whose reply was lost is applied once though others wrote since", lostUpdateOvertaken},
	{"a Delete whose reply was lost is done", lostDelete},
	{"a session of a newer schema is ErrUnsupportedVersion and left alone", newerSchema},
}

func outage(c *contract) {
	c.needs(c.storage.Outage != nil, "Outage")
	store := c.open()
	id := c.create(store, full())
	restore := c.storage.Outage(c.T)
	never := func(err error) {
		c.Helper()
		c.is(err, mcpsession.ErrUnavailable)
	}
	_, err := store.Create(c.Context(), mcpsession.NewSessionID(), full())
	never(err)
	_, err = store.Get(c.Context(), id)
	never(err)
	_, err = store.Update(c.Context(), id, func(s *mcpsession.Session) error { return nil })
	never(err)
	_, err = store.Share(c.Context(), id)
	never(err)
	never(store.Delete(c.Context(), id))
	_, err = store.Count(c.Context())
	never(err)
	listed := 0
	for _, err := range store.All(c.Context()) {
		listed++
		never(err)
	}
	if listed != 1 {
		c.Errorf("All yielded %d times in an outage, want one error", listed)
	}
	if p, ok := store.(mcpsession.Pinger); ok {
		never(p.Ping(c.Context()))
	}
	restore()
	c.eventually("the store answers again", func() error {
		_, err := store.Count(c.Context())
		return err
	})
	if got := c.get(store, id); got.Revision != 1 {
		c.Errorf("the session changed during the outage: %+v", got)
	}
	c.live(store, id)
}

func outageDeadline(c *contract) {
	c.needs(c.storage.Outage != nil, "Outage")
	store := c.open()
	id := c.create(store, full())
	restore := c.storage.Outage(c.T)
	defer restore()
	ctx, cancel := context.WithTimeout(c.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := store.Get(ctx, id)
	c.is(err, mcpsession.ErrUnavailable)
	if took := time.Since(began); took > 2*time.Second {
		c.Errorf("Get took %v with a deadline of 50ms", took)
	}
}

// lostReplies runs operation several times, each time losing another one of the
// replies that it may wait for.
func (c *contract) lostReplies(during func(mcpsession.SessionStore, mcpsession.ID), operation func(store, other mcpsession.SessionStore, id mcpsession.ID)) {
	store, other := c.open(), c.open()
	lost := 0
	for nth := 1; nth <= 4; nth++ {
		id := c.create(store, mcpsession.Session{})
		c.storage.LoseReply(c.T, nth, func() {
			lost++
			during(other, id)
		})
		operation(store, other, id)
		c.get(store, id) // uses up a reply that operation did not wait for
		c.get(store, id)
		c.get(store, id)
		c.get(store, id)
		c.deletes(other, id)
	}
	if lost != 4 {
		c.Errorf("%d replies were lost, want 4", lost)
	}
	c.live(other)
}

func nothing(mcpsession.SessionStore, mcpsession.ID) {}

func lostCreate(c *contract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	c.lostReplies(nothing, func(store, other mcpsession.SessionStore, _ mcpsession.ID) {
		id := mcpsession.NewSessionID()
		created, err := store.Create(c.Context(), id, full())
		if err != nil {
			c.Errorf("Create with a lost reply: %v", err)
		}
		want := c.get(other, id)
		want.LastUsedAt = created.LastUsedAt
		c.same(created, want)
		_, err = store.Create(c.Context(), id, full())
		c.is(err, mcpsession.ErrExists) // another Create is not a repetition
		c.deletes(other, id)
	})
}

func lostUpdate(c *contract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	c.lostReplies(nothing, func(store, other mcpsession.SessionStore, id mcpsession.ID) {
		if err := c.add(store, id, "n"); err != nil {
			c.Errorf("Update with a lost reply: %v", err)
		}
		c.counts(other, id, "n", 1)
	})
}

func lostUpdateOvertaken(c *contract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	const others = 40
	overtake := func(other mcpsession.SessionStore, id mcpsession.ID) {
		for i := range others {
			if err := c.add(other, id, fmt.Sprintf("other%d", i)); err != nil {
				c.Error(err)
			}
		}
	}
	c.lostReplies(overtake, func(store, other mcpsession.SessionStore, id mcpsession.ID) {
		if err := c.add(store, id, "n"); err != nil {
			c.Errorf("Update with a lost reply: %v", err)
		}
		c.counts(other, id, "n", 1)
	})
}

func lostDelete(c *contract) {
	c.needs(c.storage.LoseReply != nil, "LoseReply")
	c.lostReplies(nothing, func(store, other mcpsession.SessionStore, _ mcpsession.ID) {
		id := c.create(other, full())
		c.deletes(store, id)
		c.gone(other, id)
	})
}

func newerSchema(c *contract) {
	c.needs(c.storage.Upgrade != nil, "Upgrade")
	store := c.open()
	id, readable := c.create(store, full()), c.create(store, full())
	c.get(store, id)
	unchanged := c.storage.Upgrade(c.T, id.Ref())
	for range 2 {
		_, err := store.Get(c.Context(), id)
		c.is(err, mcpsession.ErrUnsupportedVersion)
		_, err = store.Update(c.Context(), id, func(s *mcpsession.Session) error {
			s.Values = map[string]json.RawMessage{"lost": json.RawMessage(`1`)}
			return nil
		})
		c.is(err, mcpsession.ErrUnsupportedVersion)
		_, err = store.Share(c.Context(), id)
		c.is(err, mcpsession.ErrUnsupportedVersion)
		c.is(store.Delete(c.Context(), id), mcpsession.ErrUnsupportedVersion)
		_, err = store.Create(c.Context(), id, full())
		if err == nil {
			c.Error("Create overwrote a session of a newer schema")
		}
		store = c.open() // and again without whatever the first one remembers
	}
	unchanged(c.T)
	listed := 0
	for s, err := range store.All(c.Context()) {
		listed++
		if err != nil || s.Ref != readable.Ref() {
			c.Errorf("All yields session %s, %v", s.Ref, err)
		}
	}
	if listed != 1 {
		c.Errorf("All yields %d sessions, want the one that it can read", listed)
	}
	if c.storage.Always != nil {
		if err := c.storage.Always(c.Context()); err != nil {
			c.Error(err)
		}
	}
}

// eventually polls until condition is nil, for at most ten seconds.
func (c *contract) eventually(what string, condition func() error) {
	c.Helper()
	var err error
	for range 200 {
		if err = condition(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.Fatalf("waiting until %s: %v", what, err)
}
