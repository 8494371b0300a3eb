package handle_test

import (
	"context"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/memstore"
)

// A counter whose sessions clients of both protocol eras can use.
func Example() {
	store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	sessions := handle.New(store, handle.Options{Begin: "begin", Limits: mcpsession.DefaultLimits()})
	srv := mcpserver.NewMCPServer("counter", "1.0.0")

	srv.AddTool(mcp.NewTool("begin", mcp.WithDescription("Begins a count and answers its handle as text. "+sessions.Lifetime())),
		func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			live, err := sessions.Begin(ctx, mcpsession.Session{})
			if err != nil {
				return sessions.Failure("begin", err), nil
			}
			return mcp.NewToolResultText(live.ID().Token()), nil
		})

	// The one line that gives a tool its session argument.
	srv.AddTool(sessions.Tool(mcp.NewTool("count", mcp.WithDescription("Counts by one.")), count))

	description := srv.GetTool("count").Tool.InputSchema.Properties["session"].(map[string]any)["description"]
	fmt.Println(description)
	// Output:
	// Session handle, as answered by begin. Leave it out to use your client's own session, if it has one. A session ends when it is unused for 1 day, and at the latest 7 days after it was created.
}

func count(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	session, ok := mcpsession.FromContext(ctx)
	if !ok {
		return mcp.NewToolResultError("no session"), nil
	}
	n, _, err := mcpsession.Get[int](session, "n")
	if err == nil {
		err = session.Set(ctx, "n", n+1)
	}
	return mcp.NewToolResultText(fmt.Sprint(n + 1)), err
}
