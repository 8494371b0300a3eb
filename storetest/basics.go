package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"time"

	"github.com/mcpsession/mcpsession"
)

var basics = []contractTest{
	{"what Create stores, Get and All return", storesEverything},
	{"Update changes what it may and nothing else", updateChanges},
	{"Update whose function fails stores nothing", updateFails},
	{"a deleted session is gone", deleteEnds},
	{"sessions are kept apart", keptApart},
	{"what is passed in and returned can be modified", noAliases},
	{"a context that ended stops every method", contextEnds},
}

// full is a session with everything set that Create takes, some of it awkward.
func full() mcpsession.Session {
	return mcpsession.Session{
		Owner:            "user:1 \"ü\"",
		WorkingDirectory: "/home/a b/\u00fc\n\\x",
		ConfigPath:       "/home/a b/.codebase-mcp/config.json",
		ProjectID:        "6a1c5b1e-0000-4000-8000-000000000001",
		LogLevel:         "warning",
		Client: mcpsession.Client{
			Name: "tester", Version: "1.2.3", ProtocolVersion: "2025-11-25",
			Capabilities: `{"roots":{"listChanged":true},"x":"\u0000 "}`,
		},
		Tools:         []string{"one", "", "t,w\"o\n"},
		Subscriptions: []string{"test://a b/<&>", "file:///\u00fc"},
		Values: map[string]json.RawMessage{
			"n": json.RawMessage(`12345678901234567890`), "s": json.RawMessage(`"a\nb"`),
			"": json.RawMessage(`null`), "key \n|:,\x00": json.RawMessage(`{"a":[1,2]}`),
		},
	}
}

func storesEverything(c *contract) {
	store := c.open()
	id := mcpsession.NewHandle()
	before := time.Now()
	created, err := store.Create(c.Context(), id, full())
	if err != nil {
		c.Fatal(err)
	}
	want := full()
	want.Ref = id.Ref()
	want.CreatedAt = created.CreatedAt
	want.LastUsedAt = created.CreatedAt
	want.ExpiresAt = created.CreatedAt.Add(c.limits().MaxLifetime)
	want.IdleTimeout = c.limits().IdleTimeout
	want.Revision = 1
	c.same(created, want)
	if age := created.CreatedAt.Sub(before); age < -time.Minute || age > time.Minute {
		c.Errorf("CreatedAt is %v away from now", age)
	}

	got := c.get(store, id)
	if got.LastUsedAt.Before(created.LastUsedAt) {
		c.Errorf("Get moved LastUsedAt back by %v", created.LastUsedAt.Sub(got.LastUsedAt))
	}
	want.LastUsedAt = got.LastUsedAt
	c.same(got, want)

	for listed, err := range c.open().All(c.Context()) {
		if err != nil {
			c.Fatal(err)
		}
		if late := listed.LastUsedAt.Sub(got.LastUsedAt); late > time.Millisecond || late < -c.idle/16-time.Millisecond {
			c.Errorf("All reports a LastUsedAt %v after Get's", late)
		}
		want.LastUsedAt = listed.LastUsedAt
		c.same(listed, want)
	}
	c.live(store, id)
}

func updateChanges(c *contract) {
	store, other := c.open(), c.open()
	id := c.create(store, full())
	before := c.get(other, id)
	after := c.update(store, id, func(s *mcpsession.Session) {
		s.WorkingDirectory = "/elsewhere"
		s.ConfigPath, s.ProjectID, s.LogLevel = "", "p2", "debug"
		s.Client.Name = "renamed"
		s.Tools, s.Subscriptions = append(s.Tools, "three"), []string{}
		delete(s.Values, "s")
		s.Values["new"] = json.RawMessage(`true`)
		// None of these may stick.
		s.Ref, s.Owner, s.Revision = mcpsession.Ref{}, "thief", 99
		s.CreatedAt, s.LastUsedAt, s.ExpiresAt = time.Time{}, time.Time{}, time.Time{}
		s.IdleTimeout = time.Nanosecond
	})
	want := before.Clone()
	want.WorkingDirectory, want.ConfigPath, want.ProjectID, want.LogLevel = "/elsewhere", "", "p2", "debug"
	want.Client.Name = "renamed"
	want.Tools, want.Subscriptions = append(want.Tools, "three"), nil
	delete(want.Values, "s")
	want.Values["new"] = json.RawMessage(`true`)
	want.Revision = 2
	want.LastUsedAt = after.LastUsedAt
	c.same(after, want)
	got := c.get(other, id)
	want.LastUsedAt = got.LastUsedAt
	c.same(got, want)

	emptied := c.update(other, id, func(s *mcpsession.Session) { s.Values = nil })
	if len(emptied.Values) != 0 || len(c.get(store, id).Values) != 0 {
		c.Error("values that an update removed are still there")
	}
	c.live(store, id)
}

func updateFails(c *contract) {
	store := c.open()
	id := c.create(store, full())
	before := c.get(store, id)
	mistake := errors.New("no such directory")
	_, err := store.Update(c.Context(), id, func(s *mcpsession.Session) error {
		s.WorkingDirectory = "/wrong"
		s.Values["n"][0] = '9'
		delete(s.Values, "s")
		return mistake
	})
	c.is(err, mistake)
	after := c.get(store, id)
	before.LastUsedAt = after.LastUsedAt
	c.same(after, before)
}

