// Package handle gives tools a session argument: the way in which clients of
// protocol version 2026-07-28, which has no sessions of its own, name the state
// that spans their calls. A handle is an unguessable token that a tool answers
// and the model passes to other tools; a client of an earlier version needs none
// for its own session, and can use handles too. Handlers find the session with
// [mcpsession.FromContext], however it was named.
package handle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

// Argument is the name of the argument that takes a handle.
const Argument = "session"

// ErrMissing: a call names no session, and its client has none of its own.
var ErrMissing = errors.New("the call names no session")

// Options configure Sessions.
type Options struct {
	// Begin is the name of the tool that a model calls for a new session.
	// Required: without it, a model that lost its session cannot go on.
	Begin string

	// Limits are those of the store. Tools' descriptions tell a model how long a
	// session lives, as the specification advises. Default: they do not.
	Limits mcpsession.Limits

	// Logger is told of storage errors, which a model is told only in general.
	// Default: silent.
	Logger *slog.Logger
}

// Sessions are the sessions of a store, as tools name them. Safe for concurrent
// use.
type Sessions struct {
	store mcpsession.SessionStore
	o     Options
}

// New returns the sessions of store.
func New(store mcpsession.SessionStore, o Options) *Sessions {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sessions{store, o}
}

// Tool makes tool work on a session: it takes the argument [Argument], in place of
// one that it may have, and handler runs with that session in its context. It is
// for AddTool:
//
//	srv.AddTool(sessions.Tool(tool, handler))
//
// A call whose session cannot be opened is answered with [Sessions.Failure], and
// handler does not run.
func (s *Sessions) Tool(tool mcp.Tool, handler mcpserver.ToolHandlerFunc) (mcp.Tool, mcpserver.ToolHandlerFunc) {
	return s.describe(tool), func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		token, ok := request.GetArguments()[Argument].(string)
		if !ok && request.GetArguments()[Argument] != nil {
			return mcp.NewToolResultErrorf("The argument %q must be a string: the handle that %s answered.", Argument, s.o.Begin), nil
		}
		live, err := s.Open(ctx, token)
		if err != nil {
			return s.Failure(tool.Name, err), nil
		}
		return handler(mcpsession.NewContext(ctx, live), request)
	}
}

// Open returns the session of a handle, or, if it is empty, that which the
// client has of its own. Errors: [ErrMissing], and those of
// [mcpsession.SessionStore.Get]; a handle that is malformed, or whose session
// somebody else owns, is [mcpsession.ErrNotFound] like any other that opens
// nothing.
func (s *Sessions) Open(ctx context.Context, handle string) (*mcpsession.Live, error) {
	if handle == "" {
		// A modern request has none, whatever else may be in its context.
		if live, ok := mcpsession.FromContext(ctx); ok && !mcpserver.IsModernRequest(ctx) {
			return live, nil
		}
		return nil, ErrMissing
	}
	id, err := mcpsession.ParseHandle(handle)
	if err != nil {
		return nil, err
	}
	session, err := s.store.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if session.Owner != mcpsession.Principal(ctx) {
		return nil, fmt.Errorf("session %s belongs to somebody else: %w", id, mcpsession.ErrNotFound)
	}
	return mcpsession.NewLive(mcpsession.Decorated(ctx, s.store), id, session), nil
}

// Begin begins a session that is reached by a handle, [mcpsession.Live.ID]'s
// Token, which the tool has to answer. Its owner is whoever calls, and its Client
// what the caller said of itself, unless session has one. Errors are those of
// [mcpsession.SessionStore.Create].
func (s *Sessions) Begin(ctx context.Context, session mcpsession.Session) (*mcpsession.Live, error) {
	session.Owner = mcpsession.Principal(ctx)
	if session.Client == (mcpsession.Client{}) {
		session.Client = caller(ctx)
	}
	id := mcpsession.NewHandle()
	session, err := s.store.Create(ctx, id, session)
	if err != nil {
		return nil, err
	}
	return mcpsession.NewLive(mcpsession.Decorated(ctx, s.store), id, session), nil
}

