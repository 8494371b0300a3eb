// Package server puts sessions under an MCP server's Streamable HTTP endpoint,
// and under stdio. Both protocol eras are served at once, decided for each
// request: a legacy client (2025-03-26 to 2025-11-25) reaches its session
// through Mcp-Session-Id, a modern one (2026-07-28) through handles that tools
// take as arguments. Any replica serves any request of any client, whoever holds
// its streams and runs its calls.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
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
	// to. Pages of these origins may also read the answers (CORS). Requests
	// without Origin, from all but browsers, are always answered.
	AllowedOrigins []string

	// Principal says who sends a request. A session belongs to whoever began
	// it, and for anyone else it does not exist. An error is answered with 401
	// and logged, not shown. Default: nobody authenticates.
	Principal func(*http.Request) (string, error)

	// SessionTool finds a tool that [EnableTool] gave to a session, by name. All
	// replicas should know the same ones. Safe for concurrent use. Default:
	// sessions have no tools of their own.
	SessionTool func(name string) (mcpserver.ServerTool, bool)

	// AnswerTimeout is how long a client may take to answer what it is asked
	// (elicitation, sampling, roots). Default 5 minutes.
	AnswerTimeout time.Duration

	// Logger is told of sessions that begin and end, and of errors. Default:
	// silent.
	Logger *slog.Logger
}

// Handler serves an MCP endpoint whose sessions are kept in a store, on the
// path that it is mounted at. Safe for concurrent use.
type Handler struct {
	mcp    *mcpserver.MCPServer
	store  mcpsession.SessionStore
	broker mcpsession.Broker
	guard  guard
	shared http.Handler // serve, with what lets other origins read its answers
	logger *slog.Logger

	principal     func(*http.Request) (string, error)
	sessionTool   func(string) (mcpserver.ServerTool, bool)
	answerTimeout time.Duration

	calls     calls
	streams   streams
	listeners listeners
	peers     peers
	fleet     fleet
	tap       *tap

	streaming  context.Context // ends when long streams must
	endStreams context.CancelFunc
	life       context.Context // ends with Shutdown
	endLife    context.CancelFunc
	shutdown   sync.Once
	follower   sync.WaitGroup // what goes on until life ends
	running    sync.WaitGroup // calls of the legacy era
	workers    workers
}

var _ http.Handler = (*Handler)(nil)

// New returns a handler that serves mcp's tools, resources and prompts with the
// sessions of store; what concerns more than one replica goes through broker.
// Handlers find the session of their call with [mcpsession.FromContext]. An error
// of theirs that has a method RPCCode() int, somewhere in its chain, is answered
// with that JSON-RPC code. Shut it down before the broker is closed. mcp can have
// only one Handler at a time.
func New(mcp *mcpserver.MCPServer, store mcpsession.SessionStore, broker mcpsession.Broker, o Options) (*Handler, error) {
	if mcp == nil || store == nil || broker == nil {
		return nil, errors.New("server.New: an MCP server, a session store and a broker are needed")
	}
	if o.AnswerTimeout < 0 {
		return nil, fmt.Errorf("server.New: an AnswerTimeout of %v leaves no time for an answer", o.AnswerTimeout)
	}
	if o.AnswerTimeout == 0 {
		o.AnswerTimeout = 5 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		mcp:           mcp,
		broker:        broker,
		guard:         newGuard(o.AllowedHosts, o.AllowedOrigins),
		logger:        o.Logger,
		principal:     o.Principal,
		sessionTool:   o.SessionTool,
		answerTimeout: o.AnswerTimeout,
		peers:         peers{broker: broker},
		streams:       streams{name: rand.Text()},
	}
	h.store = announcing{store, h}
	h.shared = allowOrigins(http.HandlerFunc(h.serve), o.AllowedOrigins)
	h.fleet.heard = h.heard
	h.streaming, h.endStreams = context.WithCancel(context.Background())
	h.life, h.endLife = context.WithCancel(context.Background())
	h.workers = workers{next: make(chan func()), done: h.life.Done()}
	if err := h.openTap(); err != nil {
		return nil, err
	}
	hook(mcp)
	if o.SessionTool != nil { // there may be no other tools
		mcpserver.WithToolCapabilities(true)(mcp)
	}
	for log, hear := range map[mcpsession.Key]func(mcpsession.Page){fleetKey: h.fleet.hear, controlKey: h.obey} {
		f := follower{broker: broker, log: log, logger: o.Logger, hear: hear}
		h.follower.Go(func() { f.follow(h.life) })
	}
	return h, nil
}

// EndStreams closes all GET and subscriptions/listen streams, and lets no new
// one open. Their sessions live on, and clients open their streams again
// elsewhere. Give it to [http.Server.RegisterOnShutdown], since Shutdown waits
// for open streams.
func (h *Handler) EndStreams() { h.endStreams() }

// Shutdown ends what the handler does besides answering requests: call it after
// [http.Server.Shutdown], and before the broker is closed. It waits for calls
// whose stream was closed ([CloseStream]) and for what is still to be told other
// replicas, until ctx ends, whose error it returns then. It ends no session. A
// second call does nothing.
func (h *Handler) Shutdown(ctx context.Context) (err error) {
	h.shutdown.Do(func() {
		h.endStreams()
		defer context.AfterFunc(ctx, h.endLife)()
		finished := make(chan struct{})
		go func() {
			h.running.Wait()
			close(finished)
		}()
		select {
		case <-finished:
		case <-ctx.Done():
			err = fmt.Errorf("calls still run: %w", ctx.Err())
		}
		h.closeTap()
		h.endLife()
		h.follower.Wait()
	})
	return err
}

// heard passes on broadcasts that this replica heard of. If some before them were
// missed, everything may have changed.
func (h *Handler) heard(news []broadcast, complete bool) {
	if !complete {
		for _, text := range h.everythingChanged(h.life) {
			h.listeners.send(newBroadcast(mcpsession.Event{Data: text}))
		}
		for _, uri := range h.listeners.resources() {
			h.listeners.send(newBroadcast(mcpsession.Event{Data: notification(mcp.MethodNotificationResourceUpdated, map[string]any{"uri": uri})}))
		}
	}
	for _, b := range news {
		h.listeners.send(b)
	}
	h.streams.wake()
}

// afterwards is a context for what is done when the one of a request may have
// ended.
func (h *Handler) afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.guard.check(r); err != nil {
		writeError(w, http.StatusForbidden, err.Error())
		return
	}
	h.shared.ServeHTTP(w, r)
}

// serve serves a request that passed the guard.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
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
