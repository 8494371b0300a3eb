package integration

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/redisstore"
)

// open opens a store as a replica does.
func open(t *testing.T, url string, log *slog.Logger) *redisstore.Store {
	t.Helper()
	store, err := redisstore.Open(t.Context(), url, redisstore.Options{Limits: mcpsession.DefaultLimits(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func TestAFullRedisStillServesTheSessionsItHas(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory-policy", "noeviction")
	first, second := open(t, server.URL(), nil), open(t, server.URL(), nil)
	id := mcpsession.NewSessionID()
	if _, err := first.Create(t.Context(), id, mcpsession.Session{WorkingDirectory: "/kept"}); err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	if err := client.Set(t.Context(), "filler", strings.Repeat("x", 4<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "3mb").Err(); err != nil {
		t.Fatal(err)
	}

	if _, err := second.Create(t.Context(), mcpsession.NewSessionID(), mcpsession.Session{}); !errors.Is(err, mcpsession.ErrFull) {
		t.Errorf("Create: %v, want ErrFull", err)
	}
	if _, err := second.Update(t.Context(), id, func(s *mcpsession.Session) error { return nil }); !errors.Is(err, mcpsession.ErrFull) {
		t.Errorf("Update: %v, want ErrFull", err)
	}
	for name, store := range map[string]*redisstore.Store{"recently used": first, "not used before": second} {
		if s, err := store.Get(t.Context(), id); err != nil || s.WorkingDirectory != "/kept" {
			t.Errorf("Get on a replica where it was %s: %+v, %v", name, s, err)
		}
	}
	if n, err := first.Count(t.Context()); err != nil || n != 1 {
		t.Errorf("Count() = %d, %v", n, err)
	}
	if err := first.Delete(t.Context(), id); err != nil {
		t.Errorf("Delete: %v", err)
	}
}

func TestAServerThatMayEvictSessionsIsWarnedOf(t *testing.T) {
	t.Parallel()
	for policy, warned := range map[string]bool{"noeviction": false, "allkeys-lru": true, "volatile-ttl": true} {
		var log bytes.Buffer
		server := redistest.Start(t, "--maxmemory-policy", policy)
		open(t, server.URL(), slog.New(slog.NewTextHandler(&log, nil)))
		if got := strings.Contains(log.String(), "noeviction"); got != warned {
			t.Errorf("with %s it is warned: %t, want %t; log: %s", policy, got, warned, log.String())
		}
	}
}

func TestAReplicaOfRedisIsRefused(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	host, port, _ := strings.Cut(master.Addr(), ":")
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	_, err := redisstore.Open(t.Context(), replica.URL(), redisstore.Options{Limits: mcpsession.DefaultLimits()})
	if err == nil || !strings.Contains(err.Error(), "is a replica") {
		t.Errorf("Open on a replica: %v", err)
	}
}
