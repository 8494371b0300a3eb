// Command cart is an MCP server with a shopping cart: a model creates one, passes
// its handle on, adds items and checks out. Clients of every protocol version use
// the same tools. With REDIS_URL set, any number of copies of it share the carts.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/mcpsession/mcpsession/server"
)

func main() {
	store, broker, err := open(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	handler, err := server.New(newCart(store), store, broker, server.Options{})
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

// open returns what keeps the carts, and what carries messages between the
// copies of this program: both Redis, or both this process's memory.
func open(ctx context.Context) (mcpsession.SessionStore, mcpsession.Broker, error) {
	url := os.Getenv("REDIS_URL")
	if url == "" {
		store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
		return store, memstore.NewBroker(), err
	}
	store, err := redisstore.Open(ctx, url, redisstore.Options{Limits: mcpsession.DefaultLimits()})
	if err != nil {
		return nil, nil, err
	}
	broker, err := redisstore.NewBroker(ctx, store)
	return store, broker, err
}

// newCart makes the MCP server. A cart is a session that is reached by a handle.
func newCart(store mcpsession.SessionStore) *mcpserver.MCPServer {
	carts := handle.New(store, handle.Options{Begin: "create_cart", Limits: mcpsession.DefaultLimits()})
	srv := mcpserver.NewMCPServer("cart", "1.0.0")

	srv.AddTool(mcp.NewTool("create_cart", mcp.WithDescription("Creates an empty cart and answers its handle as text. "+carts.Lifetime())),
		func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			cart, err := carts.Begin(ctx, mcpsession.Session{})
			if err != nil {
				return carts.Failure("create_cart", err), nil
			}
			return mcp.NewToolResultText(cart.ID().Token()), nil
		})

	item := mcp.WithString("item", mcp.Required(), mcp.Description("What to buy, for instance an apple."))
	srv.AddTool(carts.Tool(mcp.NewTool("add_item", mcp.WithDescription("Adds an item to a cart."), item),
		func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			cart, _ := mcpsession.FromContext(ctx)
			if err := add(ctx, cart, request.GetString("item", "")); err != nil {
				return carts.Failure("add_item", err), nil
			}
			return mcp.NewToolResultText(strings.Join(items(cart), ", ")), nil
		}))

	srv.AddTool(carts.Tool(mcp.NewTool("checkout", mcp.WithDescription("Buys what is in a cart, which ends with that.")),
		func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			cart, _ := mcpsession.FromContext(ctx)
			if err := sell(ctx, cart); err != nil { // of several at once, one succeeds
				return carts.Failure("checkout", err), nil
			}
			if err := cart.End(ctx); err != nil {
				return carts.Failure("checkout", err), nil
			}
			return mcp.NewToolResultText("bought " + strings.Join(items(cart), ", ")), nil
		}))
	return srv
}
