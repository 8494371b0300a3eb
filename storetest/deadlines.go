package storetest

import (
	"time"

	"github.com/mcpsession/mcpsession"
)

var deadlines = []contractTest{
	{"an unused session ends after its idle timeout", idleEnds},
	{"Get moves the idle deadline", getSlides},
	{"two Gets in quick succession move it by the second", secondGetSlides},
	{"a session that is read all the time lives", busyLives},
	{"Update moves the idle deadline", updateSlides},
	{"Share moves the idle deadline", shareSlides},
	{"an Update that outlasts its session brings nothing back", slowUpdate},
	{"Count and All move no deadline", observersSlideNothing},
	{"a wrong secret slides nothing", wrongSecretSlidesNothing},
	{"the absolute deadline ends a busy session", absoluteEnds},
	{"the absolute deadline ends a session with a longer idle timeout", absoluteBeforeIdle},
	{"both deadlines at the same moment end a session", deadlinesCoincide},
	{"each session keeps the timeouts it was created with", keepsTimeouts},
	{"an ended session leaves nothing and its id can be created again", createAfterEnd},
}

// late is an instant by which a session unused for an idle timeout has ended: a
// sixteenth for stores that round, and a little for the clock.
func (c *contract) late() time.Duration {
	return c.idle + c.idle/16 + 100*time.Millisecond
}

func idleEnds(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	c.h.Advance(c.idle * 3 / 4)
	c.live(other, id)
	c.h.Advance(c.late() - c.idle*3/4)
	c.gone(store, id)
	c.gone(other, id)
	c.live(store)
}

func getSlides(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	for range 3 {
		c.h.Advance(c.idle * 3 / 4)
		c.get(other, id)
	}
	c.h.Advance(c.idle * 3 / 4)
	c.live(store, id)
	c.h.Advance(c.late() - c.idle*3/4)
	c.gone(store, id)
	c.live(store)
}

func shareSlides(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	for range 2 { // the second time, it is shared already
		c.h.Advance(c.idle * 3 / 4)
		c.share(other, id)
	}
	c.h.Advance(c.idle * 3 / 4)
	c.live(store, id)
	c.h.Advance(c.late() - c.idle*3/4)
	c.gone(store, id)
	c.gone(store, id.Handle())
	c.live(store)
}

func secondGetSlides(c *contract) {
	if c.h.RealTime {
		c.Skip("does not apply: its margins are thinner than a busy machine's hiccups")
	}
	store := c.open()
	// A store may spare itself work on the second Get, up to a sixteenth.
	for _, part := range []time.Duration{1000, 100, 61, 59, 17, 16, 15, 8, 2} {
		id := c.create(store, full())
		first := c.get(store, id)
		c.h.Advance(c.idle / part)
		second := c.get(store, id)
		if moved := second.LastUsedAt.Sub(first.LastUsedAt); moved < c.idle/part-time.Millisecond {
			c.Errorf("LastUsedAt moved by %v, want %v", moved, c.idle/part)
		}
		almost := c.idle - c.idle/10_000
		c.h.Advance(almost)
		c.live(store, id)
		c.h.Advance(c.late() - almost)
		c.live(store)
	}
}

func busyLives(c *contract) {
	store := c.open()
	id := c.create(store, full())
	for range 40 {
		c.h.Advance(c.idle / 20)
		c.get(store, id)
	}
	c.live(store, id)
}

func slowUpdate(c *contract) {
	store := c.open()
	id := c.create(store, full())
	_, err := store.Update(c.Context(), id, func(s *mcpsession.Session) error {
		c.h.Advance(c.late()) // the session ends meanwhile
		s.ProjectID = "late"
		return nil
	})
	c.is(err, mcpsession.ErrNotFound)
	c.gone(store, id)
	c.live(store)
}

func updateSlides(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	c.h.Advance(c.idle * 3 / 4)
	c.update(other, id, func(s *mcpsession.Session) { s.ProjectID = "p" })
	c.h.Advance(c.idle * 3 / 4)
	c.live(store, id)
	c.h.Advance(c.late() - c.idle*3/4)
	c.gone(store, id)
	c.live(store)
}

func observersSlideNothing(c *contract) {
	store := c.open()
	id := c.create(store, full())
	for range 3 {
		c.h.Advance(c.idle / 4)
		c.live(store, id)
	}
	c.h.Advance(c.late() - c.idle*3/4)
	c.live(store)
}

func absoluteEnds(c *contract) {
	limits := c.limits()
	limits.MaxLifetime = c.idle * 2
	store, other := c.openWith(limits), c.openWith(limits)
	id := c.create(store, full())
	ends := c.get(store, id).ExpiresAt
	for range 3 {
		c.h.Advance(c.idle / 2)
		if got := c.get(other, id); !got.ExpiresAt.Equal(ends) {
			c.Errorf("an access moved the absolute deadline by %v", got.ExpiresAt.Sub(ends))
		}
		c.update(store, id, func(s *mcpsession.Session) { s.LogLevel += "x" })
	}
	c.h.Advance(c.idle/2 + 100*time.Millisecond)
	c.gone(store, id)
	c.gone(other, id)
	c.live(store)
}

func absoluteBeforeIdle(c *contract) {
	limits := c.limits()
	limits.IdleTimeout, limits.MaxLifetime = c.idle*10, c.idle
	store := c.openWith(limits)
	id := c.create(store, full())
	c.h.Advance(c.idle / 2)
	s := c.get(store, id)
	if !s.IdleExpiresAt().Equal(s.ExpiresAt) {
		c.Errorf("idle deadline %v lies after the absolute one %v", s.IdleExpiresAt(), s.ExpiresAt)
	}
	c.h.Advance(c.idle/2 + 100*time.Millisecond)
	c.gone(store, id)
	c.live(store)
}

func deadlinesCoincide(c *contract) {
	limits := c.limits()
	limits.MaxLifetime = limits.IdleTimeout
	store := c.openWith(limits)
	id := c.create(store, full())
	c.h.Advance(c.idle * 3 / 4)
	c.get(store, id)
	c.h.Advance(c.idle/4 + 100*time.Millisecond)
	c.gone(store, id)
	c.live(store)
}

func keepsTimeouts(c *contract) {
	short, long := c.limits(), c.limits()
	long.IdleTimeout *= 10
	first := c.openWith(short)
	second := c.openWith(long)
	id := c.create(first, full())
	if got := c.get(second, id).IdleTimeout; got != short.IdleTimeout {
		c.Errorf("a replica with other limits sees an idle timeout of %v, want %v", got, short.IdleTimeout)
	}
	c.update(second, id, func(s *mcpsession.Session) { s.ProjectID = "p" })
	c.h.Advance(c.late())
	c.gone(first, id)
	c.live(first)
}

func createAfterEnd(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	c.get(other, id)
	c.h.Advance(c.late())
	if _, err := other.Create(c.Context(), id, mcpsession.Session{ProjectID: "second"}); err != nil {
		c.Fatal(err)
	}
	if got := c.get(store, id); got.ProjectID != "second" || got.Revision != 1 || len(got.Values) != 0 {
		c.Errorf("a session created again has remains of the first: %+v", got)
	}
	c.live(store, id)
	c.h.Advance(c.late())
	c.gone(store, id)
	c.live(store)
}
