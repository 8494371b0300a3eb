// Package mcptest is an MCP client for tests, at the level of HTTP: it sends what
// a test tells it to, to the replica that the test names, and shows what arrives
// on which stream.
package mcptest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Patience is how long anything may take that should be immediate.
const Patience = 20 * time.Second

// Session is a legacy session, or, before Begin gave it a token, none. Its
// methods are safe for concurrent use.
type Session struct {
	T       testing.TB
	Token   string
	Version string      // of the protocol
	Header  http.Header // sent with every request
	Result  Message     // of initialize

	requests atomic.Int64
	connect  sync.Once
	client   *http.Client
}

// http is a client with connections of its own, and no time limit.
func (s *Session) http() *http.Client {
	s.connect.Do(func() {
		transport := &http.Transport{MaxIdleConnsPerHost: 16}
		s.T.Cleanup(transport.CloseIdleConnections)
		s.client = &http.Client{Transport: transport}
	})
	return s.client
}

// Capabilities that a client may declare in Begin.
const (
	NoCapabilities  = `{}`
	AllCapabilities = `{"elicitation":{},"sampling":{},"roots":{"listChanged":true}}`
)

// Begin initializes a session at an endpoint.
func Begin(t testing.TB, url, version, capabilities string) *Session {
	t.Helper()
	s := &Session{T: t, Version: version}
	a := s.Post(url, fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":%q,`+
		`"capabilities":%s,"clientInfo":{"name":"mcptest","version":"1"}}}`, version, capabilities))
	s.Token = a.Header.Get("Mcp-Session-Id")
	s.Result = a.Only()
	if a.Status != http.StatusOK || s.Token == "" || s.Result.Result == nil {
		t.Fatalf("initialize is answered %d with id %q: %s", a.Status, s.Token, a.Body)
	}
	if a := s.Post(url, `{"jsonrpc":"2.0","method":"notifications/initialized"}`); a.Status != http.StatusAccepted {
		t.Fatalf("notifications/initialized is answered %d: %s", a.Status, a.Body)
	}
	return s
}

// Answer is the response to a POST.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte  // unless it is a stream
	Stream *Stream // if it is

	t testing.TB
}

// Only returns the one message that the answer is.
func (a *Answer) Only() Message {
	a.t.Helper()
	if a.Stream == nil {
		return parse(a.t, "", a.Body)
	}
	m := a.Stream.Next()
	a.Stream.WantEnd()
	return m
}

// Final returns the response with this id, on a stream the last message, and
// what came before it.
func (a *Answer) Final(id string) (final Message, before []Message) {
	a.t.Helper()
	if a.Stream == nil {
		return a.Only(), nil
	}
	return a.Stream.Until(id)
}

// Post sends a body to an endpoint.
func (s *Session) Post(url, body string) *Answer {
	s.T.Helper()
	a, err := s.TryPost(s.T.Context(), url, body)
	if err != nil {
		s.T.Fatalf("POST %.200s: %v", body, err)
	}
	return a
}

// TryPost is Post for a test in which it may fail, or that ends it by ctx.
func (s *Session) TryPost(ctx context.Context, url, body string) (*Answer, error) {
	response, err := s.do(ctx, http.MethodPost, url, body, http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json, text/event-stream"},
	})
	if err != nil {
		return nil, err
	}
	return newAnswer(s.T, response)
}

func newAnswer(t testing.TB, response *http.Response) (a *Answer, err error) {
	a = &Answer{Status: response.StatusCode, Header: response.Header, t: t}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		a.Stream = newStream(t, response.Body)
		return a, nil
	}
	defer response.Body.Close()
	a.Body, err = io.ReadAll(response.Body)
	return a, err
}

// Request sends a request with an id of its own, which it returns, too.
func (s *Session) Request(url, method, params string) (*Answer, string) {
	s.T.Helper()
	id := fmt.Sprintf("%d", s.requests.Add(1))
	return s.Post(url, RequestText(id, method, params)), id
}

