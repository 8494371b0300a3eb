package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/mcpsession/mcpsession"
)

var races = []contractTest{
	{"of many Creates of one id exactly one succeeds", createCreate},
	{"no update is lost", updateUpdate},
	{"Update applies its function to the newest revision", updateNewest},
	{"updates of different fields on two replicas both survive", differentFields},
	{"a Get that races a Delete brings nothing back", getDelete},
	{"an Update that races a Delete brings nothing back", updateDelete},
	{"ten concurrent operations on each of three sessions corrupt none", mixedOperations},
}

const (
	racers = 16
	rounds = 20
)

// race runs n functions at once and returns when all have returned. Meanwhile
// it checks what must hold at every moment.
func (c *contract) race(n int, run func(i int)) {
	c.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			run(i)
		})
	}
	close(start)
	if c.storage.Always != nil {
		if err := c.storage.Always(c.Context()); err != nil {
			c.Error(err)
		}
	}
	wg.Wait()
}

func createCreate(c *contract) {
	stores := []mcpsession.SessionStore{c.open(), c.open()}
	var all []mcpsession.ID
	for range rounds {
		id := mcpsession.NewSessionID()
		all = append(all, id)
		winners := make(chan string, racers)
		c.race(racers, func(i int) {
			dir := "/" + strconv.Itoa(i)
			_, err := stores[i%2].Create(c.Context(), id, mcpsession.Session{WorkingDirectory: dir})
			if err == nil {
				winners <- dir
				return
			}
			c.is(err, mcpsession.ErrExists)
		})
		if len(winners) != 1 {
			c.Fatalf("%d Creates of one id succeeded", len(winners))
		}
		if got, want := c.get(stores[0], id).WorkingDirectory, <-winners; got != want {
			c.Errorf("the session is that of %s, but %s succeeded", got, want)
		}
	}
	c.live(stores[0], all...)
}

// add increments the counter under key, trying again on ErrConflict. It is safe
// to call from any goroutine.
func (c *contract) add(store mcpsession.SessionStore, id mcpsession.ID, key string) error {
	for {
		_, err := store.Update(c.Context(), id, func(s *mcpsession.Session) error { return increment(s, key) })
		if !errors.Is(err, mcpsession.ErrConflict) {
			return err
		}
	}
}

func increment(s *mcpsession.Session, key string) error {
	n := 0
	if raw, ok := s.Values[key]; ok {
		if err := json.Unmarshal(raw, &n); err != nil {
			return err
		}
	}
	if s.Values == nil {
		s.Values = make(map[string]json.RawMessage)
	}
	s.Values[key] = json.RawMessage(strconv.Itoa(n + 1))
	return nil
}

func (c *contract) counts(store mcpsession.SessionStore, id mcpsession.ID, key string, want int) {
	c.Helper()
	if got := string(c.get(store, id).Values[key]); got != strconv.Itoa(want) {
		c.Errorf("counter %s is %s, want %d", key, got, want)
	}
}

func updateUpdate(c *contract) {
	stores := []mcpsession.SessionStore{c.open(), c.open()}
	id := c.create(stores[0], mcpsession.Session{})
	c.race(racers, func(i int) {
		for range rounds {
			if err := c.add(stores[i%2], id, "n"); err != nil {
				c.Error(err)
			}
		}
	})
	c.counts(stores[1], id, "n", racers*rounds)
	if got := c.get(stores[0], id).Revision; got != 1+racers*rounds {
		c.Errorf("revision is %d after %d writes", got, 1+racers*rounds)
	}
	c.live(stores[0], id)
}

func updateNewest(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, mcpsession.Session{})
	calls := 0
	s, err := store.Update(c.Context(), id, func(s *mcpsession.Session) error {
		if calls++; calls == 1 { // somebody is faster
			if err := c.add(other, id, "n"); err != nil {
				c.Error(err)
			}
		}
		if s.LastUsedAt.IsZero() {
			c.Errorf("in call %d the session has no LastUsedAt", calls)
		}
		return increment(s, "n")
	})
	if err != nil {
		c.Fatal(err)
	}
	if calls != 2 || s.Revision != 3 {
		c.Errorf("the function ran %d times and led to revision %d, want 2 and 3", calls, s.Revision)
	}
	c.counts(store, id, "n", 2)
}

func differentFields(c *contract) {
	stores := []mcpsession.SessionStore{c.open(), c.open()}
	for range rounds {
		id := c.create(stores[0], mcpsession.Session{})
		c.race(2, func(i int) {
			if err := c.add(stores[i], id, fmt.Sprintf("field%d", i)); err != nil {
				c.Error(err)
			}
		})
		for i := range 2 {
			c.counts(stores[i], id, "field0", 1)
			c.counts(stores[i], id, "field1", 1)
		}
		c.deletes(stores[1], id)
	}
	c.live(stores[0])
}

// whileDeleting runs access from many goroutines while the session is deleted,
// and checks that it is gone for good afterwards.
func (c *contract) whileDeleting(access func(ctx context.Context, store mcpsession.SessionStore, id mcpsession.ID) error) {
	stores := []mcpsession.SessionStore{c.open(), c.open()}
	for range rounds {
		id := c.create(stores[0], full())
		c.race(racers, func(i int) {
			if i == 0 {
				c.deletes(stores[1], id)
				if err := access(c.Context(), stores[1], id); !errors.Is(err, mcpsession.ErrNotFound) {
					c.Errorf("after Delete returned: %v, want ErrNotFound", err)
				}
				return
			}
			for {
				err := access(c.Context(), stores[i%2], id)
				if errors.Is(err, mcpsession.ErrNotFound) {
					return // final
				}
				if err != nil && !errors.Is(err, mcpsession.ErrConflict) {
					c.Error(err)
					return
				}
			}
		})
		c.gone(stores[0], id)
	}
	c.live(stores[0])
}

func getDelete(c *contract) {
	c.whileDeleting(func(ctx context.Context, store mcpsession.SessionStore, id mcpsession.ID) error {
		_, err := store.Get(ctx, id)
		return err
	})
}

func updateDelete(c *contract) {
	c.whileDeleting(func(ctx context.Context, store mcpsession.SessionStore, id mcpsession.ID) error {
		_, err := store.Update(ctx, id, func(s *mcpsession.Session) error { return increment(s, "counter") })
		return err
	})
}

func mixedOperations(c *contract) {
	const each = 5 // operations of each goroutine
	stores := []mcpsession.SessionStore{c.open(), c.open()}
	var ids []mcpsession.ID
	for i := range 3 {
		ids = append(ids, c.create(stores[0], mcpsession.Session{WorkingDirectory: "/" + strconv.Itoa(i)}))
	}
	c.race(10*len(ids), func(i int) {
		session := i % len(ids)
		for range each {
			if err := c.add(stores[i%2], ids[session], "n"); err != nil {
				c.Error(err)
			}
			s, err := stores[(i+1)%2].Get(c.Context(), ids[session])
			if err != nil || s.WorkingDirectory != "/"+strconv.Itoa(session) {
				c.Errorf("session %d has working directory %q, error %v", session, s.WorkingDirectory, err)
			}
		}
	})
	for i, id := range ids {
		c.counts(stores[i%2], id, "n", 10*each)
	}
	c.live(stores[0], ids...)
}
