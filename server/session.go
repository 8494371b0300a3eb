package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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

// hello is what a client says of itself in initialize.
type hello struct {
	Params struct {
		ProtocolVersion string          `json:"protocolVersion"`
		Capabilities    json.RawMessage `json:"capabilities"`
		ClientInfo      struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"clientInfo"`
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

// initialize begins a session with what the client says of itself, and ends it
// again if the dispatcher refuses the request.
func (h *Handler) initialize(w http.ResponseWriter, r *http.Request, body []byte) {
	var m hello
	if err := json.Unmarshal(body, &m); err != nil {
		h.inner.ServeHTTP(w, r) // says what is wrong; without a session it issues no id
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	id := mcpsession.NewSessionID()
	session, err := h.store.Create(ctx, id, mcpsession.Session{Client: mcpsession.Client{
		Name:            m.Params.ClientInfo.Name,
		Version:         m.Params.ClientInfo.Version,
		ProtocolVersion: mcp.NegotiateLegacyVersion(m.Params.ProtocolVersion),
		Capabilities:    string(m.Params.Capabilities),
	}})
	if err != nil {
		h.writeStoreError(w, "begin", err)
		return
	}
	live := mcpsession.NewLive(h.store, id, session)
	response := &buffered{header: make(http.Header), status: http.StatusOK}
	h.inner.ServeHTTP(response, r.WithContext(mcpsession.NewContext(r.Context(), live)))
	if response.isResult() {
		h.logger.Info("session began", "session", id, "client", session.Client.Name,
			"protocol", session.Client.ProtocolVersion)
	} else {
		response.header.Del(mcp.HeaderSessionID)
		if err := live.End(ctx); err != nil { // its idle timeout ends it, then
			h.logger.Error("session store failed", "action", "end after a refused initialize", "error", err)
		}
	}
	response.writeTo(w)
}

// buffered is a response that is looked at before it is sent. It cannot stream,
// so the dispatcher answers with plain JSON.
type buffered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *buffered) Header() http.Header         { return b.header }
func (b *buffered) WriteHeader(status int)      { b.status = status }
func (b *buffered) Write(p []byte) (int, error) { return b.body.Write(p) }

// isResult reports whether the response is a JSON-RPC result.
func (b *buffered) isResult() bool {
	var m struct {
		Result json.RawMessage `json:"result"`
	}
	return b.status == http.StatusOK && json.Unmarshal(b.body.Bytes(), &m) == nil && m.Result != nil
}

func (b *buffered) writeTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), b.header)
	w.WriteHeader(b.status)
	_, _ = b.body.WriteTo(w) // the client may be gone
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
