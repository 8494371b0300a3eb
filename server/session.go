package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

const (
	// storeTimeout bounds what the transport itself asks of the store, so that a
	// client gets its 503 while it still waits.
	storeTimeout = 5 * time.Second

	// retryAfter is what a client is told to wait during an outage, in seconds.
	retryAfter = "5"
)

// open returns the session that a request names. Or it writes why there is none:
// a client begins a new session when it sees 404, so that is said only when the
// session is certainly gone, or not this client's.
func (h *Handler) open(w http.ResponseWriter, r *http.Request) (*mcpsession.Live, bool) {
	if version := r.Header.Get(mcp.HeaderProtocolVersion); version != "" && !mcp.IsValidProtocolVersion(version) {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("protocol version %q is not supported", version))
		return nil, false
	}
	principal, ok := h.authenticate(w, r)
	if !ok {
		return nil, false
	}
	token := r.Header.Get(mcp.HeaderSessionID)
	if token == "" {
		writeError(w, http.StatusBadRequest, "the Mcp-Session-Id header is missing: send initialize first, and then the id that its response carries")
		return nil, false
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	id, err := mcpsession.ParseSessionID(token)
	var session mcpsession.Session
	if err == nil {
		session, err = h.store.Get(ctx, id)
	}
	if err == nil && session.Owner != principal {
		err = mcpsession.ErrNotFound
	}
	if err != nil {
		h.writeStoreError(w, "open", err)
		return nil, false
	}
	return mcpsession.NewLive(h.store, id, session), true
}

// authenticate returns who asks, or writes that it is nobody known.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request) (string, bool) {
	if h.principal == nil {
		return "", true
	}
	principal, err := h.principal(r)
	if err != nil {
		h.logger.Debug("request refused", "error", err)
		writeError(w, http.StatusUnauthorized, "the request is not authenticated")
		return "", false
	}
	return principal, true
}

// delete serves a DELETE: the client ends its session.
func (h *Handler) delete(w http.ResponseWriter, r *http.Request) {
	if isModern(r) {
		h.refuseMethod(w, r)
		return
	}
	live, ok := h.open(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTimeout)
	defer cancel()
	if err := live.End(ctx); err != nil {
		h.writeStoreError(w, "end", err)
		return
	}
	h.logger.Info("session ended by its client", "session", live.ID())
	w.WriteHeader(http.StatusOK)
}

// announcing is a store that tells every replica which sessions were ended, so
// that their streams and calls end too.
type announcing struct {
	mcpsession.SessionStore
	h *Handler
}

// announce is the [mcpsession.WithDecorator] of calls.
func (h *Handler) announce(store mcpsession.SessionStore) mcpsession.SessionStore {
	if a, ok := store.(announcing); ok && a.h == h {
		return store
	}
	return announcing{store, h}
}

// Delete ends a session, of whose end nobody may hear while the broker is out of
// reach: then its streams end when they next touch it.
func (s announcing) Delete(ctx context.Context, id mcpsession.ID) error {
	if err := s.SessionStore.Delete(ctx, id); err != nil {
		return err
	}
	ref := id.Ref()
	err := errors.Join(
		s.h.control(ctx, controlEvent{Ref: ref}),
		s.h.broker.Drop(ctx, mailboxKey(ref), deliveryKey(ref)),
	)
	if err != nil {
		s.h.logger.Warn("the end of a session was not announced", "session", ref, "error", err)
	}
	return nil
}
