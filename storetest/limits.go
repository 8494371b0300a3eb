package storetest

import (
	"encoding/json"
	"strings"

	"github.com/mcpsession/mcpsession"
)

var limits = []contractTest{
	{"a session of exactly the maximum size is stored", sizeFits},
	{"a session over the maximum size is refused and nothing stored", sizeExceeds},
}

// sized returns a session of exactly n bytes by [mcpsession.Session.Size].
func sized(n int) mcpsession.Session {
	value := json.RawMessage(`"` + strings.Repeat("v", n/2) + `"`)
	s := mcpsession.Session{Values: map[string]json.RawMessage{"k": value}}
	s.WorkingDirectory = strings.Repeat("/", n-s.Size())
	return s
}

const maxSize = 2000

func sizeFits(c *contract) {
	small := c.limits()
	small.MaxSize = maxSize
	store := c.openWith(small)
	id := c.create(store, sized(maxSize))
	if got := c.get(store, id).Size(); got != maxSize {
		c.Errorf("stored %d bytes, want %d", got, maxSize)
	}
	c.live(store, id)
}

func sizeExceeds(c *contract) {
	small := c.limits()
	small.MaxSize = maxSize
	store := c.openWith(small)
	_, err := store.Create(c.Context(), mcpsession.NewSessionID(), sized(maxSize+1))
	c.is(err, mcpsession.ErrTooLarge)
	c.live(store)

	id := c.create(store, sized(maxSize))
	_, err = store.Update(c.Context(), id, func(s *mcpsession.Session) error {
		s.ProjectID = "x"
		return nil
	})
	c.is(err, mcpsession.ErrTooLarge)
	if got := c.get(store, id); got.Revision != 1 || got.ProjectID != "" {
		c.Errorf("an oversized update changed the session to revision %d", got.Revision)
	}
	c.live(store, id)
}
