package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// addHandleTools adds tools whose sessions are named by a handle, and, by legacy
// clients, need not be.
func (e *everything) addHandleTools() {
	e.tool("begin_session", "Begins a session and answers its handle", e.beginSession)
	e.mcp.AddTool(e.sessions.Tool(mcp.NewTool("share_session", mcp.WithDescription("Answers a handle of the session")), e.shareSession))
	e.mcp.AddTool(e.sessions.Tool(mcp.NewTool("count", mcp.WithDescription("Counts its calls in the session")), e.count))
	e.mcp.AddTool(e.sessions.Tool(mcp.NewTool("end_session", mcp.WithDescription("Ends the session")), e.endSession))
}

func (e *everything) beginSession(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	live, err := e.sessions.Begin(ctx, mcpsession.Session{})
	if err != nil {
		return e.sessions.Failure("begin_session", err), nil
	}
	return text(live.ID().Token())
}

func (e *everything) shareSession(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	live, _ := mcpsession.FromContext(ctx)
	id, err := live.Share(ctx)
	if err != nil {
		return e.sessions.Failure("share_session", err), nil
	}
	return text(id.Token())
}

// count answers the session's public name, the count and which replica counted.
func (e *everything) count(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	live, _ := mcpsession.FromContext(ctx)
	n := 0
	// Any number of calls at once all count: each adds to what it finds.
	err := live.Update(ctx, func(s *mcpsession.Session) error {
		n, _ = strconv.Atoi(string(s.Values["n"])) // none is 0
		n++
		if s.Values == nil {
			s.Values = make(map[string]json.RawMessage)
		}
		s.Values["n"] = json.RawMessage(strconv.Itoa(n))
		return nil
	})
	if err != nil {
		return e.sessions.Failure("count", err), nil
	}
	return text(fmt.Sprint(live, " ", n, " ", e.replica))
}

func (e *everything) endSession(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	live, _ := mcpsession.FromContext(ctx)
	if err := live.End(ctx); err != nil {
		return e.sessions.Failure("end_session", err), nil
	}
	return text("ended")
}
