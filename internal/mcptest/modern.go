package mcptest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
)

// What is in the _meta of a modern request or message.
const (
	modernVersion = "2026-07-28"

	MetaVersion      = "io.modelcontextprotocol/protocolVersion"
	MetaClient       = "io.modelcontextprotocol/clientInfo"
	MetaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	MetaLogLevel     = "io.modelcontextprotocol/logLevel"
	metaSubscription = "io.modelcontextprotocol/subscriptionId"
)

// Modern is a client of protocol version 2026-07-28, which has no session: every
// request says everything about itself. Its methods are safe for concurrent use
// as long as its fields stay as they are.
type Modern struct {
	T            testing.TB
	Capabilities string // that requests declare, a JSON object; none if empty
	LogLevel     string // from which on requests want log messages; none if empty

	requests atomic.Int64
	wire     Session // its connections
}

// NewModern returns a client with connections of its own.
func NewModern(t testing.TB) *Modern { return &Modern{T: t, wire: Session{T: t}} }

// ModernRequest is a request with all that the specification asks for, for tests
// to change.
type ModernRequest struct {
	ID     string // JSON
	Method string
	Params map[string]any // with _meta
	Header http.Header
}

// New returns a request. params is a JSON object, or empty.
func (c *Modern) New(id, method, params string) *ModernRequest {
	c.T.Helper()
	r := &ModernRequest{ID: id, Method: method, Params: map[string]any{}, Header: http.Header{
		"Mcp-Protocol-Version": {modernVersion},
		"Mcp-Method":           {method},
	}}
	if params != "" {
		if err := json.Unmarshal([]byte(params), &r.Params); err != nil {
			c.T.Fatalf("the params %s: %v", params, err)
		}
	}
	capabilities := NoCapabilities
	if c.Capabilities != "" {
		capabilities = c.Capabilities
	}
	meta, ok := r.Params["_meta"].(map[string]any)
	if !ok {
		meta = map[string]any{}
		r.Params["_meta"] = meta
	}
	meta[MetaVersion] = modernVersion
	meta[MetaClient] = map[string]any{"name": "mcptest", "version": "1"}
	meta[MetaCapabilities] = json.RawMessage(capabilities)
	if c.LogLevel != "" {
		meta[MetaLogLevel] = c.LogLevel
	}
	member := map[string]string{"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}[method]
	if name, ok := r.Params[member].(string); ok {
		r.Header.Set("Mcp-Name", name)
	}
	return r
}

// Meta is the request's _meta.
func (r *ModernRequest) Meta() map[string]any {
	meta, _ := r.Params["_meta"].(map[string]any)
	return meta
}

// NewCall returns a tools/call. arguments is a JSON object.
func (c *Modern) NewCall(id, tool, arguments string) *ModernRequest {
	c.T.Helper()
	return c.New(id, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, arguments))
}

// TrySend sends a request, for a test in which that may fail, or that ends it by
// ctx.
func (c *Modern) TrySend(ctx context.Context, url string, r *ModernRequest) (*Answer, error) {
	params, err := json.Marshal(r.Params)
	if err != nil {
		return nil, err
	}
	return c.TryPost(ctx, url, r.Header, RequestText(r.ID, r.Method, string(params)))
}

// Send sends a request.
func (c *Modern) Send(url string, r *ModernRequest) *Answer {
	c.T.Helper()
	a, err := c.TrySend(c.T.Context(), url, r)
	if err != nil {
		c.T.Fatalf("%s: %v", r.Method, err)
	}
	return a
}

// TryPost posts any text, with these headers above those that every POST has.
func (c *Modern) TryPost(ctx context.Context, url string, header http.Header, body string) (*Answer, error) {
	all := http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json, text/event-stream"},
	}
	for name, values := range header {
		all[name] = values
	}
	response, err := c.wire.do(ctx, http.MethodPost, url, body, all)
	if err != nil {
		return nil, err
	}
	return newAnswer(c.T, response)
}

// Request sends a request with an id of its own, which it returns, too.
func (c *Modern) Request(url, method, params string) (*Answer, string) {
	c.T.Helper()
	id := fmt.Sprintf("%d", c.requests.Add(1))
	return c.Send(url, c.New(id, method, params)), id
}

// Start calls a tool, and returns as soon as its answer begins.
func (c *Modern) Start(url, tool, arguments string) (*Answer, string) {
	c.T.Helper()
	id := fmt.Sprintf("%d", c.requests.Add(1))
	return c.Send(url, c.NewCall(id, tool, arguments)), id
}

// Call calls a tool and returns the text of its result.
func (c *Modern) Call(url, tool, arguments string) string {
	c.T.Helper()
	a, id := c.Start(url, tool, arguments)
	final, _ := a.Final(id)
	return final.Text(c.T)
}

// Subscription is the stream of a subscriptions/listen.
type Subscription struct {
	*Stream
	ID           string // of the request, JSON
	Acknowledged string // what the server will tell of, a JSON object
}

// Subscribe listens. filter is the JSON object that says for what. id is the
// request's, JSON. The first message has to be the acknowledgement.
func (c *Modern) Subscribe(url, id, filter string) *Subscription {
	c.T.Helper()
	a := c.Send(url, c.New(id, "subscriptions/listen", fmt.Sprintf(`{"notifications":%s}`, filter)))
	if a.Stream == nil {
		c.T.Fatalf("subscriptions/listen is answered %d: %s", a.Status, a.Body)
	}
	s := &Subscription{Stream: a.Stream, ID: id}
	m := s.Tagged()
	if m.Method != "notifications/subscriptions/acknowledged" {
		c.T.Fatalf("subscriptions/listen begins with %s", m.Raw)
	}
	s.Acknowledged = m.Param("notifications")
	return s
}

// Tagged waits for the next message, which has to name the subscription.
func (s *Subscription) Tagged() Message {
	s.t.Helper()
	m := s.Next()
	var meta map[string]json.RawMessage
	_ = json.Unmarshal([]byte(m.Param("_meta")), &meta)
	if got := string(meta[metaSubscription]); got != s.ID {
		s.t.Errorf("a message of subscription %s has the tag %q: %s", s.ID, got, m.Raw)
	}
	return m
}

// WantResult waits for the stream's last message, the result of its request, and
// for its end.
func (s *Subscription) WantResult() {
	s.t.Helper()
	m, before := s.Until(s.ID)
	var result struct {
		Type string                     `json:"resultType"`
		Meta map[string]json.RawMessage `json:"_meta"`
	}
	if err := json.Unmarshal(m.Result, &result); err != nil || result.Type != "complete" || string(result.Meta[metaSubscription]) != s.ID {
		s.t.Errorf("subscription %s ends with %s", s.ID, m.Raw)
	}
	for _, m := range before {
		s.t.Errorf("before the result of a subscription comes %s", m.Raw)
	}
	s.WantEnd()
	for _, m := range s.Arrived() {
		s.t.Errorf("after the result of a subscription comes %s", m.Raw)
	}
}
