package server_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/server"
)

// A counter that each client has to itself.
func ExampleNew() {
	mcpServer := mcpserver.NewMCPServer("counter", "1.0.0")
	mcpServer.AddTool(mcp.NewTool("count"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		session, ok := mcpsession.FromContext(ctx)
		if !ok {
			return mcp.NewToolResultError("this tool needs a client with a session"), nil
		}
		n, _, err := mcpsession.Get[int](session, "n")
		if err != nil {
			return nil, err
		}
		return mcp.NewToolResultText(fmt.Sprint(n + 1)), session.Set(ctx, "n", n+1)
	})
	store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	broker := memstore.NewBroker()
	defer broker.Close()
	handler, err := server.New(mcpServer, store, broker, server.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer handler.Shutdown(context.Background())
	listener := httptest.NewServer(handler) // or http.Handle("/mcp", handler)
	defer listener.Close()

	alice, bob := dial(listener.URL), dial(listener.URL)
	fmt.Println("alice:", call(alice, "count"), call(alice, "count"), call(alice, "count"))
	fmt.Println("bob:", call(bob, "count"))
	// Output:
	// alice: 1 2 3
	// bob: 1
}

// dial connects a client of mcp-go.
func dial(url string) *client.Client {
	c, err := client.NewStreamableHttpClient(url)
	if err != nil {
		log.Fatal(err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	if _, err := c.Initialize(context.Background(), hello); err != nil {
		log.Fatal(err)
	}
	return c
}

func call(c *client.Client, tool string) string {
	var request mcp.CallToolRequest
	request.Params.Name = tool
	result, err := c.CallTool(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	return mcp.GetTextFromContent(result.Content[0])
}
