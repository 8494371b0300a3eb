package server

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

// clientSession is what MCPServer and its handlers see of a client during one
// request. Each request has its own, so that what a handler sends goes where
// that request's answer goes; what outlives the request is in the store.
type clientSession struct {
	h     *Handler
	ctx   context.Context // of the request: mcp-go's interfaces pass none
	reply *reply          // nil while there is nobody to send to
	http  http.Header
	call  *toolCall // nil unless the request is one that was taken apart

	principal string          // who sends the request
	requestID json.RawMessage // in the modern era

	id     string           // as handlers, and what they log, see it: it opens nothing
	live   *mcpsession.Live // nil in the modern era
	ref    mcpsession.Ref
	client mcpsession.Client

	mu           sync.Mutex
	outbox       *outbox
	finished     bool
	failure      error // of a change that an interface without errors asked for
	errorCode    int   // to answer an error with, unless 0
	errorData    any   // to answer an error with, unless nil
	info         mcp.Implementation
	capabilities *mcp.ClientCapabilities // nil until somebody asks, which few calls do
	filter       *mcp.SubscriptionFilter // of subscriptions/listen
}

var (
	_ mcpserver.SessionWithLogging                  = (*clientSession)(nil)
	_ mcpserver.SessionWithTools                    = (*clientSession)(nil)
	_ mcpserver.SessionWithClientInfo               = (*clientSession)(nil)
	_ mcpserver.SessionWithProtocolVersion          = (*clientSession)(nil)
	_ mcpserver.SessionWithResourceSubscriptionsErr = (*clientSession)(nil)
	_ mcpserver.SessionWithElicitation              = (*clientSession)(nil)
	_ mcpserver.SessionWithSampling                 = (*clientSession)(nil)
	_ mcpserver.SessionWithRoots                    = (*clientSession)(nil)
)

// newClientSession is the client of a legacy session, during one request.
func newClientSession(ctx context.Context, h *Handler, live *mcpsession.Live, reply *reply, header http.Header) *clientSession {
	session := live.Session()
	s := &clientSession{h: h, ctx: ctx, reply: reply, http: header, id: session.Ref.String(), live: live, ref: session.Ref, client: session.Client}
	s.principal = session.Owner
	s.info.Name, s.info.Version = session.Client.Name, session.Client.Version
	return s
}

func (s *clientSession) Initialize()             {}
func (s *clientSession) Initialized() bool       { return true }
func (s *clientSession) SessionID() string       { return s.id }
func (s *clientSession) ProtocolVersion() string { return s.client.ProtocolVersion }

// NotificationChannel is asked for at each send, and by most requests never. Once
// the request is answered, its messages have nowhere to go: nil tells MCPServer,
// and MCPServer the handler, that they cannot be sent.
func (s *clientSession) NotificationChannel() chan<- mcp.JSONRPCNotification {
	s.mu.Lock()
	if !s.finished && s.outbox == nil {
		s.outbox = newOutbox(s.deliver)
	}
	finished, o := s.finished, s.outbox
	s.mu.Unlock()
	if finished {
		return nil
	}
	o.room()
	return o.in
}

func (s *clientSession) deliver(n mcp.JSONRPCNotification) {
	if n.Method == mcp.MethodNotificationSubscriptionsAcknowledged {
		n.Params.Meta[mcp.MetaKeySubscriptionID] = s.requestID // all its digits
		s.h.listeners.add(s, n)                                // what it hears is delivered after this
	}
	s.send(s.ctx, encode(n))
}

// send sends a message where the request's answer goes, or else to the mailbox.
func (s *clientSession) send(ctx context.Context, text []byte) {
	if s.reply != nil && s.reply.message(text) || s.live == nil {
		return
	}
	if err := s.h.mail(ctx, s.ref, text); err != nil {
		s.h.logger.Error("message to a client lost", "session", s.live, "error", err)
	}
}

