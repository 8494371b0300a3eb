package tools_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/project"
	"github.com/mcpsession/mcpsession/server"
	"github.com/mcpsession/mcpsession/tools"
)

// setup is what a test's server differs in from the usual one: a memory store
// with the default limits, that looks at no directories and knows no project.
type setup struct {
	store    mcpsession.SessionStore
	limits   mcpsession.Limits
	finder   *project.Finder
	resolver *project.Resolver
	options  []mcpserver.ServerOption
}

// endpoint is a server with the tools, on a loopback port.
type endpoint struct {
	url   string
	store mcpsession.SessionStore
	log   *logBuffer
}

func serve(t *testing.T, s setup) *endpoint {
	t.Helper()
	e, handler := s.build(t)
	listener := httptest.NewServer(handler)
	t.Cleanup(listener.Close)
	e.url = listener.URL
	return e
}

func (s setup) build(t *testing.T) (*endpoint, *server.Handler) {
	t.Helper()
	if s.limits == (mcpsession.Limits{}) {
		s.limits = mcpsession.DefaultLimits()
	}
	if s.store == nil {
		s.store = memory(t, s.limits, memstore.DefaultMaxSessions)
	}
	if s.resolver == nil {
		s.resolver = &project.Resolver{}
	}
	e := &endpoint{store: s.store, log: &logBuffer{}}
	log := slog.New(slog.NewJSONHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	mcp := mcpserver.NewMCPServer("test", "1", append(s.options, mcpserver.WithToolCapabilities(false))...)
	tools.Add(mcp, tools.Options{Store: s.store, Finder: s.finder, Resolver: s.resolver, Limits: s.limits, Logger: log})
	broker := memstore.NewBroker()
	t.Cleanup(func() { broker.Close() })
	handler, err := server.New(mcp, s.store, broker, server.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handler.Shutdown(context.Background()) })
	return e, handler
}

func memory(t *testing.T, limits mcpsession.Limits, maxSessions int) *memstore.Store {
	t.Helper()
	store, err := memstore.New(limits, maxSessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func finder(t *testing.T, roots ...string) *project.Finder {
	t.Helper()
	f, err := project.NewFinder(project.FinderOptions{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// count is how many sessions are alive.
func (e *endpoint) count(t *testing.T) int {
	t.Helper()
	n, err := e.store.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// stored is the session that a result's session_id names, as the store has it.
func (e *endpoint) stored(t *testing.T, sessionID string) mcpsession.Session {
	t.Helper()
	for s, err := range e.store.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if s.Ref.String() == sessionID {
			return s
		}
	}
	t.Fatalf("the store has no session %q", sessionID)
	return mcpsession.Session{}
}

// peer is a connected client of mcp-go.
type peer struct {
	t *testing.T
	*client.Client
}

// legacy connects a client that has a session of its own.
func (e *endpoint) legacy(t *testing.T) peer {
	return connect(t, e.url, mcp.LATEST_LEGACY_PROTOCOL_VERSION)
}

// modern connects a client that reaches sessions by handles alone.
func (e *endpoint) modern(t *testing.T) peer {
	return connect(t, e.url, mcp.ProtocolVersion20260728)
}

func connect(t *testing.T, url, version string, options ...transport.StreamableHTTPCOption) peer {
	t.Helper()
	stream, err := transport.NewStreamableHTTP(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(stream, client.WithProtocolVersion(version))
	t.Cleanup(func() { c.Close() })
	ctx := context.WithoutCancel(t.Context()) // a session outlives its test's body, to be closed
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var hello mcp.InitializeRequest
	hello.Params.ClientInfo = mcp.Implementation{Name: "tester", Version: "7"}
	if _, err := c.Initialize(ctx, hello); err != nil {
		t.Fatal(err)
	}
	if c.ProtocolVersion() != version {
		t.Fatalf("the client negotiated %s, want %s", c.ProtocolVersion(), version)
	}
	return peer{t, c}
}

// ref is the public name of a legacy client's own session.
func (p peer) ref() string {
	p.t.Helper()
	id, err := mcpsession.ParseSessionID(p.GetSessionId())
	if err != nil {
		p.t.Fatalf("Mcp-Session-Id %q: %v", p.GetSessionId(), err)
	}
	return id.Ref().String()
}

// answer is a tool's result.
type answer struct {
	t          *testing.T
	structured json.RawMessage
	text       string
	isError    bool
}

// call calls a tool with arguments given as JSON.
func (p peer) call(tool, arguments string) answer {
	p.t.Helper()
	var request mcp.CallToolRequest
	request.Params.Name = tool
	request.Params.Arguments = json.RawMessage(arguments)
	result, err := p.CallTool(p.t.Context(), request)
	if err != nil {
		p.t.Fatalf("%s %s: %v", tool, arguments, err)
	}
	a := answer{t: p.t, structured: result.RawStructuredContent, isError: result.IsError}
	for _, content := range result.Content {
		text, ok := mcp.AsTextContent(content)
		if !ok || a.text != "" {
			p.t.Fatalf("%s answers %+v, want one text", tool, result.Content)
		}
		a.text = text.Text
	}
	return a
}

// done calls a tool that has to do what is asked.
func (p peer) done(tool, arguments string) answer {
	p.t.Helper()
	a := p.call(tool, arguments)
	if a.isError {
		p.t.Fatalf("%s %s failed: %s", tool, arguments, a.text)
	}
	return a
}

// refused calls a tool that has to fail, with a text and nothing else, and
// returns the text.
func (p peer) refused(tool, arguments string) string {
	p.t.Helper()
	a := p.call(tool, arguments)
	if !a.isError || a.structured != nil || a.text == "" {
		p.t.Fatalf("%s %s answers %+v, want an error", tool, arguments, a)
	}
	return a.text
}

// field is a text field of the structured content, empty if there is none.
func (a answer) field(name string) string {
	a.t.Helper()
	var fields map[string]any
	if err := json.Unmarshal(a.structured, &fields); err != nil {
		a.t.Fatalf("structured content %q: %v", a.structured, err)
	}
	text, _ := fields[name].(string)
	return text
}

// is checks the structured content as JSON, and that the text is the same.
func (a answer) is(want string) {
	a.t.Helper()
	if canonical(a.t, a.structured) != canonical(a.t, []byte(want)) {
		a.t.Errorf("structured content is\n%s\nwant\n%s", a.structured, want)
	}
	if canonical(a.t, []byte(a.text)) != canonical(a.t, a.structured) {
		a.t.Errorf("text is\n%s\nbut structured content\n%s", a.text, a.structured)
	}
}

// canonical is JSON with its keys sorted, and with numbers as they were written.
func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%q is not JSON: %v", raw, err)
	}
	return asJSON(value)
}

// asJSON is a value's JSON.
func asJSON(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(raw)
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
