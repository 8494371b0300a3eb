package redistest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/redistest"
)

func TestKilledServerComesBackWithWhatItWrote(t *testing.T) {
	s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always", "--requirepass", "s:cret/")
	c := s.Client()
	ctx := t.Context()
	if err := c.Set(ctx, "k", "v", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond) // the client would go on retrying
	defer cancel()
	if err := c.Get(short, "k").Err(); err == nil {
		t.Fatal("a killed server answered")
	}
	s.Restart()
	if got, err := c.Get(ctx, "k").Result(); err != nil || got != "v" {
		t.Fatalf("after the restart: %q, %v", got, err)
	}
	s.Stop()
	s.Restart()
	if got, err := c.Get(ctx, "k").Result(); err != nil || got != "v" {
		t.Fatalf("after the second restart: %q, %v", got, err)
	}
}

func TestPausedServerHangs(t *testing.T) {
	s := redistest.Start(t)
	c := s.Client()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Ping(ctx).Err(); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a paused server answered: %v", err)
	}
	s.Resume()
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}