// caller is what the client said of itself, in the handshake or in this request.
func caller(ctx context.Context) mcpsession.Client {
	if info := mcpserver.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		client := mcpsession.Client{ProtocolVersion: info.ProtocolVersion}
		if info.ClientInfo != nil {
			client.Name, client.Version = info.ClientInfo.Name, info.ClientInfo.Version
		}
		return client
	}
	if live, ok := mcpsession.FromContext(ctx); ok {
		return live.Session().Client
	}
	return mcpsession.Client{}
}

// Failure is the result of the tool of this name, whose session cannot be opened,
// begun or changed: it tells a model what is wrong and what to call next. A
// handle that opens nothing gets the same answer whatever the reason.
func (s *Sessions) Failure(tool string, err error) *mcp.CallToolResult {
	switch {
	case errors.Is(err, ErrMissing):
		return mcp.NewToolResultErrorf("This call names no session. Call %s, and pass the handle that it answers as the `%s` argument of this and every later call.", s.o.Begin, Argument)
	case errors.Is(err, mcpsession.ErrNotFound):
		return mcp.NewToolResultErrorf("This session does not exist: it ended, it was unused for too long, or the handle is mistyped. "+
			"Call %s for a new one and pass its handle as `%s`, or, if your client keeps its own MCP session, reconnect.", s.o.Begin, Argument)
	case errors.Is(err, mcpsession.ErrTooLarge):
		return mcp.NewToolResultError("Nothing was stored: the session would become too large. Store less, or remove what is no longer needed.")
	case errors.Is(err, mcpsession.ErrFull):
		return mcp.NewToolResultError("Nothing was stored: the server keeps as many sessions as it may. End a session that is no longer needed, or try again later.")
	case errors.Is(err, mcpsession.ErrConflict):
		return mcp.NewToolResultError("Nothing was stored: other calls changed the session at the same moment. Try again.")
	case errors.Is(err, mcpsession.ErrUnavailable), errors.Is(err, mcpsession.ErrUnsupportedVersion), errors.Is(err, context.DeadlineExceeded):
		s.o.Logger.Error("session store failed", "tool", tool, "error", err)
		return mcp.NewToolResultError("The session store cannot be reached right now. This says nothing about the session, which is not lost: try the same call again in a few seconds.")
	}
	return mcp.NewToolResultError(err.Error())
}

// Lifetime tells a model how long a session lives, or nothing if the limits are
// not known.
func (s *Sessions) Lifetime() string {
	if s.o.Limits.IdleTimeout <= 0 || s.o.Limits.MaxLifetime <= 0 {
		return ""
	}
	return fmt.Sprintf("A session ends when it is unused for %s, and at the latest %s after it was created.",
		spoken(s.o.Limits.IdleTimeout), spoken(s.o.Limits.MaxLifetime))
}

// describe returns tool with the argument, sharing nothing that it changes. A
// raw schema that is no JSON object stays as it is.
func (s *Sessions) describe(tool mcp.Tool) mcp.Tool {
	description := fmt.Sprintf("Session handle, as answered by %s. Leave it out to use your client's own session, if it has one.", s.o.Begin)
	if lifetime := s.Lifetime(); lifetime != "" {
		description += " " + lifetime
	}
	property := map[string]any{"type": "string", "description": description}
	if tool.RawInputSchema == nil {
		properties := maps.Clone(tool.InputSchema.Properties)
		if properties == nil {
			properties = make(map[string]any, 1)
		}
		properties[Argument] = property
		tool.InputSchema.Properties = properties
		return tool
	}
	var schema map[string]any
	if json.Unmarshal(tool.RawInputSchema, &schema) != nil || schema == nil {
		return tool
	}
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		properties = make(map[string]any, 1)
		schema["properties"] = properties
	}
	properties[Argument] = property
	if raw, err := json.Marshal(schema); err == nil {
		tool.RawInputSchema = raw
	}
	return tool
}

// spoken says a duration in the largest unit that keeps it whole.
func spoken(d time.Duration) string {
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}} {
		if n := d / unit.size; n > 1 && d%unit.size == 0 {
			return fmt.Sprintf("%d %ss", n, unit.name)
		} else if n == 1 && d == unit.size {
			return "1 " + unit.name
		}
	}
	return d.String()
}
