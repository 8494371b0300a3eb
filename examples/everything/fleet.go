package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/server"
)

func (e *everything) addFleetTools() {
	e.tool("whoami", "Answers who asks, and which replica answers", e.whoami)
	e.tool("slow", "Takes its time", e.slow, mcp.WithNumber("ms", mcp.Description("milliseconds to take, 1000 by default")))
	e.tool("cancel_count", "Counts the calls of slow that were cancelled on this replica", e.cancelCount)
	e.tool("broadcast", "Notifies all clients", e.broadcast, mcp.WithNumber("n", mcp.Description("a number to tell")))
	e.tool("notify_session", "Notifies the client of one session", e.notifySession,
		mcp.WithString("sid", mcp.Required(), mcp.Description("the session's Mcp-Session-Id")))
	e.tool("add_global_tool", "Adds a tool to this replica", e.addGlobalTool, mcp.WithString("name", mcp.Required()))
	e.tool("add_session_tool", "Enables a tool for the calling session, on every replica", e.addSessionTool, mcp.WithString("name", mcp.Required()))
	e.tool("resource_update", "Announces that a resource changed", e.resourceUpdate,
		mcp.WithString("uri", mcp.Description(staticTextURI+" by default")))
}

func (e *everything) whoami(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	name, can := client(ctx)
	answer := struct {
		Replica         string `json:"replica"`
		Session         string `json:"session"`
		Client          string `json:"client"`
		Elicitation     bool   `json:"elicitation"`
		Sampling        bool   `json:"sampling"`
		Level           string `json:"level"`
		ProtocolVersion string `json:"pv"`
		Header          string `json:"xhdr"`
	}{
		Replica:         e.replica,
		Client:          name,
		Elicitation:     can.Elicitation != nil,
		Sampling:        can.Sampling != nil,
		ProtocolVersion: mcpserver.RequestProtocolVersion(ctx),
		Header:          request.Header.Get("X-Test"),
	}
	if live, ok := mcpsession.FromContext(ctx); ok {
		answer.Session = live.ID().Token() // for tests: it opens the session
	}
	answer.Level = string(logLevel(ctx))
	b, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return text(string(b))
}

// logLevel is the least severe level of which the caller is told.
func logLevel(ctx context.Context) mcp.LoggingLevel {
	if info := mcpserver.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		return info.LogLevel
	}
	if s, ok := mcpserver.ClientSessionFromContext(ctx).(mcpserver.SessionWithLogging); ok {
		return s.GetLogLevel()
	}
	return ""
}

func (e *everything) slow(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if err := sleep(ctx, milliseconds(request, "ms", 1000)); err != nil {
		e.cancelled.Add(1)
		return nil, err
	}
	return text("done " + e.replica)
}

func (e *everything) cancelCount(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return text(strconv.FormatInt(e.cancelled.Load(), 10))
}

func (e *everything) broadcast(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	e.mcp.SendNotificationToAllClients("notifications/test_broadcast",
		map[string]any{"from": e.replica, "n": request.GetInt("n", 0)})
	return text("ok")
}

func (e *everything) notifySession(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	id, err := mcpsession.ParseSessionID(request.GetString("sid", ""))
	if err == nil {
		err = e.handler.Notify(ctx, id.Ref(), "notifications/test_specific", map[string]any{"from": e.replica})
	}
	return outcome(err)
}

func (e *everything) addGlobalTool(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	name, err := request.RequireString("name")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	e.tool(name, "Added to "+e.replica, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return text("gt " + e.replica)
	})
	return text("ok")
}

func (e *everything) addSessionTool(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	name, err := request.RequireString("name")
	if err != nil {
		return mcp.NewToolResultError(err.Error()), nil
	}
	return outcome(server.EnableTool(ctx, name))
}

// sessionTool is what add_session_tool enables, under any name.
func sessionTool(name string) (mcpserver.ServerTool, bool) {
	return mcpserver.ServerTool{
		Tool:    mcp.NewTool(name, mcp.WithDescription("Only this session has it")),
		Handler: func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return text("st") },
	}, true
}

// resourceUpdate tells all clients, of which the transport picks those that
// subscribed to the resource.
func (e *everything) resourceUpdate(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	e.mcp.SendNotificationToAllClients(mcp.MethodNotificationResourceUpdated,
		map[string]any{"uri": request.GetString("uri", staticTextURI)})
	return text("ok")
}

// outcome is the result of a tool that answers whether something worked.
func outcome(err error) (*mcp.CallToolResult, error) {
	return text(fmt.Sprintf("err=%v", err))
}

func milliseconds(request mcp.CallToolRequest, name string, otherwise int) time.Duration {
	return time.Duration(request.GetInt(name, otherwise)) * time.Millisecond
}

// sleep returns the context's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
