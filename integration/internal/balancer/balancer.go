// Package balancer is a plain load balancer for tests: it chooses a replica
// anew for every request, in turn or at random, whatever connection that came
// on, and tells which one answered.
package balancer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"testing"
)

const (
	// HeaderReplica is the response header with the index of the replica that
	// answered.
	HeaderReplica = "X-Replica"

	// HeaderTo is the request header that names the replica to ask. It is not
	// passed on.
	HeaderTo = "X-To"
)

// A Balancer listens on loopback until the test ends. It is safe for
// concurrent use.
//
// A replica that refuses the connection is passed over for the next one; if
// none accepts, the answer is 502. A request that names its replica (HeaderTo,
// Pin) goes there or gets 502. A request is never sent twice: if the replica
// dies while it works, the answer is 502, or a stream that breaks off.
type Balancer struct {
	url   string
	proxy *httputil.ReverseProxy

	mu       sync.Mutex
	backends []*url.URL
	next     int // index of the next request's replica
	pinned   int // -1: none
	failover bool
	random   bool
	last     int
	hits     []int
}

// Start starts a balancer over the replicas with these base URLs.
func Start(t testing.TB, backends ...string) *Balancer {
	t.Helper()
	b := &Balancer{pinned: -1, failover: true, last: -1, hits: make([]int, len(backends))}
	for _, backend := range backends {
		b.backends = append(b.backends, parse(t, backend))
	}
	b.proxy = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http" // the host is chosen in attempt
			r.Out.Host = r.In.Host
			r.Out.Header.Del(HeaderTo)
			r.SetXForwarded()
		},
		Transport:     (*transport)(b),
		FlushInterval: -1, // streams pass at once
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "balancer: "+err.Error(), http.StatusBadGateway)
		},
		ErrorLog: log.New(io.Discard, "", 0), // it reports clients that went away
	}
	server := httptest.NewServer(b)
	b.url = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections() // also open streams, which Close would wait for
		server.Close()
	})
	return b
}

// URL returns the balancer's base URL.
func (b *Balancer) URL() string { return b.url }

// Pin sends every request to replica i until Unpin.
func (b *Balancer) Pin(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pinned = i
}

// Unpin goes back to taking turns, or to chance.
func (b *Balancer) Unpin() { b.Pin(-1) }

// SetFailover says whether a replica that refuses the connection is passed
// over (the default) or answered for with 502.
func (b *Balancer) SetFailover(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failover = on
}

// SetRandom says whether replicas are chosen at random, or take turns (the
// default). Turns can hide a fault: with two replicas and clients that send two
// requests for each step, the same one gets every step.
func (b *Balancer) SetRandom(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.random = on
}

// Replace puts another base URL in the place of replica i, as when a new
// process takes over from an old one.
func (b *Balancer) Replace(t testing.TB, i int, backend string) {
	t.Helper()
	u := parse(t, backend)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.backends[i] = u
}

// Last returns the replica that a request was last answered by, -1 at first.
func (b *Balancer) Last() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// Hits returns how many requests each replica has answered.
func (b *Balancer) Hits() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]int(nil), b.hits...)
}

// ServeHTTP passes the request on.
func (b *Balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	order, err := b.choose(r.Header.Get(HeaderTo))
	if err != nil {
		http.Error(w, "balancer: "+err.Error(), http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "balancer: "+err.Error(), http.StatusBadRequest)
		return
	}
	b.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), planKey{}, plan{order, body})))
}

// choose returns the replicas to try for a request, in order.
func (b *Balancer) choose(to string) ([]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.backends)
	forced := b.pinned
	if to != "" {
		var err error
		if forced, err = strconv.Atoi(to); err != nil {
			return nil, fmt.Errorf("%s: %w", HeaderTo, err)
		}
	}
	if forced >= n || forced < -1 {
		return nil, fmt.Errorf("no replica %d among %d", forced, n)
	}
	if forced >= 0 {
		return []int{forced}, nil
	}
	if b.random {
		b.next = rand.IntN(n)
	}
	order := []int{b.next}
	for i := 1; i < n && b.failover; i++ {
		order = append(order, (b.next+i)%n)
	}
	b.next = (b.next + 1) % n
	return order, nil
}

func (b *Balancer) backend(i int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.backends[i].Host
}

func (b *Balancer) answered(i int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = i
	b.hits[i]++
}

// plan is what becomes of a request.
type plan struct {
	order []int // the replicas to try

	// The whole body. A refused attempt would close the client's, and its server
	// closes that as soon as the answer begins, which breaks the connection to
	// the replica if that still looks for the body's end.
	body []byte
}

// planKey is the context key of a request's plan.
type planKey struct{}

// transport is the balancer as its proxy's http.RoundTripper.
type transport Balancer

// direct opens a connection for each request, so that a dead replica always
// shows as a refused connection, never as a stale one that was kept alive.
var direct = &http.Transport{DisableKeepAlives: true, DisableCompression: true}

// RoundTrip asks the request's replicas in order, until one accepts the
// connection.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	b := (*Balancer)(t)
	if r.Body != nil {
		defer r.Body.Close()
	}
	p := r.Context().Value(planKey{}).(plan)
	var errs []error
	for _, i := range p.order {
		attempt := r.Clone(r.Context())
		if r.Body != nil {
			attempt.Body = io.NopCloser(bytes.NewReader(p.body))
		}
		attempt.URL.Host = b.backend(i)
		resp, err := direct.RoundTrip(attempt)
		if err == nil {
			b.answered(i)
			resp.Header.Set(HeaderReplica, strconv.Itoa(i))
			return resp, nil
		}
		errs = append(errs, fmt.Errorf("replica %d: %w", i, err))
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			break // it may have got the request
		}
	}
	return nil, errors.Join(errs...)
}

// parse returns the URL of a replica, which is http and has no path.
func parse(t testing.TB, backend string) *url.URL {
	t.Helper()
	u, err := url.Parse(backend)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.Path != "" {
		t.Fatalf("balancer: %q is not http://host:port", backend)
	}
	return u
}
