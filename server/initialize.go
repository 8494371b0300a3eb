package server

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

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
