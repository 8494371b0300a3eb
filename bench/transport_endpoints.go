package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/redisstore"
	mcphttp "github.com/mcpsession/mcpsession/server"
)

// Names of the endpoints, as the table prints them.
const (
	onMemory  = "ours on memstore"
	onRedis   = "ours on Redis"
	theirs    = "mcp-go"
	goSDK     = "go-sdk"
	stateless = "go-sdk, stateless"
	bareEcho  = "net/http JSON echo"
	redisAddr = "BENCH_REDIS" // names the redis-server of onRedis, in the environment
)

// An endpoint is an MCP server whose tool echo answers its argument text.
type endpoint struct {
	handler   http.Handler
	notify    func(ctx context.Context, session, method string, params map[string]any) error // nil if it cannot
	broadcast func(method string, params map[string]any)                                     // nil if it cannot
	close     func() error
}

// endpoints are what one process can serve. All but the last have sessions.
var endpoints = map[string]func(context.Context) (endpoint, error){
	onMemory:  serveMemory,
	onRedis:   serveRedis,
	theirs:    serveMCPGo,
	goSDK:     serveGoSDK,
	stateless: serveStateless,
	bareEcho:  serveBare,
}

// newMCPServer is what ours and mcp-go's transport have in common. The sessions
// of handles are in store.
func newMCPServer(store mcpsession.SessionStore) *mcpserver.MCPServer {
	s := mcpserver.NewMCPServer("bench", "1.0.0", mcpserver.WithToolCapabilities(true))
	tool := mcp.NewTool("echo", mcp.WithDescription("answers its argument"), mcp.WithString("text", mcp.Required()))
	s.AddTool(tool, func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(r.GetString("text", "")), nil
	})
	sessions := handle.New(store, handle.Options{Begin: "begin"})
	s.AddTool(mcp.NewTool("begin"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		live, err := sessions.Begin(ctx, newSession(0))
		if err != nil {
			return nil, err
		}
		return mcp.NewToolResultText(live.ID().Token()), nil
	})
	kept := tool
	kept.Name = "kept" // as echo, with a session that a handle names
	s.AddTool(sessions.Tool(kept, func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if _, ok := mcpsession.FromContext(ctx); !ok {
			return nil, errors.New("no session")
		}
		return mcp.NewToolResultText(r.GetString("text", "")), nil
	}))
	// announce says something before it answers, so that its response is a stream.
	s.AddTool(mcp.NewTool("announce"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		err := s.SendNotificationToClient(ctx, "notifications/message", map[string]any{"level": "info", "data": "soon"})
		return mcp.NewToolResultText(echoed), err
	})
	return s
}

func serveMemory(context.Context) (endpoint, error) {
	store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
	if err != nil {
		return endpoint{}, err
	}
	return serveOurs(store, memstore.NewBroker())
}

func serveRedis(ctx context.Context) (endpoint, error) {
	store, err := redisstore.Open(ctx, "redis://"+os.Getenv(redisAddr), redisstore.Options{Limits: mcpsession.DefaultLimits()})
	if err != nil {
		return endpoint{}, err
	}
	broker, err := redisstore.NewBroker(ctx, store)
	if err != nil {
		return endpoint{}, errors.Join(err, store.Close())
	}
	return serveOurs(store, broker)
}

func serveOurs(store interface {
	mcpsession.SessionStore
	io.Closer
}, broker interface {
	mcpsession.Broker
	io.Closer
}) (endpoint, error) {
	s := newMCPServer(store)
	h, err := mcphttp.New(s, store, broker, mcphttp.Options{})
	if err != nil {
		return endpoint{}, errors.Join(err, broker.Close(), store.Close())
	}
	return endpoint{
		handler: h,
		notify: func(ctx context.Context, session, method string, params map[string]any) error {
			id, err := mcpsession.ParseSessionID(session)
			if err != nil {
				return err
			}
			return h.Notify(ctx, id.Ref(), method, params)
		},
		broadcast: s.SendNotificationToAllClients,
		close: func() error {
			return errors.Join(h.Shutdown(context.Background()), broker.Close(), store.Close())
		},
	}, nil
}

