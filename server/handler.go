// Package server puts sessions under an MCP server's Streamable HTTP endpoint,
// and under stdio. Both protocol eras are served at once, decided for each
// request: a legacy client (2025-03-26 to 2025-11-25) reaches its session
// through Mcp-Session-Id, a modern one (2026-07-28) through handles that tools
// take as arguments.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

// Options configure a Handler. The zero Options are usable.
type Options struct {
	// AllowedHosts are the Host headers to answer, without ports. Default: any,
	// except that a request which arrives on a loopback address must name a
	// loopback host, so that no web page can reach a local server by rebinding
	// its own name.
	AllowedHosts []string

	// AllowedOrigins are the Origin headers to answer, such as
	// "https://app.example.com", besides the one that the request itself went
	// to. Requests without Origin, from all but browsers, are always answered.
	AllowedOrigins []string

	// Logger is told of sessions that begin and end, and of storage errors.
	// Default: silent.
	Logger *slog.Logger
}

// Handler serves an MCP endpoint whose sessions are kept in a store, on the
// path that it is mounted at. Safe for concurrent use.
//
// This transport keeps session state in the store, and everything else still
// in mcp-go's own transport: a message from server to client reaches it only
// through a stream that this process holds.
type Handler struct {
	store  mcpsession.SessionStore
	guard  guard
	logger *slog.Logger
	inner  http.Handler

	streams    context.Context // ends when long streams must
	endStreams context.CancelFunc
}

var _ http.Handler = (*Handler)(nil)

// New returns a handler that serves mcp's tools, resources and prompts with the
// sessions of store. Handlers find the session of their call with
// [mcpsession.FromContext].
func New(mcp *mcpserver.MCPServer, store mcpsession.SessionStore, o Options) (*Handler, error) {
	if mcp == nil || store == nil {
		return nil, errors.New("server.New: an MCP server and a session store are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		store:  store,
		guard:  newGuard(o.AllowedHosts, o.AllowedOrigins),
		logger: o.Logger,
		inner:  newInner(mcp),
	}
	h.streams, h.endStreams = context.WithCancel(context.Background())
	return h, nil
}

// EndStreams closes all GET and subscriptions/listen streams, and lets no new
// one open. Their sessions
// live on, and clients open their streams again elsewhere. Give it to
// [http.Server.RegisterOnShutdown], since Shutdown waits for open streams.
func (h *Handler) EndStreams() { h.endStreams() }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.guard.check(r); err != nil {
		writeError(w, http.StatusForbidden, err.Error())
		return
	}
	switch r.Method {
	case http.MethodPost:
		h.post(w, r)
	case http.MethodGet:
		h.get(w, r)
	case http.MethodDelete:
		h.delete(w, r)
	default:
		w.Header().Set("Allow", "GET, POST, DELETE")
		writeError(w, http.StatusMethodNotAllowed, "method "+r.Method+" is not supported")
	}
}
