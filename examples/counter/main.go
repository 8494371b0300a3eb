// Command counter is an MCP server of one tool, which counts its calls in the
// session of the client that makes them. With REDIS_URL set, any number of
// copies of it share the sessions.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/mcpsession/mcpsession/server"
)

func main() {
	store, broker, err := open(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	srv := mcpserver.NewMCPServer("counter", "1.0.0")
	srv.AddTool(mcp.NewTool("count", mcp.WithDescription("Counts its calls in this session.")), count)
	handler, err := server.New(srv, store, broker, server.Options{})
	if err != nil {
		log.Fatal(err)
	}
	addr := os.Getenv("LISTEN_ADDR")
	if addr == "" {
		addr = "127.0.0.1:8080"
	}
	log.Printf("serving MCP at http://%s/mcp", addr)
	http.Handle("/mcp", handler)
	log.Fatal(http.ListenAndServe(addr, nil))
}

// open returns what keeps the sessions, and what carries messages between the
// copies of this program: both Redis, or both this process's memory.
func open(ctx context.Context) (mcpsession.SessionStore, mcpsession.Broker, error) {
	limits := mcpsession.DefaultLimits()
	url := os.Getenv("REDIS_URL")
	if url == "" {
		store, err := memstore.New(limits, memstore.DefaultMaxSessions)
		return store, memstore.NewBroker(), err
	}
	store, err := redisstore.Open(ctx, url, redisstore.Options{Limits: limits})
	if err != nil {
		return nil, nil, err
	}
	broker, err := redisstore.NewBroker(ctx, store)
	return store, broker, err
}

func count(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	session, ok := mcpsession.FromContext(ctx)
	if !ok {
		return mcp.NewToolResultError("this tool needs a session"), nil
	}
	n, _, err := mcpsession.Get[int](session, "n")
	if err != nil {
		return nil, err
	}
	if err := session.Set(ctx, "n", n+1); err != nil { // stored, for all replicas, when it returns
		return nil, err
	}
	return mcp.NewToolResultText(strconv.Itoa(n + 1)), nil
}
