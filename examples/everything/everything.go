package main

import (
	"context"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/requeststate"
	"github.com/mcpsession/mcpsession/server"
)

// everything is the MCP server, and what its tools remember in this process.
type everything struct {
	mcp     *mcpserver.MCPServer
	handler *server.Handler // set when it is served
	replica string          // the name that tools answer

	sessions *handle.Sessions
	states   *requeststate.Sealer

	cancelled atomic.Int64 // calls of slow that were cancelled
}

// newEverything returns the server with all of its tools, resources and prompts.
func newEverything(replica string, sessions *handle.Sessions, states *requeststate.Sealer) *everything {
	e := &everything{replica: replica, sessions: sessions, states: states}
	e.mcp = mcpserver.NewMCPServer("everything", "1.0.0",
		mcpserver.WithToolCapabilities(true),
		mcpserver.WithResourceCapabilities(true, true),
		mcpserver.WithPromptCapabilities(true),
		mcpserver.WithLogging(),
		mcpserver.WithCompletions(),
		mcpserver.WithPromptCompletionProvider(completions{}),
		mcpserver.WithResourceCompletionProvider(completions{}),
		// A list may differ from session to session, so nobody may share it.
		mcpserver.WithCacheHints(60_000, mcp.CacheScopePrivate),
		mcpserver.WithRecovery(),
	)
	e.addContentTools()
	e.addMessageTools()
	e.addElicitationTools()
	e.addSamplingTools()
	e.addInputTools()
	e.addModernTools()
	e.addFleetTools()
	e.addHandleTools()
	e.addResources()
	e.addPrompts()
	return e
}

// tool adds a tool. Its options declare its arguments.
func (e *everything) tool(name, description string, handle mcpserver.ToolHandlerFunc, options ...mcp.ToolOption) {
	e.mcp.AddTool(mcp.NewTool(name, append(options, mcp.WithDescription(description))...), handle)
}

// text is the result of a tool that answers one text.
func text(s string) (*mcp.CallToolResult, error) { return mcp.NewToolResultText(s), nil }

// client returns what the caller said of itself: in initialize, or, from protocol
// version 2026-07-28 on, with this request.
func client(ctx context.Context) (name string, can mcp.ClientCapabilities) {
	if info := mcpserver.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		if info.ClientInfo != nil {
			name = info.ClientInfo.Name
		}
		return name, *info.ClientCapabilities
	}
	if s, ok := mcpserver.ClientSessionFromContext(ctx).(mcpserver.SessionWithClientInfo); ok {
		return s.GetClientInfo().Name, s.GetClientCapabilities()
	}
	return "", mcp.ClientCapabilities{}
}
