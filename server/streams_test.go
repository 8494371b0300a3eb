package server_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/server"
)

// patience is how long something may take that takes no time.
const patience = 5 * time.Second

// stream opens a GET stream that ends with ctx, and returns when it has.
func (e *endpoint) stream(ctx context.Context, token string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, newRequest(http.MethodGet, "", header("Mcp-Session-Id: "+token)).WithContext(ctx))
	return w
}

// listen serves e on a loopback port as a program would.
func (e *endpoint) listen(t *testing.T) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(e)
	s.Config.RegisterOnShutdown(e.EndStreams)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// openStream opens a GET stream over the network.
func openStream(t *testing.T, url, token string) io.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Mcp-Session-Id", token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("GET is answered %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	return bufio.NewReader(response.Body)
}

// wantEnd waits for the stream to end cleanly.
func wantEnd(t *testing.T, stream io.Reader) {
	t.Helper()
	start := time.Now()
	if _, err := io.ReadAll(stream); err != nil {
		t.Errorf("the stream ends with %v after %v", err, time.Since(start))
	}
	if took := time.Since(start); took > patience {
		t.Errorf("the stream ends after %v", took)
	}
}

func TestEndStreamsClosesOpenStreamsAndNoSession(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	url := e.listen(t).URL
	a, b := e.begin(t), e.begin(t)
	streams := []io.Reader{openStream(t, url, a), openStream(t, url, b)}
	e.EndStreams()
	for _, stream := range streams {
		wantEnd(t, stream)
	}
	wantEnd(t, openStream(t, url, a)) // no new one stays open
	e.EndStreams()                    // twice is once
	for _, token := range []string{a, b} {
		if got := e.whose(t, token); got != ref(t, token) {
			t.Errorf("after its stream ended, the session answers as %q", got)
		}
	}
}

func TestShutdownDoesNotWaitForStreams(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	listener := e.listen(t)
	stream := openStream(t, listener.URL, e.begin(t))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := listener.Config.Shutdown(ctx); err != nil {
		t.Fatalf("Shutdown with an open stream: %v", err)
	}
	wantEnd(t, stream)
	if n := e.store.count(t); n != 1 {
		t.Errorf("%d sessions are alive after the shutdown, want 1", n)
	}
}

func TestAClientMayOpenItsStreamAgain(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	token := e.begin(t)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan int)
		go func() { done <- e.stream(ctx, token).Code }()
		cancel()
		if code := <-done; code != http.StatusOK {
			t.Errorf("the stream is answered %d", code)
		}
	}
}

func TestShutdownDoesNotWaitForModernStreams(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	listener := e.listen(t)
	body := `{"jsonrpc":"2.0","id":2,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},` +
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	requests, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	r, err := http.NewRequestWithContext(requests, http.MethodPost, listener.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header("Mcp-Protocol-Version: 2026-07-28", "Mcp-Method: subscriptions/listen",
		"Content-Type: application/json", "Accept: application/json, text/event-stream")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	stream := bufio.NewReader(response.Body)
	if line, err := stream.ReadString('\n'); err != nil || line != "event: message\n" {
		t.Fatalf("listening begins with %q, %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := listener.Config.Shutdown(ctx); err != nil {
		giveUp()
		t.Errorf("Shutdown with a listening client: %v", err)
	}
}
