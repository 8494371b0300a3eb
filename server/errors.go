package server

import (
	"context"
	"errors"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

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
	code := mcp.INVALID_REQUEST
	if status >= http.StatusInternalServerError {
		code = mcp.INTERNAL_ERROR
	}
	writeRPCError(w, status, code, text)
}

func writeRPCError(w http.ResponseWriter, status, code int, text string) {
	writeJSON(w, status, errorFor(nil, code, text))
}

func writeJSON(w http.ResponseWriter, status int, text []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone, which is nobody's error
}
