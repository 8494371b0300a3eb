package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/redis/go-redis/v9"
)

// infoIs makes a client's server answer INFO with a text or an error.
type infoIs struct {
	text string
	err  error
}

func (infoIs) DialHook(next redis.DialHook) redis.DialHook { return next }

func (infoIs) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h infoIs) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if info, ok := cmd.(*redis.StringCmd); ok && cmd.Name() == "info" {
			info.SetVal(h.text)
			info.SetErr(h.err)
			return h.err
		}
		return next(ctx, cmd)
	}
}

func TestNewChecksTheServer(t *testing.T) {
	for _, test := range []struct {
		name    string
		info    infoIs
		err     string // in New's error; empty if it succeeds
		warning string // in the log; empty if it is silent
	}{
		{"fit", infoIs{text: "redis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\n"}, "", ""},
		{"policy unknown", infoIs{text: "redis_version:7.0.15\r\n"}, "", ""},
		{"evicts any key", infoIs{text: "redis_version:8.0.0\r\nmaxmemory_policy:allkeys-lru\r\n"}, "", "allkeys-lru"},
		{"evicts keys with a TTL", infoIs{text: "redis_version:8.0.0\r\nmaxmemory_policy:volatile-ttl\r\n"}, "", "volatile-ttl"},
		{"too old", infoIs{text: "redis_version:6.2.14\r\nmaxmemory_policy:noeviction\r\n"}, "Redis 6.2.14 is too old", ""},
		{"old Valkey", infoIs{text: "server_name:valkey\r\nredis_version:7.2.4\r\nvalkey_version:7.1.9\r\n"}, "Valkey 7.1.9 is too old", ""},
		{"does not tell", infoIs{err: errors.New("NOPERM this user has no permissions")}, "", "NOPERM"},
	} {
		m := miniredis.RunT(t)
		client := redis.NewClient(&redis.Options{Addr: m.Addr()})
		defer client.Close()
		client.AddHook(test.info)
		var log bytes.Buffer
		o := defaults()
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		_, err := redisstore.New(t.Context(), client, o)
		if (err != nil) != (test.err != "") || err != nil && !(strings.Contains(err.Error(), test.err) && strings.Contains(err.Error(), m.Addr())) {
			t.Errorf("%s: error is %v, want %q", test.name, err, test.err)
		}
		warnings := strings.Count(log.String(), "level=WARN")
		if test.warning == "" && log.Len() > 0 || test.warning != "" && (warnings != 1 || !strings.Contains(log.String(), test.warning)) {
			t.Errorf("%s: the log is %q, want %q", test.name, log.String(), test.warning)
		}
	}
}

func TestADeadlineEndsACallThatTheServerDoesNotAnswer(t *testing.T) {
	m := miniredis.RunT(t)
	store, err := redisstore.Open(t.Context(), "redis://"+m.Addr(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	frozen := make(chan struct{})
	defer close(frozen)
	m.Server().SetPreHook(func(*server.Peer, string, ...string) bool {
		<-frozen
		return false
	})
	id := mcpsession.NewSessionID()
	for operation, run := range map[string]func(context.Context) error{
		"Ping":   store.Ping,
		"Get":    func(ctx context.Context) error { _, err := store.Get(ctx, id); return err },
		"Count":  func(ctx context.Context) error { _, err := store.Count(ctx); return err },
		"Delete": func(ctx context.Context) error { return store.Delete(ctx, id) },
	} {
		ctx := soon(t)
		err := run(ctx)
		if !errors.Is(err, mcpsession.ErrUnavailable) {
			t.Errorf("%s: error is %v, want ErrUnavailable", operation, err)
		}
		if deadline, _ := ctx.Deadline(); time.Since(deadline) > time.Second {
			t.Errorf("%s returned %v after its deadline", operation, time.Since(deadline))
		}
	}
}

func TestCloseEndsWhatOpenMade(t *testing.T) {
	m := miniredis.RunT(t)
	store, err := redisstore.Open(t.Context(), "redis://"+m.Addr(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	id := mcpsession.NewSessionID()
	if _, err := store.Create(t.Context(), id, mcpsession.Session{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	for range 2 {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	_, errGet := store.Get(t.Context(), id)
	_, errCount := store.Count(t.Context())
	_, errCreate := store.Create(t.Context(), mcpsession.NewSessionID(), mcpsession.Session{})
	for operation, err := range map[string]error{
		"Get": errGet, "Count": errCount, "Create": errCreate,
		"Delete": store.Delete(t.Context(), id), "Ping": store.Ping(t.Context()),
	} {
		if !errors.Is(err, mcpsession.ErrUnavailable) || errors.Is(err, mcpsession.ErrNotFound) {
			t.Errorf("%s of a closed store: error is %v, want ErrUnavailable", operation, err)
		}
	}
	// The session is the server's.
	again, err := redisstore.Open(t.Context(), "redis://"+m.Addr(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Get(t.Context(), id); err != nil {
		t.Errorf("after the store was opened again: %v", err)
	}
}

func TestCloseLeavesTheClientThatNewWasGiven(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	store, err := redisstore.New(t.Context(), client, defaults())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the client was closed: %v", err)
	}
}

func TestStoresOfDifferentPrefixesDoNotMeet(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	id := mcpsession.NewSessionID()
	for _, prefix := range []string{"", "other", "mcps:x"} {
		o := defaults()
		o.Prefix = prefix
		store, err := redisstore.New(t.Context(), client, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Get(t.Context(), id); !errors.Is(err, mcpsession.ErrNotFound) {
			t.Errorf("prefix %q: error is %v, want ErrNotFound", prefix, err)
		}
		if _, err := store.Create(t.Context(), id, mcpsession.Session{}); err != nil {
			t.Errorf("prefix %q: %v", prefix, err)
		}
		if n, err := store.Count(t.Context()); n != 1 || err != nil {
			t.Errorf("prefix %q: %d sessions, %v", prefix, n, err)
		}
		for _, key := range m.Keys() {
			if m.TTL(key) <= 0 {
				t.Errorf("key %s has no TTL", key)
			}
		}
	}
	if got := len(m.Keys()); got != 6 { // a session and an index each
		t.Errorf("%d keys are stored: %q", got, m.Keys())
	}
}
