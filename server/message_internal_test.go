package server

import (
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
	`{}`, `[]`, `null`, `7`, `"text"`, ``, `{`, `{"id":1`, `{"id":}`, `{"id" 1}`, `{"id":1]`, `{"method":"ping"}x`, `{"id":1,}`,
	"{\"method\":\"\xff\"}",
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
	hook(srv)
	h := &Handler{mcp: srv}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMessage(text)
		if err != nil {
			return
		}
		call, ok := h.takeApart(&m)
		if !ok {
			return
		}
		var want, got mcp.CallToolRequest
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatalf("%s is taken apart, and MCPServer does not accept it: %v", text, err)
		}
		if err := json.Unmarshal(call.head, &got); err != nil {
			t.Fatalf("the head of %s is %s, which MCPServer does not accept: %v", text, call.head, err)
		}
		if meta := want.Params.Meta; !reflect.DeepEqual(got.Params.Meta, meta) {
			t.Errorf("the head of %s has %v for its _meta %v", text, got.Params.Meta, meta)
		}
		call.fill(&got)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is taken apart as\n%+v, MCPServer reads\n%+v", text, got, want)
		}
		head, err := parseMessage(call.head)
		if err != nil || head.Version != m.Version || head.Method != m.Method || string(head.ID) != string(m.ID) {
			t.Errorf("the head of %s is %s", text, call.head)
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
