// Package redisproxy is a network between a replica and Redis that fails when a
// test wants it to.
package redisproxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/rs/zerolog"
)

// Ports are drawn from a range below the ones that systems give to outgoing
// connections, and above that of redistest, so that a proxy that was down can
// have its own back.
const (
	firstPort, ports = 22000, 10000
	startTries       = 100

	// upTimeout bounds how long somebody else may have the port meanwhile.
	upTimeout = 10 * time.Second
)

// A Proxy passes connections on to a redis-server. Its methods belong to the
// test's goroutine.
type Proxy struct {
	t       testing.TB
	proxy   *toxiproxy.Proxy
	wakeups *wakeups
}

// Start starts a proxy before the server at addr, host:port, until the test ends.
func Start(t testing.TB, addr string) *Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	var err error
	for range startTries {
		p := &Proxy{t: t}
		listen := net.JoinHostPort("127.0.0.1", fmt.Sprint(firstPort+rand.IntN(ports)))
		p.proxy = toxiproxy.NewProxy(server, listen, listen, addr)
		p.wakeups = newWakeups(listen)
		p.add("wakeups", fmt.Sprintf(`{"proxy":%q}`, listen))
		if err = p.proxy.Start(); err == nil {
			t.Cleanup(p.proxy.Stop)
			return p
		}
	}
	t.Fatalf("start a proxy: %v", err)
	return nil
}

// URL returns the server behind the proxy as REDIS_URL takes it.
func (p *Proxy) URL() string { return "redis://" + p.proxy.Listen + "/0" }

// Cut closes all connections. New ones are accepted.
func (p *Proxy) Cut() { p.wakeups.cutAll() }

// Down closes all connections and accepts no new ones, until Up.
func (p *Proxy) Down() { p.proxy.Stop() }

// Up ends Down.
func (p *Proxy) Up() {
	p.t.Helper()
	if err := poll.Until(upTimeout, p.proxy.Start); err != nil {
		p.t.Fatalf("start a proxy again: %v", err)
	}
}

// Stall lets connections be made, and nothing that the server says arrive, until
// Flow, which closes those connections.
func (p *Proxy) Stall() { p.add("timeout", `{"timeout":0}`) }

// Flow ends Stall.
func (p *Proxy) Flow() { p.remove("timeout") }

// Slow delays what the server says.
func (p *Proxy) Slow(latency, jitter time.Duration) {
	p.add("latency", fmt.Sprintf(`{"latency":%d,"jitter":%d}`, latency.Milliseconds(), jitter.Milliseconds()))
}

// Deafen has all Pub/Sub messages vanish, until Hear. Everything else arrives, so
// that nothing seems to be wrong.
func (p *Proxy) Deafen() { p.wakeups.vanish.Store(true) }

// Hear ends Deafen.
func (p *Proxy) Hear() { p.wakeups.vanish.Store(false) }

// Vanished returns how many Pub/Sub messages have vanished.
func (p *Proxy) Vanished() int64 { return p.wakeups.vanished.Load() }

func (p *Proxy) add(kind, attributes string) {
	p.t.Helper()
	text := fmt.Sprintf(`{"name":%q,"type":%q,"stream":"downstream","attributes":%s}`, kind, kind, attributes)
	if _, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
		p.t.Fatalf("proxy: %v", err)
	}
}

func (p *Proxy) remove(kind string) {
	p.t.Helper()
	if err := p.proxy.Toxics.RemoveToxic(context.Background(), kind); err != nil {
		p.t.Fatalf("proxy: %v", err)
	}
}
