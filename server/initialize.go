package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// hello is what a client says of itself in initialize.
type hello struct {
	ProtocolVersion string          `json:"protocolVersion"`
	Capabilities    json.RawMessage `json:"capabilities"`
	ClientInfo      struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"clientInfo"`
}

// initialize begins a session with what the client says of itself, and ends it
// again if MCPServer refuses the request.
func (h *Handler) initialize(w http.ResponseWriter, r *http.Request, m *message) {
	principal, ok := h.authenticate(w, r)
	if !ok {
		return
	}
	var params hello
	if err := json.Unmarshal(m.Params, &params); err != nil {
		writeJSON(w, http.StatusBadRequest, errorFor(m.ID, mcp.INVALID_PARAMS, "initialize: "+err.Error()))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	id := mcpsession.NewSessionID()
	session, err := h.store.Create(ctx, id, mcpsession.Session{
		Owner: principal,
		Client: mcpsession.Client{
			Name:            params.ClientInfo.Name,
			Version:         params.ClientInfo.Version,
			ProtocolVersion: mcp.NegotiateLegacyVersion(params.ProtocolVersion),
			Capabilities:    string(params.Capabilities),
		},
	})
	if err != nil {
		h.writeStoreError(w, "begin", err)
		return
	}
	live := mcpsession.NewLive(h.store, id, session)
	s := newClientSession(r.Context(), h, live, nil, r.Header)
	text := h.dispatch(mcpsession.NewContext(r.Context(), live), s, m)
	if isResult(text) {
		h.logger.Info("session began", "session", id, "client", session.Client.Name, "protocol", session.Client.ProtocolVersion)
		w.Header().Set(mcp.HeaderSessionID, id.Token())
	} else if err := live.End(ctx); err != nil { // its idle timeout ends it, then
		h.logger.Error("session store failed", "action", "end after a refused initialize", "error", err)
	}
	writeJSON(w, http.StatusOK, text)
}

// isResult reports whether a response is a JSON-RPC result.
func isResult(text []byte) bool {
	m, err := parseMessage(text)
	return err == nil && m.Result != nil
}
