package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
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

// remote is a broker that cannot be read while it is out of reach.
type remote struct {
	mcpsession.Broker
	away atomic.Bool
}

func (b *remote) Read(ctx context.Context, log mcpsession.Key, after mcpsession.Position) (mcpsession.Page, error) {
	if b.away.Load() {
		return mcpsession.Page{}, mcpsession.ErrUnavailable
	}
	return b.Broker.Read(ctx, log, after)
}

func TestAReplicaThatMissedMuchTellsSubscriptionsThatAllMayHaveChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &remote{Broker: newBroker(t)}
		_, handler := newListenable(t, broker, mcpserver.WithToolCapabilities(true), mcpserver.WithResourceCapabilities(true, true))
		defer handler.Shutdown(context.Background())
		tell := func(uri string) {
			event := fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q}}`, uri)
			if _, err := broker.Append(t.Context(), mcpsession.Key{Name: "fleet"}, event, mcpsession.Retention{Events: 10_000, For: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		l := listening(t.Context(), handler, "1", `{"toolsListChanged":true,"resourceSubscriptions":["test://a","test://b"]}`)
		synctest.Wait()
		tell("test://a")
		synctest.Wait()
		l.take()
		broker.away.Store(true)
		time.Sleep(5 * time.Second) // in which it is noticed
		for range 10_001 {
			tell("test://other")
		}
		broker.away.Store(false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		told := make(map[string]int)
		for _, m := range messages(t, l.take()) {
			told[fmt.Sprint(m.Method, m.Params.AdditionalFields["uri"])]++
		}
		want := map[string]int{
			mcp.MethodNotificationToolsListChanged + "<nil>":   1,
			mcp.MethodNotificationResourceUpdated + "test://a": 1,
			mcp.MethodNotificationResourceUpdated + "test://b": 1,
		}
		if !maps.Equal(told, want) {
			t.Errorf("the stream is told %v, want %v", told, want)
		}
		handler.EndStreams()
		<-l.done
	})
}
