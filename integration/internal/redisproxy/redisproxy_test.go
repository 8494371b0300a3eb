package redisproxy_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redisproxy"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/redis/go-redis/v9"
)

func TestFaults(t *testing.T) {
	proxy := redisproxy.Start(t, redistest.Start(t).Addr())
	options, err := redis.ParseURL(proxy.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.ContextTimeoutEnabled, options.MaxRetries = true, -1
	c := redis.NewClient(options)
	t.Cleanup(func() { _ = c.Close() })
	ping := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return c.Ping(ctx).Err()
	}
	works := func() {
		t.Helper()
		if err := poll.Until(10*time.Second, ping); err != nil {
			t.Fatal(err)
		}
	}
	works()
	long := strings.Repeat("\r\n*1", 100_000) // of many chunks
	if err := c.Set(t.Context(), "k", long, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.MGet(t.Context(), "none", "k", "none").Result(); err != nil || got[1] != long {
		t.Errorf("a long value does not pass as it is: %v", err)
	}
	proxy.Down()
	if ping() == nil {
		t.Error("the server answers through a proxy that is down")
	}
	proxy.Up()
	works()
	proxy.Stall()
	if ping() == nil {
		t.Error("the server answers through a proxy that stalls")
	}
	proxy.Flow()
	works()
	proxy.Cut()
	works()

	sub := c.Subscribe(t.Context(), "x")
	t.Cleanup(func() { _ = sub.Close() })
	receive := func() any {
		m, _ := sub.ReceiveTimeout(t.Context(), 300*time.Millisecond)
		return m
	}
	if m, ok := receive().(*redis.Subscription); !ok {
		t.Errorf("subscribing is answered %v", m)
	}
	proxy.Deafen()
	if n, err := c.Publish(t.Context(), "x", "m").Result(); n != 1 || err != nil {
		t.Errorf("the message goes to %d clients: %v", n, err)
	}
	if m := receive(); m != nil || proxy.Vanished() != 1 {
		t.Errorf("the message arrives: %v; %d vanished", m, proxy.Vanished())
	}
	proxy.Hear()
	c.Publish(t.Context(), "x", "second")
	if m, ok := receive().(*redis.Message); !ok || m.Payload != "second" {
		t.Errorf("the second message arrives as %v", m)
	}
	proxy.Slow(100*time.Millisecond, 0)
	began := time.Now()
	works()
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("through a slow proxy a round trip takes %v", took)
	}
}