// flush waits until what the handler sent so far is delivered.
func (s *clientSession) flush(ctx context.Context) error {
	s.mu.Lock()
	o := s.outbox
	s.mu.Unlock()
	if o == nil {
		return nil
	}
	return o.flush(ctx)
}

// finish delivers what the handler sent, and returns the failure of what it
// changed.
func (s *clientSession) finish() error {
	s.mu.Lock()
	o := s.outbox
	s.finished = true
	s.mu.Unlock()
	if o != nil {
		o.close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

func (s *clientSession) fail(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = err
}

// GetClientInfo implements mcpserver.SessionWithClientInfo.
func (s *clientSession) GetClientInfo() mcp.Implementation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

// SetClientInfo is called for a modern request, which says who sends it.
func (s *clientSession) SetClientInfo(info mcp.Implementation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info = info
}

// GetClientCapabilities implements mcpserver.SessionWithClientInfo.
func (s *clientSession) GetClientCapabilities() mcp.ClientCapabilities {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.capabilities == nil {
		s.capabilities = new(mcp.ClientCapabilities)
		if text := s.client.Capabilities; text != "" {
			// What initialize accepted was decoded the same way.
			_ = json.Unmarshal([]byte(text), s.capabilities)
		}
	}
	return *s.capabilities
}

// SetClientCapabilities is called for a modern request.
func (s *clientSession) SetClientCapabilities(c mcp.ClientCapabilities) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capabilities = &c
}

// GetLogLevel is the level in force: what the client asked for, or else all but
// debug (2025-11-25, server/utilities/logging leaves it to the server).
func (s *clientSession) GetLogLevel() mcp.LoggingLevel {
	if s.live == nil {
		return ""
	}
	if level := s.live.Session().LogLevel; level != "" {
		return mcp.LoggingLevel(level)
	}
	return mcp.LoggingLevelInfo
}

// SetLogLevel stores the level for every replica.
func (s *clientSession) SetLogLevel(level mcp.LoggingLevel) {
	s.fail(s.live.Update(s.ctx, func(session *mcpsession.Session) error {
		session.LogLevel = string(level)
		return nil
	}))
}

// GetSessionTools resolves the tools that were enabled for this session alone.
func (s *clientSession) GetSessionTools() map[string]mcpserver.ServerTool {
	if s.live == nil || s.h.sessionTool == nil {
		return nil
	}
	names := s.live.Session().Tools
	if len(names) == 0 {
		return nil
	}
	tools := make(map[string]mcpserver.ServerTool, len(names))
	for _, name := range names {
		if tool, ok := s.h.sessionTool(name); ok { // an older or newer replica may not know it
			tools[name] = tool
		}
	}
	return tools
}

// SetSessionTools is never called: MCPServer.AddSessionTool knows only sessions
// that are registered with it. EnableTool is for handlers.
func (s *clientSession) SetSessionTools(map[string]mcpserver.ServerTool) {}

// SubscribeToResource implements mcpserver.SessionWithResourceSubscriptions.
func (s *clientSession) SubscribeToResource(uri string) { s.fail(s.SubscribeToResourceErr(uri)) }

// SubscribeToResourceErr has the session told of changes of a resource.
func (s *clientSession) SubscribeToResourceErr(uri string) error {
	if s.live == nil { // subscriptions/listen, whose filter holds them
		return nil
	}
	return s.h.subscribe(s.ctx, s.live, uri)
}

// UnsubscribeFromResource undoes SubscribeToResource.
func (s *clientSession) UnsubscribeFromResource(uri string) {
	if s.live != nil {
		s.fail(s.h.unsubscribe(s.ctx, s.live, uri))
	}
}

// SubscribedResources implements mcpserver.SessionWithResourceSubscriptions.
func (s *clientSession) SubscribedResources() []string {
	if s.live == nil {
		return nil
	}
	return s.live.Session().Subscriptions
}

// IsSubscribedToResource implements mcpserver.SessionWithResourceSubscriptions.
func (s *clientSession) IsSubscribedToResource(uri string) bool {
	return slices.Contains(s.SubscribedResources(), uri)
}
