package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/internal/mcptest"
	"github.com/mcpsession/mcpsession/server"
)

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// serving is an endpoint of srv.
func serving(t *testing.T, srv *mcpserver.MCPServer) *endpoint {
	t.Helper()
	store := newSpy(t)
	handler, err := server.New(srv, store, newBroker(t), server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handler.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return &endpoint{Handler: handler, store: store}
}

func TestAHandlerCanCallAnotherTool(t *testing.T) {
	srv := mcpserver.NewMCPServer("test", "1")
	var ran atomic.Int32
	srv.AddTool(mcp.NewTool("inner"), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("inner " + r.GetString("x", "")), nil
	})
	srv.AddTool(mcp.NewTool("outer"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if ran.Add(1) > 1 {
			return mcp.NewToolResultError("outer called itself"), nil
		}
		inner := mcpserver.ServerFromContext(ctx).HandleMessage(ctx,
			[]byte(`{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"name":"inner","arguments":{"x":"y"}}}`))
		answer, ok := inner.(mcp.JSONRPCResponse)
		if !ok {
			return nil, fmt.Errorf("%+v", inner)
		}
		return answer.Result.(*mcp.CallToolResult), nil
	})
	e := serving(t, srv)
	id := e.begin(t)
	w := e.send(http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"outer","arguments":{}}}`, header("Mcp-Session-Id: "+id))
	if got := toolText(t, w.Body); got != "inner y" {
		t.Errorf("outer answers %q", got)
	}
}

func TestABatchHasNoModernMessages(t *testing.T) {
	e := serving(t, mcpserver.NewMCPServer("test", "1", mcpserver.WithToolCapabilities(true)))
	w := e.send(http.MethodPost, strings.Replace(initialize, "2025-11-25", "2025-03-26", 1), nil)
	id := w.Header().Get("Mcp-Session-Id")
	for _, message := range []string{
		`{"jsonrpc":"2.0","id":5,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},` + modernMeta + `}}`,
		`{"jsonrpc":"2.0","id":5,"method":"tools/list","params":{` + modernMeta + `}}`,
		`{"jsonrpc":"2.0","method":"notifications/x","params":{` + modernMeta + `}}`,
	} {
		w := e.send(http.MethodPost, `[{"jsonrpc":"2.0","id":4,"method":"ping"},`+message+`]`, header("Mcp-Session-Id: "+id))
		if w.Code != http.StatusBadRequest {
			t.Errorf("a batch with %s is answered %d: %s", message, w.Code, w.Body)
		}
	}
}

func TestWhatIsCheckedIsWhatRuns(t *testing.T) {
	srv := mcpserver.NewMCPServer("test", "1")
	srv.AddTool(mcp.NewToolWithRawSchema("q", "", []byte(`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}`)),
		func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return mcp.NewToolResultText("ran in " + r.GetString("region", "none")), nil
		})
	e := serving(t, srv)
	for _, params := range []string{
		`"params":{"name":"q","arguments":{"region":"us"},` + modernMeta + `}`,
		`"params":{"arguments":{"region":"us"}},"params":{"name":"q",` + modernMeta + `}`,
		`"params":{"arguments":{"region":"us"}},"params":{"name":"q","x":1,` + modernMeta + `}`,
		`"params":{"name":"q","x":1,"arguments":{"region":"eu"},"Arguments":{"region":"us"},` + modernMeta + `}`,
		`"params":{"name":"q",` + modernMeta + `}`,
	} {
		w := e.send(http.MethodPost, `{"jsonrpc":"2.0","id":1,"method":"tools/call",`+params+`}`,
			header("Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: q", "Mcp-Param-Region: eu"))
		if w.Code == http.StatusOK && toolText(t, w.Body) != "ran in eu" || w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("with a header that says eu, %s is answered %d: %s", params, w.Code, w.Body)
		}
	}
}

func TestAHandlerMayChangeItsArguments(t *testing.T) {
	srv := mcpserver.NewMCPServer("test", "1")
	srv.AddTool(mcp.NewTool("q"), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		raw := r.Params.RawArguments
		raw[0] = '['
		return mcp.NewToolResultText(string(append(raw[:len(raw)-1], `,"by":"me 12345678901234567890"}`...))), nil
	})
	e := serving(t, srv)
	w := e.send(http.MethodPost, `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"q","arguments":{"a":1}},"id":"my-request"}`, header("Mcp-Session-Id: "+e.begin(t)))
	if !strings.HasPrefix(w.Body.String(), `{"jsonrpc":"2.0","id":"my-request",`) {
		t.Errorf("the answer is %s", w.Body)
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	e := serving(t, mcpserver.NewMCPServer("test", "1"))
	for _, body := range []string{`{}`, `null`, `5`, `{"jsonrpc":"2.0","id":1}`, `{"jsonrpc":"1.0","method":"x"}`, `{"jsonrpc":"1.0","id":1,"method":"tools/list","params":{` + modernMeta + `}}`} {
		if w := e.send(http.MethodPost, body, modernHeader()); w.Code != http.StatusBadRequest {
			t.Errorf("%s is answered %d: %s", body, w.Code, w.Body)
		}
	}
}

func TestASubscriptionIDKeepsItsDigits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, handler := newListenable(t, newBroker(t), mcpserver.WithToolCapabilities(true))
		const id = "9007199254740993"
		l := listening(t.Context(), handler, id, `{"toolsListChanged":true}`)
		synctest.Wait()
		srv.AddTool(mcp.NewTool("new"), nil)
		synctest.Wait()
		handler.EndStreams()
		<-l.done
		if got := strings.Count(l.take(), `"io.modelcontextprotocol/subscriptionId":`+id); got != 3 {
			t.Errorf("%d of 3 messages have the id", got)
		}
		if err := handler.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestASessionEndedByItsHandleEndsEverywhere(t *testing.T) {
	r := startReplicas(t, 2, server.Options{})
	sessions := handle.New(r.store, handle.Options{Begin: "begin"})
	for _, srv := range r.servers {
		srv.AddTool(sessions.Tool(mcp.NewTool("end"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			live, _ := mcpsession.FromContext(ctx)
			return mcp.NewToolResultText("ended"), live.End(ctx)
		}))
		srv.AddTool(mcp.NewTool("share"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			live, _ := mcpsession.FromContext(ctx)
			id, err := live.Share(ctx)
			return mcp.NewToolResultText(id.Token()), err
		})
	}
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	shared := s.Call(r.urls[0], "share", `{}`)
	stream := s.Listen(r.urls[0], "")
	call, id := s.Start(r.urls[0], "wait", `{}`)
	// Long before the stream looks by itself.
	if got := mcptest.NewModern(t).Call(r.urls[1], "end", fmt.Sprintf(`{"session":%q}`, shared)); got != "ended" {
		t.Fatalf("end answers %q", got)
	}
	ended := time.Now()
	stream.WantEnd()
	if final, _ := call.Final(id); !strings.Contains(final.Text(t), "the session ended") {
		t.Errorf("a call of a session that ended answers %s", final.Raw)
	}
	if took := time.Since(ended); took > 10*time.Second {
		t.Errorf("a session's streams and calls ended %v after it", took)
	}
}
