package server

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// texts are messages as clients write them, and as nobody should.
var texts = []string{
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a \"quoted\" {brace}"}}}`,
	" {\n\t\"method\" : \"ping\" , \"id\":\"x\",\r\n\"jsonrpc\":\"2.0\" } ",
	`{"jsonrpc":"2.0","id":-1.5e3,"method":"tools/call","params":{"name":"a","arguments":[1,[2,{"b":"]}"}],null],"_meta":{"progressToken":7}}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":null,"_meta":null,"task":null}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","task":{"ttl":5},"requestState":"s","inputResponses":{"k":{"action":"accept"}}}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":12345678901234567890}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Arguments":{"x":1},"extra":true}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\u0061ä"}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":5}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"n\u0061me":"a"}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call"}`,
	`{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call"}`,
	`{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`,
	`{"jsonrpc":"2.0","id":1,"m\u0065thod":"ping"}`,
	`{"jsonrpc":"2.0","id":1,"result":{},"error":null}`,
	`{"jsonrpc":"2.0","id":null,"method":null}`,
	`{"jsonrpc":"2.0","id":1,"method":7}`,
	modernText(`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"n","version":"1"}`),
	modernText(`"io.modelcontextprotocol/clientCapabilities":{"sampling":{"x":[1]}},"io.modelcontextprotocol/logLevel":"info","traceparent":"00","progressToken":"p","x":{"}":1}`),
	modernText(`"io.modelcontextprotocol/clientCapabilities":null`),
	modernText(`"io.modelcontextprotocol/clientCapabilities":7`),
	modernText(`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":7,"io.modelcontextprotocol/logLevel":7`),
	modernText(`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/protocolVersion":"2025-11-25"`),
	modernText(`"x":1`),
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_META":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"_meta":{"IO.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`,
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"_meta\":{\"io.modelcontextprotocol/protocolVer\u017fion\":\"2026-07-28\"}}}",
	`{}`, `[]`, `null`, `7`, `"text"`, ``, `{`, `{"id":1`, `{"id":}`, `{"id" 1}`, `{"id":1]`, `{"method":"ping"}x`, `{"id":1,}`,
	"{\"method\":\"\xff\"}",
}

func modernText(meta string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` + meta + `}}}`
}

func FuzzAMessageIsReadAsByEncodingJSON(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := message{raw: text}
		wantErr := json.Unmarshal(text, &want)
		if wantErr == nil && string(want.Error) == "null" {
			want.Error = nil
		}
		if wantErr == nil && want.ID != nil && !want.isResponse() {
			wantErr = checkID(want.ID)
		}
		got, err := parseMessage(text)
		if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %q, %v; encoding/json reads %q, %v", text, got, err, want, wantErr)
		}
	})
}

func FuzzAToolCallTakenApartIsAsMCPServerReadsIt(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	srv := mcpserver.NewMCPServer("test", "1")
	srv.AddTool(mcp.NewTool("a"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultText("done"), nil
	})
	hook(srv)
	h := &Handler{mcp: srv}
	// sight is all that the application can see of a call.
	type sight struct {
		ID           any
		Request      mcp.CallToolRequest
		Protocol     *mcpserver.RequestProtocolInfo
		Info         mcp.Implementation
		Capabilities mcp.ClientCapabilities
	}
	var saw []sight
	srv.GetHooks().AddBeforeCallTool(func(ctx context.Context, id any, r *mcp.CallToolRequest) {
		s := mcpserver.ClientSessionFromContext(ctx).(*clientSession)
		saw = append(saw, sight{id, *r, mcpserver.RequestProtocolInfoFromContext(ctx), s.GetClientInfo(), s.GetClientCapabilities()})
	})
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMessage(text)
		if err != nil {
			return
		}
		if _, ok := h.takeApart(&m); !ok {
			return
		}
		saw = nil
		handle := func(do func(context.Context, *clientSession) mcp.JSONRPCMessage) string {
			s := &clientSession{h: h, ctx: t.Context(), id: "x"}
			answer, err := json.Marshal(do(srv.WithContext(t.Context(), s), s))
			if err != nil {
				t.Fatal(err)
			}
			return string(answer)
		}
		want := handle(func(ctx context.Context, _ *clientSession) mcp.JSONRPCMessage { return srv.HandleMessage(ctx, m.raw) })
		got := handle(func(ctx context.Context, s *clientSession) mcp.JSONRPCMessage { return h.handle(ctx, s, &m) })
		if got != want {
			t.Errorf("%s is answered\n%s, and whole\n%s", text, got, want)
		}
		if len(saw) == 1 || len(saw) == 2 && !reflect.DeepEqual(saw[0], saw[1]) {
			t.Errorf("of %s the application sees\n%+v, and whole\n%+v", text, saw[1:], saw[:1])
		}
	})
}

func FuzzTheVersionIsReadAsByMCPServer(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMessage(text)
		if err != nil {
			return
		}
		var want struct {
			Params struct {
				Meta *mcp.Meta `json:"_meta"`
			} `json:"params"`
		}
		version := ""
		if json.Unmarshal(text, &want) == nil {
			version = want.Params.Meta.ProtocolVersion()
		}
		if got := metaVersion(&m); got != version {
			t.Errorf("the version of %s is read as %q, MCPServer reads %q", text, got, version)
		}
	})
}

func TestOrdinaryCallsAreTakenApart(t *testing.T) {
	srv := mcpserver.NewMCPServer("test", "1")
	hook(srv)
	h := &Handler{mcp: srv}
	for i, want := range []bool{true, false, true, true, true, true, false, false, false} {
		m, err := parseMessage([]byte(texts[i]))
		if err != nil {
			t.Fatal(err)
		}
		if _, got := h.takeApart(&m); got != want {
			t.Errorf("%s is taken apart: %v, want %v", texts[i], got, want)
		}
	}
}
