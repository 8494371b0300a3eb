package storetest

import (
	"sync"

	"github.com/mcpsession/mcpsession"
)

var sharing = []contractTest{
	{"a handle opens a session once it is shared, and as its id does", shareOpens},
	{"a session has one handle, whoever shares it", shareOnce},
	{"sharing needs a credential, and brings nothing to life", shareNothing},
	{"sharing and updates at once lose nothing", shareRacesUpdate},
	{"sharing and a Delete at once leave nothing behind", shareRacesDelete},
}

func (c *contract) share(store mcpsession.SessionStore, id mcpsession.ID) mcpsession.ID {
	c.Helper()
	handle, err := store.Share(c.Context(), id)
	if err != nil {
		c.Fatal(err)
	}
	return handle
}

func shareOpens(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	c.gone(other, id.Handle())
	handle := c.share(store, id)
	if handle.Token() != id.Handle().Token() {
		c.Errorf("the handle is %s, want the one of the id", handle)
	}
	if _, err := mcpsession.ParseHandle(handle.Token()); err != nil {
		c.Errorf("what Share returns is no handle: %v", err)
	}
	want := full()
	got := c.get(other, handle)
	want.Ref, want.CreatedAt, want.LastUsedAt, want.ExpiresAt = id.Ref(), got.CreatedAt, got.LastUsedAt, got.ExpiresAt
	want.IdleTimeout, want.Revision = c.limits().IdleTimeout, 1
	c.same(got, want)
	c.update(other, handle, func(s *mcpsession.Session) { s.ProjectID = "changed" })
	if got := c.get(store, id); got.ProjectID != "changed" || got.Revision != 2 {
		c.Errorf("after an Update through the handle, the id reads %+v", got)
	}
	c.gone(store, forged(c, id)) // one credential more, and no other
	c.live(store, id)
	c.deletes(other, handle)
	c.gone(store, id)
	c.gone(store, handle)
	c.live(store)
}

func shareOnce(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	first := c.share(store, id)
	for name, again := range map[string]mcpsession.ID{
		"shared again":      c.share(other, id),
		"shared by handle":  c.share(other, first),
		"updated meanwhile": func() mcpsession.ID { c.update(store, id, func(*mcpsession.Session) {}); return c.share(store, id) }(),
	} {
		if again.Token() != first.Token() {
			c.Errorf("%s, the session has another handle", name)
		}
	}
	c.get(store, id)
	c.get(store, first)
	handle := mcpsession.NewHandle() // a session that has no other credential
	if _, err := store.Create(c.Context(), handle, full()); err != nil {
		c.Fatal(err)
	}
	if got := c.share(other, handle); got.Token() != handle.Token() {
		c.Error("the handle of a handle is another one")
	}
	c.get(store, handle)
	c.live(store, id, handle)
}

func shareNothing(c *contract) {
	store := c.open()
	id := c.create(store, full())
	for name, wrong := range map[string]mcpsession.ID{
		"a forged id":        forged(c, id),
		"an unknown id":      mcpsession.NewSessionID(),
		"the handle, unmade": id.Handle(),
		"an unknown handle":  mcpsession.NewHandle(),
		"the empty id":       {},
	} {
		_, err := store.Share(c.Context(), wrong)
		if c.is(err, mcpsession.ErrNotFound); err == nil {
			c.Errorf("%s can be shared", name)
		}
		c.gone(store, wrong.Handle())
	}
	c.deletes(store, id)
	_, err := store.Share(c.Context(), id)
	c.is(err, mcpsession.ErrNotFound)
	c.live(store)
}

func shareRacesUpdate(c *contract) {
	const writers, each = 4, 10
	store, other := c.open(), c.open()
	id := c.create(store, mcpsession.Session{})
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for range each {
				s := []mcpsession.SessionStore{store, other}[w%2]
				if _, err := s.Update(c.Context(), id, func(s *mcpsession.Session) error { s.ProjectID += "."; return nil }); err != nil {
					c.Error(err)
				}
				if _, err := s.Share(c.Context(), id); err != nil {
					c.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := c.get(store, id.Handle()); len(got.ProjectID) != writers*each || got.Revision != 1+writers*each {
		c.Errorf("%d updates left %q at revision %d", writers*each, got.ProjectID, got.Revision)
	}
}

func shareRacesDelete(c *contract) {
	store, other := c.open(), c.open()
	for range 20 {
		id := c.create(store, full())
		var all sync.WaitGroup
		all.Go(func() { _, _ = other.Share(c.Context(), id) }) // as it comes
		all.Go(func() { c.deletes(store, id) })
		all.Wait()
		c.gone(store, id)
		c.gone(other, id.Handle())
	}
	c.live(store)
}