func deleteEnds(c *contract) {
	store, other := c.open(), c.open()
	id, bystander := c.create(store, full()), c.create(store, full())
	c.get(other, id)
	c.deletes(store, id)
	for _, s := range []mcpsession.SessionStore{store, other} {
		c.gone(s, id)
		c.live(s, bystander)
	}
	c.deletes(store, id) // idempotent
	c.deletes(other, id)
	c.deletes(other, mcpsession.NewSessionID())
	c.live(store, bystander)
	c.deletes(other, bystander)
	c.live(store)
}

func keptApart(c *contract) {
	store, other := c.open(), c.open()
	ids := make(map[string]mcpsession.ID)
	for _, dir := range []string{"/a", "/b", "/c"} {
		ids[dir] = c.create(store, mcpsession.Session{WorkingDirectory: dir})
	}
	c.update(other, ids["/b"], func(s *mcpsession.Session) {
		s.Values = map[string]json.RawMessage{"only": json.RawMessage(`"b"`)}
	})
	for dir, id := range ids {
		s := c.get(other, id)
		if s.WorkingDirectory != dir {
			c.Errorf("session of %s has working directory %s", dir, s.WorkingDirectory)
		}
		if _, has := s.Values["only"]; has != (dir == "/b") {
			c.Errorf("session of %s has the value of /b: %t", dir, has)
		}
	}
}

func noAliases(c *contract) {
	store := c.open()
	id := mcpsession.NewSessionID()
	spoil := func(s mcpsession.Session) {
		for _, raw := range s.Values {
			for i := range raw {
				raw[i] = 'X'
			}
		}
		s.Values["spoilt"] = json.RawMessage(`1`)
		s.Tools[0], s.Subscriptions[0] = "spoilt", "spoilt"
	}
	passed := full()
	created, err := store.Create(c.Context(), id, passed)
	if err != nil {
		c.Fatal(err)
	}
	spoil(passed)
	spoil(created)
	spoil(c.get(store, id))
	for s, err := range store.All(c.Context()) {
		if err != nil {
			c.Fatal(err)
		}
		spoil(s)
	}
	var kept mcpsession.Session
	spoil(c.update(store, id, func(s *mcpsession.Session) { kept = *s }))
	spoil(kept)
	got, want := c.get(store, id), full()
	if !reflect.DeepEqual(got.Values, want.Values) || !reflect.DeepEqual(got.Tools, want.Tools) || !reflect.DeepEqual(got.Subscriptions, want.Subscriptions) {
		c.Errorf("what is stored changed with a caller's copy: %q, %q, %q", got.Values, got.Tools, got.Subscriptions)
	}
}

func contextEnds(c *contract) {
	store := c.open()
	id := c.create(store, full())
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	unused := mcpsession.NewSessionID()
	_, err := store.Create(ctx, unused, full())
	c.is(err, context.Canceled)
	_, err = store.Get(ctx, id)
	c.is(err, context.Canceled)
	_, err = store.Update(ctx, id, func(s *mcpsession.Session) error { s.ProjectID = "changed"; return nil })
	c.is(err, context.Canceled)
	_, err = store.Share(ctx, id)
	c.is(err, context.Canceled)
	c.is(store.Delete(ctx, id), context.Canceled)
	_, err = store.Count(ctx)
	c.is(err, context.Canceled)
	listed := 0
	for _, err := range store.All(ctx) {
		listed++
		c.is(err, context.Canceled)
	}
	if listed != 1 {
		c.Errorf("All yielded %d times for an ended context, want one error", listed)
	}
	if got := c.get(store, id); got.Revision != 1 || got.ProjectID != full().ProjectID {
		c.Errorf("an operation with an ended context changed the session: %+v", got)
	}
	c.live(store, id)
}

// same compares sessions; times only as instants.
func (c *contract) same(got, want mcpsession.Session) {
	c.Helper()
	for _, pair := range []struct {
		name      string
		got, want *time.Time
	}{
		{"CreatedAt", &got.CreatedAt, &want.CreatedAt},
		{"LastUsedAt", &got.LastUsedAt, &want.LastUsedAt},
		{"ExpiresAt", &got.ExpiresAt, &want.ExpiresAt},
	} {
		if !pair.got.Equal(*pair.want) {
			c.Errorf("%s is %v, want %v", pair.name, pair.got, pair.want)
		}
		*pair.got, *pair.want = time.Time{}, time.Time{}
	}
	if !reflect.DeepEqual(got, want) {
		c.Errorf("session differs:\n got %s\nwant %s", describe(got), describe(want))
	}
}

func describe(s mcpsession.Session) string {
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

func (c *contract) is(err, want error) {
	c.Helper()
	if !errors.Is(err, want) {
		c.Errorf("error is %v, want one that wraps %q", err, want)
	}
}

func (c *contract) deletes(store mcpsession.SessionStore, id mcpsession.ID) {
	c.Helper()
	if err := store.Delete(c.Context(), id); err != nil {
		c.Errorf("Delete: %v", err)
	}
}
