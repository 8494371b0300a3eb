//go:build long

//lint:file-ignore SA1019 what is deprecated is what legacy clients do

package clientstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	mcpgo "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Protocol versions: the latest with sessions, and the first without.
const (
	version = "2025-11-25"
	modern  = "2026-07-28"
)

var (
	user  = map[string]any{"username": "ann", "email": "ann@example.com", "name": "ann"}
	roots = []string{"file:///a", "file:///b"}
)

// progress counts progress notifications by their token.
type progress struct {
	mu  sync.Mutex
	got map[string]int
}

func (p *progress) add(token any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.got == nil {
		p.got = make(map[string]int)
	}
	p.got[fmt.Sprint(token)]++
}

func (p *progress) of(token string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got[token]
}

// tokens are progress tokens that no other call has.
var tokens atomic.Int64

func newToken() string { return fmt.Sprint("token-", tokens.Add(1)) }

// text is the one text in either library's content.
func text(content any) (string, error) {
	raw, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	var texts []struct{ Text string }
	if err := json.Unmarshal(raw, &texts); err != nil || len(texts) != 1 {
		return "", fmt.Errorf("%s is not one text: %v", raw, err)
	}
	return texts[0].Text, nil
}

type mcpGo struct {
	c       *mcpgo.Client
	heard   updates
	reports progress
}

// Elicit, CreateMessage and ListRoots answer what the server asks.
func (*mcpGo) Elicit(context.Context, mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	return &mcp.ElicitationResult{ElicitationResponse: mcp.ElicitationResponse{Action: mcp.ElicitationResponseActionAccept, Content: user}}, nil
}

func (*mcpGo) CreateMessage(context.Context, mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	return &mcp.CreateMessageResult{
		SamplingMessage: mcp.SamplingMessage{Role: mcp.RoleAssistant, Content: mcp.NewTextContent("from mcp-go")},
		Model:           "none",
	}, nil
}

func (*mcpGo) ListRoots(context.Context, mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	result := &mcp.ListRootsResult{}
	for _, uri := range roots {
		result.Roots = append(result.Roots, mcp.Root{URI: uri})
	}
	return result, nil
}

func connectMCPGo(t *testing.T, url string) client {
	t.Helper()
	wire, err := transport.NewStreamableHTTP(url, transport.WithContinuousListening())
	if err != nil {
		t.Fatal(err)
	}
	m := &mcpGo{}
	m.c = mcpgo.NewClient(wire, mcpgo.WithElicitationHandler(m), mcpgo.WithSamplingHandler(m), mcpgo.WithRootsHandler(m), mcpgo.WithProtocolVersion(version))
	t.Cleanup(func() { _ = m.c.Close() })
	m.c.OnNotification(func(n mcp.JSONRPCNotification) {
		switch n.Method {
		case mcp.MethodNotificationResourceUpdated:
			m.heard.add(fmt.Sprint(n.Params.AdditionalFields["uri"]))
		case "notifications/progress":
			m.reports.add(n.Params.AdditionalFields["progressToken"])
		}
	})
	if err := m.c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = version
	request.Params.ClientInfo = mcp.Implementation{Name: "mcp-go", Version: "1"}
	if _, err := m.c.Initialize(t.Context(), request); err != nil {
		t.Fatalf("initialize: %v", err)
	}
	return m
}

func (m *mcpGo) session() string   { return m.c.GetSessionId() }
func (m *mcpGo) updates() *updates { return &m.heard }

func (m *mcpGo) list(ctx context.Context) (names []string, err error) {
	result, err := m.c.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return nil, err
	}
	for _, tool := range result.Tools {
		names = append(names, tool.Name)
	}
	return names, nil
}

func (m *mcpGo) call(ctx context.Context, tool string, args map[string]any) (string, func() int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	token := newToken()
	var request mcp.CallToolRequest
	request.Params.Name, request.Params.Arguments = tool, args
	request.Params.Meta = &mcp.Meta{ProgressToken: token}
	result, err := m.c.CallTool(ctx, request)
	if err != nil {
		return "", nil, err
	}
	s, err := text(result.Content)
	return s, func() int { return m.reports.of(token) }, err
}

func (m *mcpGo) subscribe(ctx context.Context, uri string) error {
	var request mcp.SubscribeRequest
	request.Params.URI = uri
	return m.c.Subscribe(ctx, request)
}

func (m *mcpGo) terminate(context.Context) error { return m.c.Close() }

type goSDK struct {
	s       *gosdk.ClientSession
	heard   updates
	reports progress
}

func connectGoSDK(t *testing.T, url, version string) client {
	t.Helper()
	g := &goSDK{}
	c := gosdk.NewClient(&gosdk.Implementation{Name: "go-sdk", Version: "1"}, &gosdk.ClientOptions{
		ElicitationHandler: func(context.Context, *gosdk.ElicitRequest) (*gosdk.ElicitResult, error) {
			return &gosdk.ElicitResult{Action: "accept", Content: user}, nil
		},
		CreateMessageHandler: func(context.Context, *gosdk.CreateMessageRequest) (*gosdk.CreateMessageResult, error) {
			return &gosdk.CreateMessageResult{Role: "assistant", Model: "none", Content: &gosdk.TextContent{Text: "from go-sdk"}}, nil
		},
		ResourceUpdatedHandler: func(_ context.Context, r *gosdk.ResourceUpdatedNotificationRequest) { g.heard.add(r.Params.URI) },
		ProgressNotificationHandler: func(_ context.Context, r *gosdk.ProgressNotificationClientRequest) {
			g.reports.add(r.Params.ProgressToken)
		},
	})
	for _, uri := range roots {
		c.AddRoots(&gosdk.Root{URI: uri})
	}
	var err error
	g.s, err = c.Connect(t.Context(), &gosdk.StreamableClientTransport{Endpoint: url}, &gosdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = g.s.Close() })
	return g
}

func (g *goSDK) session() string   { return g.s.ID() }
func (g *goSDK) protocol() string  { return g.s.InitializeResult().ProtocolVersion }
func (g *goSDK) updates() *updates { return &g.heard }

func (g *goSDK) list(ctx context.Context) (names []string, err error) {
	result, err := g.s.ListTools(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, tool := range result.Tools {
		names = append(names, tool.Name)
	}
	return names, nil
}

func (g *goSDK) call(ctx context.Context, tool string, args map[string]any) (string, func() int, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	token := newToken()
	params := &gosdk.CallToolParams{Name: tool, Arguments: args}
	params.SetProgressToken(token)
	result, err := g.s.CallTool(ctx, params)
	if err != nil {
		return "", nil, err
	}
	s, err := text(result.Content)
	return s, func() int { return g.reports.of(token) }, err
}

func (g *goSDK) subscribe(ctx context.Context, uri string) error {
	if g.protocol() >= modern { // it does not notice when its stream has ended
		if err := g.s.Unsubscribe(ctx, &gosdk.UnsubscribeParams{URI: uri}); err != nil {
			return err
		}
	}
	return g.s.Subscribe(ctx, &gosdk.SubscribeParams{URI: uri})
}

func (g *goSDK) terminate(context.Context) error {
	if err := g.s.Close(); err != nil && !errors.Is(err, gosdk.ErrConnectionClosed) {
		return err
	}
	return nil
}