func serveMCPGo(context.Context) (endpoint, error) {
	store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
	if err != nil {
		return endpoint{}, err
	}
	s := newMCPServer(store)
	return endpoint{
		handler: mcpserver.NewStreamableHTTPServer(s, mcpserver.WithStateful(true),
			mcpserver.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler))),
		notify: func(_ context.Context, session, method string, params map[string]any) error {
			return s.SendNotificationToSpecificClient(session, method, params)
		},
		broadcast: s.SendNotificationToAllClients,
		close:     store.Close,
	}, nil
}

// serveGoSDK answers with JSON, as the others do: its default, an event stream
// for each call, costs it more.
func serveGoSDK(context.Context) (endpoint, error) { return serveGoSDKWith(false) }

// serveStateless is without sessions of the protocol, as the go-sdk serves
// 2026-07-28.
func serveStateless(context.Context) (endpoint, error) { return serveGoSDKWith(true) }

func serveGoSDKWith(stateless bool) (endpoint, error) {
	store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
	if err != nil {
		return endpoint{}, err
	}
	s := gosdk.NewServer(&gosdk.Implementation{Name: "bench", Version: "1.0.0"}, nil)
	schema := json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"},"session":{"type":"string"}},"required":["text"]}`)
	s.AddTool(&gosdk.Tool{Name: "echo", Description: "answers its argument", InputSchema: schema}, goSDKEcho(nil))
	s.AddTool(&gosdk.Tool{Name: "kept", Description: "answers its argument", InputSchema: schema}, goSDKEcho(store))
	s.AddTool(&gosdk.Tool{Name: "begin", InputSchema: json.RawMessage(`{"type":"object"}`)},
		func(ctx context.Context, _ *gosdk.CallToolRequest) (*gosdk.CallToolResult, error) {
			id := mcpsession.NewHandle()
			_, err := store.Create(ctx, id, newSession(0))
			return &gosdk.CallToolResult{Content: []gosdk.Content{&gosdk.TextContent{Text: id.Token()}}}, err
		})
	return endpoint{
		handler: gosdk.NewStreamableHTTPHandler(func(*http.Request) *gosdk.Server { return s },
			&gosdk.StreamableHTTPOptions{JSONResponse: true, Stateless: stateless}),
		close: store.Close,
	}, nil
}

// goSDKEcho answers its argument, and opens the session of the handle if there
// is a store.
func goSDKEcho(store mcpsession.SessionStore) gosdk.ToolHandler {
	return func(ctx context.Context, r *gosdk.CallToolRequest) (*gosdk.CallToolResult, error) {
		var arguments struct {
			Text    string `json:"text"`
			Session string `json:"session"`
		}
		if err := json.Unmarshal(r.Params.Arguments, &arguments); err != nil {
			return nil, err
		}
		if store != nil {
			id, err := mcpsession.ParseHandle(arguments.Session)
			if err != nil {
				return nil, err
			}
			if _, err := store.Get(ctx, id); err != nil {
				return nil, err
			}
		}
		return &gosdk.CallToolResult{Content: []gosdk.Content{&gosdk.TextContent{Text: arguments.Text}}}, nil
	}
}

// serveBare is the floor: it decodes the call and encodes the result, and knows
// no protocol and no session.
func serveBare(context.Context) (endpoint, error) {
	type content struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	type result struct {
		Content []content `json:"content"`
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		var call struct {
			ID     json.RawMessage `json:"id"`
			Params struct {
				Arguments struct {
					Text string `json:"text"`
				} `json:"arguments"`
			} `json:"params"`
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &call)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		text, err := json.Marshal(struct {
			JSONRPC string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Result  result          `json:"result"`
		}{"2.0", call.ID, result{[]content{{"text", call.Params.Arguments.Text}}}})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // the client may be gone
	}
	return endpoint{handler: http.HandlerFunc(handler), close: func() error { return nil }}, nil
}
