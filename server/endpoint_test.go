package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/server"
)

// spy is a memory store that counts what it is asked, remembers the ids it
// stored sessions under, and fails while it has an error to fail with.
type spy struct {
	mcpsession.SessionStore
	gets    atomic.Int64
	failure atomic.Pointer[error]

	mu  sync.Mutex
	ids []mcpsession.ID
}

// limits are the default ones with minutes for hours, so that a test's clock need
// not step through a week of heartbeats.
var limits = mcpsession.Limits{IdleTimeout: 24 * time.Minute, MaxLifetime: 7 * 24 * time.Minute, MaxSize: 1 << 20}

func newSpy(t *testing.T) *spy {
	t.Helper()
	store, err := memstore.New(limits, 1000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &spy{SessionStore: store}
}

func (s *spy) fail(err error) { s.failure.Store(&err) }
func (s *spy) recover()       { s.failure.Store(nil) }

func (s *spy) err(ctx context.Context) error {
	err := s.failure.Load()
	if err == nil {
		return nil
	}
	if *err == errHangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return fmt.Errorf("spy: %w: dial 10.0.0.7: refused", *err)
}

// errHangs makes the store answer nothing before a deadline.
var errHangs = fmt.Errorf("hangs")

func (s *spy) Create(ctx context.Context, id mcpsession.ID, session mcpsession.Session) (mcpsession.Session, error) {
	if err := s.err(ctx); err != nil {
		return mcpsession.Session{}, err
	}
	s.mu.Lock()
	s.ids = append(s.ids, id)
	s.mu.Unlock()
	return s.SessionStore.Create(ctx, id, session)
}

func (s *spy) Get(ctx context.Context, id mcpsession.ID) (mcpsession.Session, error) {
	s.gets.Add(1)
	if err := s.err(ctx); err != nil {
		return mcpsession.Session{}, err
	}
	return s.SessionStore.Get(ctx, id)
}

func (s *spy) Delete(ctx context.Context, id mcpsession.ID) error {
	if err := s.err(ctx); err != nil {
		return err
	}
	return s.SessionStore.Delete(ctx, id)
}

// issued are the ids of all sessions so far.
func (s *spy) issued() []mcpsession.ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ids
}

func (s *spy) count(t *testing.T) int {
	t.Helper()
	n, err := s.SessionStore.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// newMCP is an MCP server with a tool that tells the session of its call, and
// one that keeps a note in it.
func newMCP() *mcpserver.MCPServer {
	srv := mcpserver.NewMCPServer("test", "1", mcpserver.WithToolCapabilities(true))
	srv.AddTool(mcp.NewTool("whose"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		live, ok := mcpsession.FromContext(ctx)
		if !ok {
			return mcp.NewToolResultText("nobody's"), nil
		}
		return mcp.NewToolResultText(live.ID().Ref().String()), nil
	})
	srv.AddTool(mcp.NewTool("note"), func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		live, ok := mcpsession.FromContext(ctx)
		if !ok {
			return mcp.NewToolResultError("no session"), nil
		}
		before, _, err := mcpsession.Get[string](live, "note")
		if err != nil {
			return nil, err
		}
		if err := live.Set(ctx, "note", request.GetString("text", "")); err != nil {
			return nil, err
		}
		return mcp.NewToolResultText("before: " + before), nil
	})
	return srv
}

func newBroker(t *testing.T) *memstore.Broker {
	t.Helper()
	broker := memstore.NewBroker()
	t.Cleanup(func() { broker.Close() })
	return broker
}

// endpoint is a Handler and what it works on. It needs no network.
type endpoint struct {
	*server.Handler
	store *spy
	log   *logBuffer
}

func newEndpoint(t *testing.T, o server.Options) *endpoint {
	t.Helper()
	e := &endpoint{store: newSpy(t), log: &logBuffer{}}
	o.Logger = slog.New(slog.NewJSONHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	handler, err := server.New(newMCP(), e.store, newBroker(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handler.Shutdown(context.Background()) })
	e.Handler = handler
	return e
}

const (
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25",` +
		`"capabilities":{"roots":{"listChanged":true}},"clientInfo":{"name":"tester","version":"7"}}}`
	callWhose = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whose","arguments":{}}}`

	modernCallWhose = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whose","arguments":{},"_meta":{` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"tester","version":"7"}}}}`
)

// header is a request header, one "Name: value" each.
func header(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	return h
}

func modernHeader() http.Header {
	return header("Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: whose")
}

// newRequest is a request to the endpoint at localhost.
func newRequest(method, body string, headers http.Header) *http.Request {
	r := httptest.NewRequest(method, "http://localhost/mcp", strings.NewReader(body))
	r.Header.Set("Accept", "application/json, text/event-stream")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range headers {
		r.Header[name] = values
	}
	return r
}

// send serves a request whose answer ends.
func (e *endpoint) send(method, body string, headers http.Header) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, newRequest(method, body, headers))
	return w
}

// begin opens a legacy session and returns its Mcp-Session-Id.
func (e *endpoint) begin(t *testing.T) string {
	t.Helper()
	w := e.send(http.MethodPost, initialize, nil)
	token := w.Header().Get("Mcp-Session-Id")
	if w.Code != http.StatusOK || token == "" {
		t.Fatalf("initialize is answered %d with id %q: %s", w.Code, token, w.Body)
	}
	return token
}

// whose calls the tool of that name in a session, and returns its text.
func (e *endpoint) whose(t *testing.T, token string) string {
	t.Helper()
	w := e.send(http.MethodPost, callWhose, header("Mcp-Session-Id: "+token))
	if w.Code != http.StatusOK {
		t.Fatalf("a call is answered %d: %s", w.Code, w.Body)
	}
	return toolText(t, w.Body)
}

// toolText is the text of a tool's result.
func toolText(t *testing.T, response io.Reader) string {
	t.Helper()
	var r struct {
		Result struct {
			Content []struct{ Text string }
		}
	}
	if err := json.NewDecoder(response).Decode(&r); err != nil || len(r.Result.Content) != 1 {
		t.Fatalf("the response is no tool result with one text: %+v, %v", r, err)
	}
	return r.Result.Content[0].Text
}

func ref(t *testing.T, token string) string {
	t.Helper()
	id, err := mcpsession.ParseSessionID(token)
	if err != nil {
		t.Fatal(err)
	}
	return id.Ref().String()
}

// logBuffer is a log that tests read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
