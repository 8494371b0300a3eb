package storetest

import (
	"strconv"
	"time"

	"github.com/mcpsession/mcpsession"
)

var ids = []contractTest{
	{"an id that was never issued opens nothing", unknownID},
	{"a wrong secret reads, writes and ends nothing", wrongSecret},
	{"one ref is one session", oneRef},
	{"sessions with similar refs are kept apart", similarRefs},
	{"the empty id opens and stores nothing", emptyID},
}

// forged returns an ID of the same ref with another secret: what somebody can
// make of a ref that he read in a log.
func forged(c *contract, id mcpsession.ID) mcpsession.ID {
	c.Helper()
	token, other := id.Token(), mcpsession.NewSessionID().Token()
	half := (mcpsession.TokenLen + 1) / 2
	fake, err := mcpsession.ParseSessionID(token[:half] + other[half:])
	if err != nil || fake.Ref() != id.Ref() || fake.Token() == id.Token() {
		c.Fatalf("cannot forge an id: %v", err)
	}
	return fake
}

func unknownID(c *contract) {
	store := c.open()
	id := c.create(store, full())
	c.gone(store, mcpsession.NewSessionID())
	c.gone(store, mcpsession.NewHandle())
	c.live(store, id)
}

func wrongSecret(c *contract) {
	store := c.open()
	id := c.create(store, full())
	fake := forged(c, id)
	c.gone(store, fake)
	c.deletes(store, fake) // nil, as for any id that opens nothing
	if got := c.get(store, id); got.Revision != 1 {
		c.Errorf("a wrong secret changed the session: %+v", got)
	}
	c.gone(store, fake) // also when the right one was just used
	c.live(store, id)
}

func oneRef(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	_, err := other.Create(c.Context(), id, mcpsession.Session{})
	c.is(err, mcpsession.ErrExists)
	_, err = other.Create(c.Context(), forged(c, id), mcpsession.Session{})
	c.is(err, mcpsession.ErrExists)
	if got := c.get(store, id); got.WorkingDirectory != full().WorkingDirectory {
		c.Errorf("a second Create changed the session: %+v", got)
	}
	c.live(store, id)
}

// similarRefs uses refs that differ in their last bytes alone, which a store
// may keep in one place.
func similarRefs(c *contract) {
	store, other := c.open(), c.open()
	first := mcpsession.NewSessionID()
	var kept []mcpsession.ID
	for i := range 60 {
		ref := first.Ref()
		ref[14], ref[15] = byte(i), 7
		token := first.Token()
		id, err := mcpsession.ParseSessionID(token[:1] + ref.String() + token[1+len(ref.String()):])
		if err != nil {
			c.Fatal(err)
		}
		if _, err := store.Create(c.Context(), id, mcpsession.Session{ProjectID: strconv.Itoa(i)}); err != nil {
			c.Fatal(err)
		}
		if i%3 == 0 {
			c.deletes(other, id)
			continue
		}
		kept = append(kept, id)
		if got := c.get(other, id).ProjectID; got != strconv.Itoa(i) {
			c.Errorf("session %d has project %s", i, got)
		}
	}
	c.live(store, kept...)
}

func emptyID(c *contract) {
	store := c.open()
	if _, err := store.Create(c.Context(), mcpsession.ID{}, full()); err == nil {
		c.Error("Create accepted the empty id")
	}
	c.gone(store, mcpsession.ID{})
	c.deletes(store, mcpsession.ID{})
	c.live(store)
}

// wrongSecretSlidesNothing belongs to the tests about time.
func wrongSecretSlidesNothing(c *contract) {
	store := c.open()
	id := c.create(store, full())
	fake := forged(c, id)
	for range 4 {
		c.h.Advance(c.idle / 4)
		if _, err := store.Get(c.Context(), fake); err == nil {
			c.Error("Get accepted a wrong secret")
		}
		if err := store.Delete(c.Context(), fake); err != nil {
			c.Error(err)
		}
	}
	c.h.Advance(c.idle/16 + 100*time.Millisecond)
	c.live(store)
}
