package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession/server"
)

// pause is how long the fixtures wait between two messages, so that a client is
// seen to get each when it is sent.
const pause = 50 * time.Millisecond

func (e *everything) addMessageTools() {
	e.tool("test_tool_with_logging", "Logs three messages while it works", e.logThrice)
	e.tool("test_tool_with_progress", "Reports its progress, if asked to", e.progress)
	e.tool("test_reconnection", "Ends its response stream, and answers on the one that the client opens then", e.reconnection)
	e.tool("log_emit", "Logs a message", e.logEmit, mcp.WithString("level", mcp.Description("info by default")))
	e.tool("multi_notify", "Reports progress many times", e.multiNotify,
		mcp.WithNumber("n", mcp.Description("how often, 5 by default")),
		mcp.WithNumber("gapms", mcp.Description("milliseconds between two reports, 100 by default")),
		mcp.WithBoolean("log", mcp.Description("whether to log a message after each report")))
}

func (e *everything) logThrice(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	for i, message := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
		if i > 0 {
			if err := sleep(ctx, pause); err != nil {
				return nil, err
			}
		}
		if err := e.log(ctx, mcp.LoggingLevelInfo, "", message); err != nil {
			return nil, err
		}
	}
	return text("Tool with logging executed successfully")
}

// log sends the caller a log message, if it asked for ones of that level.
func (e *everything) log(ctx context.Context, level mcp.LoggingLevel, logger, message string) error {
	return e.mcp.SendLogMessageToClient(ctx, mcp.NewLoggingMessageNotification(level, logger, message))
}

func (e *everything) progress(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	var token mcp.ProgressToken
	if request.Params.Meta != nil {
		token = request.Params.Meta.ProgressToken
	}
	for _, done := range []int{0, 50, 100} {
		if done > 0 {
			if err := sleep(ctx, pause); err != nil {
				return nil, err
			}
		}
		if token == nil {
			continue
		}
		if err := e.report(ctx, token, done, 100); err != nil {
			return nil, err
		}
	}
	return text("Tool with progress executed successfully")
}

// report sends the caller a progress notification.
func (e *everything) report(ctx context.Context, token mcp.ProgressToken, done, total int) error {
	return e.mcp.SendNotificationToClient(ctx, string(mcp.MethodNotificationProgress),
		map[string]any{"progressToken": token, "progress": done, "total": total})
}

func (e *everything) reconnection(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	// A client that could not come back is answered on the stream it has.
	if err := server.CloseStream(ctx, pause); err != nil && !errors.Is(err, server.ErrNoStream) {
		return nil, err
	}
	if err := sleep(ctx, 2*pause); err != nil {
		return nil, err
	}
	return text("Reconnection test completed successfully. If you received this, the client properly reconnected after stream closure.")
}

func (e *everything) logEmit(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	level := mcp.LoggingLevel(request.GetString("level", string(mcp.LoggingLevelInfo)))
	return text(fmt.Sprintf("log err=%v", e.log(ctx, level, "x", "a message from "+e.replica)))
}

func (e *everything) multiNotify(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	n, gap, logs := request.GetInt("n", 5), milliseconds(request, "gapms", 100), request.GetBool("log", false)
	for i := 1; i <= n; i++ {
		if i > 1 && gap > 0 {
			if err := sleep(ctx, gap); err != nil {
				return nil, err
			}
		}
		err := e.report(ctx, "t", i, n)
		if err == nil && logs {
			err = e.log(ctx, mcp.LoggingLevelInfo, "", fmt.Sprint(i))
		}
		if err != nil {
			return mcp.NewToolResultErrorFromErr(fmt.Sprintf("report %d of %d", i, n), err), nil
		}
	}
	return text("multi done " + e.replica)
}
