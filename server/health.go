package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/mcpsession/mcpsession"
)

// outOfReach is how long a store may be out of reach before its replica is
// taken out of the balancer. All replicas share the store, so one that gives up
// sooner gains nothing by it.
const outOfReach = 10 * time.Second

// Health answers liveness and readiness probes. Make one with [NewHealth].
type Health struct {
	pinger mcpsession.Pinger // nil if the store cannot be out of reach

	mu       sync.Mutex
	draining bool
	failing  time.Time // since when probes find the store out of reach; zero if they do not
}

// NewHealth returns the probes of a server on store.
func NewHealth(store mcpsession.SessionStore) *Health {
	pinger, _ := store.(mcpsession.Pinger)
	return &Health{pinger: pinger}
}

// Drain makes the server not ready, for good.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Live answers 200 as long as the process can answer at all.
func (h *Health) Live(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") }

// Ready answers 200 if the server should be sent requests: it is not draining,
// and its store has not been out of reach for ten seconds or more.
func (h *Health) Ready(w http.ResponseWriter, r *http.Request) {
	reachable := h.reachable(r.Context())
	h.mu.Lock()
	defer h.mu.Unlock()
	if reachable {
		h.failing = time.Time{}
	} else if h.failing.IsZero() {
		h.failing = time.Now()
	}
	switch {
	case h.draining:
		answer(w, http.StatusServiceUnavailable, "draining")
	case !h.failing.IsZero() && time.Since(h.failing) >= outOfReach:
		answer(w, http.StatusServiceUnavailable, "session store out of reach")
	default:
		answer(w, http.StatusOK, "ready")
	}
}

func (h *Health) reachable(ctx context.Context) bool {
	if h.pinger == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return h.pinger.Ping(ctx) == nil
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // the prober may be gone
}