// RequestText is the text of a request; no params if that is empty.
func RequestText(id, method, params string) string {
	if params == "" {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q}`, id, method)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,"params":%s}`, id, method, params)
}

// CallText is the text of a tools/call request. arguments is a JSON object.
func CallText(id, tool, arguments string) string {
	return RequestText(id, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, arguments))
}

// Start calls a tool, and returns as soon as its answer begins.
func (s *Session) Start(url, tool, arguments string) (*Answer, string) {
	s.T.Helper()
	return s.Request(url, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, arguments))
}

// Call calls a tool and returns the text of its result.
func (s *Session) Call(url, tool, arguments string) string {
	s.T.Helper()
	a, id := s.Start(url, tool, arguments)
	final, _ := a.Final(id)
	return final.Text(s.T)
}

// Listen opens a GET stream, which resumes another if lastEventID is not empty.
func (s *Session) Listen(url, lastEventID string) *Stream {
	s.T.Helper()
	stream, status, text := s.TryListen(url, lastEventID)
	if stream == nil {
		s.T.Fatalf("GET is answered %d: %s", status, text)
	}
	return stream
}

// TryListen is Listen for a GET that may be refused: then there is no stream, but
// a status and a body.
func (s *Session) TryListen(url, lastEventID string) (stream *Stream, status int, body string) {
	s.T.Helper()
	stream, a, err := s.Dial(s.T.Context(), url, lastEventID)
	if err != nil {
		s.T.Fatalf("GET: %v", err)
	}
	return stream, a.Status, string(a.Body)
}

// Dial is TryListen for a test in which there may be nobody to listen to. The
// stream ends with ctx.
func (s *Session) Dial(ctx context.Context, url, lastEventID string) (*Stream, *Answer, error) {
	header := http.Header{"Accept": {"text/event-stream"}}
	if lastEventID != "" {
		header.Set("Last-Event-ID", lastEventID)
	}
	response, err := s.do(ctx, http.MethodGet, url, "", header)
	if err != nil {
		return nil, nil, err
	}
	a := &Answer{Status: response.StatusCode, Header: response.Header, t: s.T}
	if response.StatusCode == http.StatusOK {
		return newStream(s.T, response.Body), a, nil
	}
	defer response.Body.Close()
	a.Body, err = io.ReadAll(response.Body)
	return nil, a, err
}

// Delete ends the session and returns the status.
func (s *Session) Delete(url string) int {
	s.T.Helper()
	response, err := s.do(s.T.Context(), http.MethodDelete, url, "", nil)
	if err != nil {
		s.T.Fatalf("DELETE: %v", err)
	}
	response.Body.Close()
	return response.StatusCode
}

func (s *Session) do(ctx context.Context, method, url, body string, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, s.Header)
	maps.Copy(r.Header, header)
	if s.Token != "" {
		r.Header.Set("Mcp-Session-Id", s.Token)
		r.Header.Set("Mcp-Protocol-Version", s.Version)
	}
	return s.http().Do(r)
}

// Message is a JSON-RPC message that arrived, with the id of its event.
type Message struct {
	EventID string          `json:"-"`
	Raw     json.RawMessage `json:"-"`

	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	} `json:"error"`
}

func parse(t testing.TB, eventID string, text []byte) Message {
	t.Helper()
	m := Message{EventID: eventID, Raw: bytes.Clone(text)}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Errorf("%q is no JSON-RPC message: %v", text, err) // not Fatal: streams are read beside the test
	}
	return m
}

// Text returns the one text of a tool's result, whether or not that is an error.
func (m Message) Text(t testing.TB) string {
	t.Helper()
	var result struct{ Content []struct{ Text string } }
	if m.Error != nil || json.Unmarshal(m.Result, &result) != nil || len(result.Content) != 1 {
		t.Fatalf("%s is no tool result with one text", m.Raw)
	}
	return result.Content[0].Text
}

// Param returns a parameter as JSON text, or nothing.
func (m Message) Param(name string) string {
	var params map[string]json.RawMessage
	_ = json.Unmarshal(m.Params, &params)
	return string(params[name])
}
