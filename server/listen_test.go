package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/server"
)

// listener is the response to a subscriptions/listen, which tests read while it
// is written.
type listener struct {
	mu     sync.Mutex
	header http.Header
	text   strings.Builder
	done   chan struct{}
}

func (l *listener) Header() http.Header { return l.header }
func (l *listener) WriteHeader(int)     {}
func (l *listener) Flush()              {}

func (l *listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// take returns what was written since the last time.
func (l *listener) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.text.Reset()
	return l.text.String()
}

// messages are the messages of a text of events.
func messages(t *testing.T, text string) (all []mcp.JSONRPCNotification) {
	t.Helper()
	for line := range strings.Lines(text) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var n mcp.JSONRPCNotification
			if err := json.Unmarshal([]byte(data), &n); err != nil {
				t.Errorf("%q: %v", data, err)
			}
			all = append(all, n)
		}
	}
	return all
}

// listening has a client of h listen until ctx ends.
func listening(ctx context.Context, h *server.Handler, id, filter string) *listener {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"subscriptions/listen","params":{"notifications":%s,`+
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`, id, filter)
	l := &listener{header: http.Header{}, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		h.ServeHTTP(l, newRequest(http.MethodPost, body,
			header("Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: subscriptions/listen")).WithContext(ctx))
	}()
	return l
}

// newListenable is a handler whose MCP server has these capabilities, in memory.
func newListenable(t *testing.T, broker mcpsession.Broker, capabilities ...mcpserver.ServerOption) (*mcpserver.MCPServer, *server.Handler) {
	t.Helper()
	srv := mcpserver.NewMCPServer("test", "1", capabilities...)
	handler, err := server.New(srv, newSpy(t), broker, server.Options{Logger: slog.New(slog.NewTextHandler(testLog{t}, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return srv, handler
}

func TestAQuietSubscriptionIsKeptAliveWithComments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, handler := newListenable(t, newBroker(t), mcpserver.WithToolCapabilities(true))
		defer handler.Shutdown(context.Background())
		ctx, hangUp := context.WithCancel(t.Context())
		l := listening(ctx, handler, "1", `{"toolsListChanged":true}`)
		synctest.Wait()
		if all := messages(t, l.take()); len(all) != 1 || all[0].Method != mcp.MethodNotificationSubscriptionsAcknowledged {
			t.Fatalf("listening begins with %v", all)
		}
		for range 4 {
			time.Sleep(15 * time.Second)
			synctest.Wait()
			if got := l.take(); got != ": \n\n" {
				t.Errorf("in 15 seconds without a change, the stream gets %q", got)
			}
		}
		srv.AddTool(mcp.NewTool("new"), nil)
		synctest.Wait()
		if all := messages(t, l.take()); len(all) != 1 || all[0].Method != mcp.MethodNotificationToolsListChanged {
			t.Errorf("after a minute, a new tool is told by %v", all)
		}
		hangUp()
		<-l.done
		l.take()
		srv.AddTool(mcp.NewTool("newer"), nil)
		time.Sleep(time.Minute)
		if got := l.take(); got != "" {
			t.Errorf("the stream is closed, and is written %q", got)
		}
	})
}

func TestWhatTheServerDoesNotHaveIsNotAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, handler := newListenable(t, newBroker(t), mcpserver.WithToolCapabilities(true), mcpserver.WithResourceCapabilities(false, false))
		defer handler.Shutdown(context.Background())
		l := listening(t.Context(), handler, "1",
			`{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["test://a"]}`)
		synctest.Wait()
		all := messages(t, l.take())
		if len(all) != 1 || fmt.Sprint(all[0].Params.AdditionalFields["notifications"]) != "map[toolsListChanged:true]" {
			t.Fatalf("acknowledged is %v", all)
		}
		srv.SendNotificationToAllClients(mcp.MethodNotificationPromptsListChanged, nil)
		srv.SendNotificationToAllClients(mcp.MethodNotificationResourceUpdated, map[string]any{"uri": "test://a"})
		synctest.Wait()
		if got := l.take(); got != "" {
			t.Errorf("of what was not acknowledged, the stream gets %q", got)
		}
		handler.EndStreams()
		<-l.done
	})
}

// Another replica may tell faster than a stream is written.
func TestASubscriptionMissesNothingOfMuchThatComesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newBroker(t)
		_, handler := newListenable(t, broker, mcpserver.WithResourceCapabilities(true, true))
		defer handler.Shutdown(context.Background())
		l := listening(t.Context(), handler, "1", `{"resourceSubscriptions":["test://a"]}`)
		synctest.Wait()
		l.take()
		const n = 5000
		for i := range n {
			event := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"test://a","n":%d}}`, i)
			if _, err := broker.Append(t.Context(), mcpsession.Key{Name: "fleet"}, event, mcpsession.Retention{Events: 2 * n, For: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		all := messages(t, l.take())
		if len(all) != n {
			t.Errorf("of %d messages arrive %d", n, len(all))
		}
		for i, m := range all {
			if got := m.Params.AdditionalFields["n"]; got != float64(i) {
				t.Fatalf("message %d is %v", i, got)
			}
		}
		handler.EndStreams()
		<-l.done
	})
}
