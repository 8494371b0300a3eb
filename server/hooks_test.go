package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession/server"
)

const callEcho = `{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hello"},"_meta":{"progressToken":"t"}}}`

// echoing is an endpoint whose tool answers its argument.
func echoing(t *testing.T, options ...mcpserver.ServerOption) (*server.Handler, *mcpserver.MCPServer) {
	t.Helper()
	srv := mcpserver.NewMCPServer("echoing", "1", options...)
	srv.AddTool(mcp.NewTool("echo"), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText(r.GetString("text", "nothing") + " with " + r.Header.Get("X-Test")), nil
	})
	handler, err := server.New(srv, newSpy(t), newBroker(t), server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handler.Shutdown(context.Background()) })
	return handler, srv
}

// wantEcho calls the tool.
func wantEcho(t *testing.T, handler *server.Handler, want string) {
	t.Helper()
	e := &endpoint{Handler: handler}
	id := e.send(http.MethodPost, initialize, nil).Header().Get("Mcp-Session-Id")
	w := e.send(http.MethodPost, callEcho, header("Mcp-Session-Id: "+id, "X-Test: a header"))
	if got := toolText(t, w.Body); got != want {
		t.Errorf("the tool answers %q, want %q", got, want)
	}
}

func TestHooksOfTheApplicationSeeTheCallAsItIs(t *testing.T) {
	hooks := &mcpserver.Hooks{}
	var saw []string
	note := func(who string, id any, r *mcp.CallToolRequest) {
		text, err := json.Marshal([]any{who, id, r.Params.Name, r.GetArguments(), string(r.Params.RawArguments), r.Params.Meta.ProgressToken, r.Header.Get("X-Test")})
		if err != nil {
			t.Fatal(err)
		}
		saw = append(saw, string(text))
	}
	hooks.AddBeforeAny(func(_ context.Context, id any, _ mcp.MCPMethod, message any) {
		if r, ok := message.(*mcp.CallToolRequest); ok {
			note("before any", id, r)
		}
	})
	hooks.AddBeforeCallTool(func(_ context.Context, id any, r *mcp.CallToolRequest) { note("before", id, r) })
	hooks.AddAfterCallTool(func(_ context.Context, id any, r *mcp.CallToolRequest, _ any) { note("after", id, r) })
	handler, _ := echoing(t, mcpserver.WithHooks(hooks))
	wantEcho(t, handler, "hello with a header")
	want := ` 9 echo {"text":"hello"} {"text":"hello"} t a header`
	for i, who := range []string{"before any", "before", "after"} {
		w := `["` + who + `",9,"echo",{"text":"hello"},"{\"text\":\"hello\"}","t","a header"]`
		if len(saw) != 3 || saw[i] != w {
			t.Errorf("the hooks saw %v, want three times%s", saw, want)
		}
	}
}

func TestAHookThatIsShownTheMessageSeesAllOfIt(t *testing.T) {
	hooks := &mcpserver.Hooks{}
	var saw []string
	hooks.AddOnRequestInitialization(func(_ context.Context, _ any, message any) error {
		saw = append(saw, string(message.(json.RawMessage)))
		return nil
	})
	handler, _ := echoing(t, mcpserver.WithHooks(hooks))
	wantEcho(t, handler, "hello with a header")
	if last := saw[len(saw)-1]; last != callEcho {
		t.Errorf("the hook was shown %s, want %s", last, callEcho)
	}
}

func TestCallsWorkWhenTheApplicationReplacesTheHooks(t *testing.T) {
	handler, srv := echoing(t)
	mcpserver.WithHooks(&mcpserver.Hooks{})(srv)
	wantEcho(t, handler, "hello with ") // headers come through a hook alone
}

func TestAMetaPropagatorSeesTheMeta(t *testing.T) {
	p := &propagator{}
	handler, _ := echoing(t, mcpserver.WithMetaPropagator(p))
	wantEcho(t, handler, "hello with a header")
	if !strings.Contains(strings.Join(p.saw, " "), "t") {
		t.Errorf("the propagator saw the tokens %q, want t", p.saw)
	}
}

type propagator struct{ saw []string }

func (p *propagator) ExtractMeta(ctx context.Context, meta *mcp.Meta) context.Context {
	if meta != nil {
		token, _ := meta.ProgressToken.(string)
		p.saw = append(p.saw, token)
	}
	return ctx
}

func (p *propagator) InjectMeta(_ context.Context, meta *mcp.Meta) *mcp.Meta { return meta }
