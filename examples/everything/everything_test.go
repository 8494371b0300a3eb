package main

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/memstore"
)

// The conformance suite looks at the fixtures. These are the other tools, called
// without a transport.

func newTestEverything(t *testing.T) *everything {
	t.Helper()
	store, err := memstore.New(mcpsession.DefaultLimits(), 10)
	if err != nil {
		t.Fatal(err)
	}
	broker := memstore.NewBroker()
	t.Cleanup(func() { store.Close(); broker.Close() })
	states, err := newStates(broker)
	if err != nil {
		t.Fatal(err)
	}
	return newEverything("A", handle.New(store, handle.Options{Begin: "begin_session"}), states)
}

// connect connects a client of its own to the server, and returns what it is
// notified of.
func connect(t *testing.T, e *everything) (*mcpclient.Client, func() string) {
	t.Helper()
	c, err := mcpclient.NewInProcessClient(e.mcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var mu sync.Mutex
	var notified strings.Builder
	c.OnNotification(func(n mcp.JSONRPCNotification) {
		text, err := json.Marshal(n)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		notified.Write(text)
	})
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	hello.Params.ClientInfo.Name = "tester"
	if _, err := c.Initialize(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	return c, func() string {
		mu.Lock()
		defer mu.Unlock()
		return notified.String()
	}
}

func call(ctx context.Context, t *testing.T, c *mcpclient.Client, tool, arguments string) string {
	t.Helper()
	var request mcp.CallToolRequest
	request.Params.Name = tool
	if err := json.Unmarshal([]byte(arguments), &request.Params.Arguments); err != nil {
		t.Fatal(err)
	}
	result, err := c.CallTool(ctx, request)
	if err != nil {
		return err.Error()
	}
	return mcp.GetTextFromContent(result.Content[0])
}

func TestToolsAnswerAsTheirDescriptionsSay(t *testing.T) {
	e := newTestEverything(t)
	c, notified := connect(t, e)
	for _, test := range []struct{ tool, arguments, answers, notifies string }{
		{"whoami", `{}`, `"replica":"A"`, ""},
		{"whoami", `{}`, `"client":"tester","elicitation":false,"sampling":false,"level":"error","pv":"2025-11-25","xhdr":""`, ""},
		{"slow", `{"ms":1}`, "done A", ""},
		{"slow", `{"ms":"1"}`, "done A", ""},
		{"cancel_count", `{}`, "0", ""},
		{"log_emit", `{"level":"emergency"}`, "log err=<nil>", `"level":"emergency","logger":"x"`},
		{"broadcast", `{"n":7}`, "ok", `"method":"notifications/test_broadcast","params":{"from":"A","n":7}`},
		{"notify_session", `{"sid":"none"}`, "err=", ""},
		{"add_global_tool", `{}`, `required argument "name" not found`, ""},
		{"add_global_tool", `{"name":"gt1"}`, "ok", "notifications/tools/list_changed"},
		{"gt1", `{}`, "gt A", ""},
		{"add_session_tool", `{"name":"st1"}`, "err=enable tool \"st1\": no such session tool", ""},
		{"resource_update", `{}`, "ok", `"method":"notifications/resources/updated","params":{"uri":"test://static-text"}`},
		{"resource_update", `{"uri":"test://x"}`, "ok", `"params":{"uri":"test://x"}`},
		{"multi_notify", `{"n":3,"gapms":0}`, "multi done A", `"progress":3,"progressToken":"t","total":3`},
		{"roots", `null`, "err=", ""},
		{"test_elicitation", `{}`, "does not support elicitation", ""},
		{"test_sampling", `{}`, "does not support sampling", ""},
	} {
		if got := call(t.Context(), t, c, test.tool, test.arguments); !strings.Contains(got, test.answers) {
			t.Errorf("%s %s answers %q, want %q", test.tool, test.arguments, got, test.answers)
		}
		for deadline := time.Now().Add(5 * time.Second); !strings.Contains(notified(), test.notifies); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s %s does not notify %s; so far: %s", test.tool, test.arguments, test.notifies, notified())
			}
		}
	}
}

func TestACancelledCallOfSlowIsCounted(t *testing.T) {
	e := newTestEverything(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.slow(ctx, mcp.CallToolRequest{}); err == nil {
		t.Error("it does not return an error")
	}
	c, _ := connect(t, e)
	if got := call(t.Context(), t, c, "cancel_count", `{}`); got != "1" {
		t.Errorf("cancel_count answers %s", got)
	}
}
