package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	mcpgo "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession/integration/internal/replica"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

func TestMain(m *testing.M) { os.Exit(replica.Main(m)) }

const (
	legacy = "2025-11-25"
	modern = "2026-07-28"
)

// callTimeout bounds one tool call, so that no test hangs.
const callTimeout = 20 * time.Second

// agent is a client of one session. Once it was answered a handle, it passes it
// on, as tools ask a model to.
type agent struct {
	t      testing.TB
	invoke func(ctx context.Context, tool string, args map[string]any) (result, error)
	handle string
}

// result is what a tool answered: structured content, or an error's text.
type result struct {
	content map[string]any
	failure string
}

// kinds are the clients that nobody here wrote, in both eras.
var kinds = []struct {
	name    string
	connect func(t testing.TB, url, version string) *agent
	version string
}{
	{"mcp-go legacy", connectMCPGo, legacy},
	{"mcp-go modern", connectMCPGo, modern},
	{"go-sdk legacy", connectGoSDK, legacy},
	{"go-sdk modern", connectGoSDK, modern},
}

func connectMCPGo(t testing.TB, url, version string) *agent {
	t.Helper()
	trans, err := mcpgo.NewStreamableHttpClient(url + "/mcp")
	if err != nil {
		t.Fatal(err)
	}
	c := mcpgo.NewClient(trans.GetTransport(), mcpgo.WithProtocolVersion(version))
	t.Cleanup(func() { _ = c.Close() }) // the server may be gone by then
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var request mcp.InitializeRequest
	request.Params.ProtocolVersion = version
	request.Params.ClientInfo = mcp.Implementation{Name: "mcp-go", Version: "1"}
	if _, err := c.Initialize(ctx, request); err != nil {
		t.Fatalf("initialize: %v", err)
	}
	if got := c.ProtocolVersion(); got != version {
		t.Fatalf("mcp-go client negotiated %s, want %s", got, version)
	}
	return &agent{t: t, invoke: func(ctx context.Context, tool string, args map[string]any) (result, error) {
		var request mcp.CallToolRequest
		request.Params.Name, request.Params.Arguments = tool, args
		r, err := c.CallTool(ctx, request)
		if err != nil {
			return result{}, err
		}
		return asResult(r.IsError, r.StructuredContent, r.Content)
	}}
}

func connectGoSDK(t testing.TB, url, version string) *agent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	c := gosdk.NewClient(&gosdk.Implementation{Name: "go-sdk", Version: "1"}, nil)
	s, err := c.Connect(ctx, &gosdk.StreamableClientTransport{Endpoint: url + "/mcp"}, &gosdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() }) // the server may be gone by then
	if got := s.InitializeResult().ProtocolVersion; got != version {
		t.Fatalf("go-sdk client negotiated %s, want %s", got, version)
	}
	return &agent{t: t, invoke: func(ctx context.Context, tool string, args map[string]any) (result, error) {
		r, err := s.CallTool(ctx, &gosdk.CallToolParams{Name: tool, Arguments: args})
		if err != nil {
			return result{}, err
		}
		return asResult(r.IsError, r.StructuredContent, r.Content)
	}}
}

// asResult reads either library's result.
func asResult(isError bool, structured, content any) (result, error) {
	if isError {
		text, err := json.Marshal(content)
		return result{failure: string(text)}, err
	}
	raw, err := json.Marshal(structured)
	if err != nil {
		return result{}, err
	}
	var r result
	if err := json.Unmarshal(raw, &r.content); err != nil {
		return result{}, fmt.Errorf("structured content %s: %w", raw, err)
	}
	return r, nil
}

// try calls a tool. It is safe to use from several goroutines once the agent
// has its session.
func (a *agent) try(tool string, args map[string]any) (result, error) {
	ctx, cancel := context.WithTimeout(a.t.Context(), callTimeout)
	defer cancel()
	args = maps.Clone(args)
	if args == nil {
		args = map[string]any{}
	}
	if a.handle != "" {
		args["session"] = a.handle
	}
	return a.invoke(ctx, tool, args)
}

// call calls a tool that must succeed, and returns its structured content.
func (a *agent) call(tool string, args map[string]any) map[string]any {
	a.t.Helper()
	r, err := a.try(tool, args)
	if err != nil || r.failure != "" {
		a.t.Fatalf("%s(%v): %v %s", tool, args, err, r.failure)
	}
	if handle, ok := r.content["session"].(string); ok {
		a.handle = handle
	}
	return r.content
}

// worksIn fails the test unless the agent's session has this directory.
func (a *agent) worksIn(directory string) {
	a.t.Helper()
	if got := a.call("get_working_directory", nil)["working_directory"]; got != directory {
		a.t.Errorf("working directory is %v, want %s", got, directory)
	}
}

// checkout makes a directory with a project config at its root, and returns a
// directory within it.
func checkout(t testing.TB, name string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	within := filepath.Join(root, "src", "pkg")
	config := filepath.Join(root, ".codebase-mcp")
	for _, dir := range []string{within, config} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf(`{"version": "1.0", "project": {"name": %q}}`, name)
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return within
}
