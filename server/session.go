package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

const (
	// maxBody bounds a request body, in bytes.
	maxBody = 4 << 20

	// storeTimeout bounds what the transport itself asks of the store, so that a
	// client gets its 503 while it still waits.
	storeTimeout = 5 * time.Second

	// retryAfter is what a client is told to wait during an outage, in seconds.
	retryAfter = "5"
)

// message is what the transport must know of a request's body.
type message struct {
	Method string `json:"method"`
	Params struct {
		Meta struct {
			ProtocolVersion string `json:"io.modelcontextprotocol/protocolVersion"`
		} `json:"_meta"`
	} `json:"params"`
}

func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			writeError(w, http.StatusRequestEntityTooLarge, "the request body is larger than 4 MiB")
			return
		}
		writeError(w, http.StatusBadRequest, "the request body could not be read")
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))

	var m message
	_ = json.Unmarshal(body, &m) // the dispatcher says what is wrong
	switch {
	case isModern(r) || mcp.IsModernProtocol(m.Params.Meta.ProtocolVersion):
		if m.Method == string(mcp.MethodSubscriptionsListen) {
			h.stream(w, r)
			return
		}
		h.inner.ServeHTTP(w, r)
	case m.Method == string(mcp.MethodInitialize):
		h.initialize(w, r, body)
	default:
		if ctx, ok := h.open(w, r); ok {
			h.inner.ServeHTTP(w, r.WithContext(ctx))
		}
	}
}

func (h *Handler) get(w http.ResponseWriter, r *http.Request) {
	if isModern(r) {
		h.inner.ServeHTTP(w, r) // answers 405
		return
	}
	ctx, ok := h.open(w, r)
	if !ok {
		return
	}
	h.stream(w, r.WithContext(ctx))
}

// stream serves a response that only ends when the client goes or streams must.
func (h *Handler) stream(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.streams, cancel)()
	h.inner.ServeHTTP(w, r.WithContext(ctx))
}

func (h *Handler) delete(w http.ResponseWriter, r *http.Request) {
	if isModern(r) {
		h.inner.ServeHTTP(w, r) // answers 405
		return
	}
	ctx, ok := h.open(w, r)
	if !ok {
		return
	}
	live, _ := mcpsession.FromContext(ctx)
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := live.End(bounded); err != nil {
		h.writeStoreError(w, "end", err)
		return
	}
	h.logger.Info("session ended by its client", "session", live.ID())
	h.inner.ServeHTTP(w, r.WithContext(ctx))
}

// open returns a context with the session that the request names. Or it writes
// why there is none: a client begins a new session when it sees 404, so that is
// said only when the session is certainly gone.
func (h *Handler) open(w http.ResponseWriter, r *http.Request) (context.Context, bool) {
	if version := r.Header.Get(mcp.HeaderProtocolVersion); version != "" && !mcp.IsValidProtocolVersion(version) {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("protocol version %q is not supported", version))
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
	if err != nil {
		h.writeStoreError(w, "open", err)
		return nil, false
	}
	return mcpsession.NewContext(r.Context(), mcpsession.NewLive(h.store, id, session)), true
}

func isModern(r *http.Request) bool {
	return mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion))
}

// writeStoreError answers a request whose session could not be begun, opened or
// ended.
func (h *Handler) writeStoreError(w http.ResponseWriter, action string, err error) {
	switch {
	case errors.Is(err, mcpsession.ErrNotFound):
		writeError(w, http.StatusNotFound, "session not found: it ended or never was; send initialize to begin a new one")
	case errors.Is(err, mcpsession.ErrTooLarge):
		writeError(w, http.StatusRequestEntityTooLarge, "the client's description of itself is too large")
	case errors.Is(err, mcpsession.ErrInvalid):
		writeError(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, context.Canceled):
		// The client went away; nobody reads an answer.
	default:
		// An outage, a full store, or a session that a newer release wrote and
		// another replica can read: all pass.
		h.logger.Error("session store failed", "action", action, "error", err)
		w.Header().Set("Retry-After", retryAfter)
		writeError(w, http.StatusServiceUnavailable, "the session store cannot be used right now, and no session is lost by that: try again")
	}
}

// writeError answers with a JSON-RPC error that belongs to no request.
func writeError(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	response := mcp.NewJSONRPCError(mcp.NewRequestId(nil), mcp.INVALID_REQUEST, text, nil)
	if status >= http.StatusInternalServerError {
		response.Error.Code = mcp.INTERNAL_ERROR
	}
	// The client may be gone, which is nobody's error.
	_ = json.NewEncoder(w).Encode(response)
}
