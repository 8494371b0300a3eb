package mcpsession_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
)

// visits is the body of a tool handler: it counts the calls of each session.
func visits(ctx context.Context) (string, error) {
	session, ok := mcpsession.FromContext(ctx)
	if !ok {
		return "", errors.New("this tool needs a session")
	}
	n, _, err := mcpsession.Get[int](session, "visits")
	if err != nil {
		return "", err
	}
	n++
	if err := session.Set(ctx, "visits", n); err != nil {
		return "", err
	}
	return fmt.Sprintf("visit %d", n), nil
}

// Inside a handler, FromContext finds the session of the call. What Set stores
// is there for the next call, on whichever replica it lands.
func ExampleFromContext() {
	ctx := context.Background()
	store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	// The transport does this: once when a client connects ...
	id := mcpsession.NewSessionID()
	if _, err := store.Create(ctx, id, mcpsession.Session{}); err != nil {
		log.Fatal(err)
	}
	for range 3 { // ... and for each of its calls.
		session, err := store.Get(ctx, id)
		if err != nil {
			log.Fatal(err)
		}
		text, err := visits(mcpsession.NewContext(ctx, mcpsession.NewLive(store, id, session)))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(text)
	}

	_, err = visits(ctx)
	fmt.Println(err)
	// Output:
	// visit 1
	// visit 2
	// visit 3
	// this tool needs a session
}

// Update is for changes that depend on what is stored: here on what a call at
// the same moment, maybe on another replica, has written since this one began.
func ExampleLive_Update() {
	ctx := context.Background()
	store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	id := mcpsession.NewSessionID()
	session, err := store.Create(ctx, id, mcpsession.Session{WorkingDirectory: "/src/app"})
	if err != nil {
		log.Fatal(err)
	}
	live := mcpsession.NewLive(store, id, session)

	// Increment a counter, and choose a project unless somebody did.
	visit := func(s *mcpsession.Session) error {
		var n int
		if raw, ok := s.Values["visits"]; ok {
			if err := json.Unmarshal(raw, &n); err != nil {
				return err
			}
		}
		raw, err := json.Marshal(n + 1)
		if err != nil {
			return err
		}
		if s.Values == nil {
			s.Values = make(map[string]json.RawMessage)
		}
		s.Values["visits"] = raw
		if s.ProjectID == "" {
			s.ProjectID = "app"
		}
		return nil
	}
	other := mcpsession.NewLive(store, id, session)
	for _, l := range []*mcpsession.Live{other, live} {
		if err := l.Update(ctx, visit); err != nil {
			log.Fatal(err)
		}
	}
	n, _, err := mcpsession.Get[int](live, "visits")
	fmt.Println(n, err, live.Session().ProjectID)
	// Output: 2 <nil> app
}

// The life of a session, as a transport sees it.
func ExampleSessionStore() {
	ctx := context.Background()
	var store mcpsession.SessionStore
	store, err := memstore.New(mcpsession.Limits{
		IdleTimeout: time.Hour,
		MaxLifetime: 24 * time.Hour,
		MaxSize:     64 << 10,
	}, 10_000)
	if err != nil {
		log.Fatal(err)
	}

	id := mcpsession.NewSessionID()
	created, err := store.Create(ctx, id, mcpsession.Session{Client: mcpsession.Client{Name: "claude-code"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(created.Revision, created.ExpiresAt.Sub(created.CreatedAt))

	// The client keeps the token; what it sends back is parsed, then looked up.
	presented, err := mcpsession.ParseSessionID(id.Token())
	if err != nil {
		log.Fatal(err)
	}
	got, err := store.Get(ctx, presented)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(got.Client.Name)

	if err := store.Delete(ctx, id); err != nil {
		log.Fatal(err)
	}
	_, err = store.Get(ctx, id)
	fmt.Println(errors.Is(err, mcpsession.ErrNotFound))

	_, err = mcpsession.ParseSessionID("guessed")
	fmt.Println(errors.Is(err, mcpsession.ErrNotFound))
	// Output:
	// 1 24h0m0s
	// claude-code
	// true
	// true
}
