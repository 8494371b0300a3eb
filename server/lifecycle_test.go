package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/server"
)

func TestNewNeedsAServerAStoreAndABroker(t *testing.T) {
	if _, err := server.New(nil, newSpy(t), newBroker(t), server.Options{}); err == nil {
		t.Error("New without an MCP server succeeds")
	}
	if _, err := server.New(newMCP(), nil, newBroker(t), server.Options{}); err == nil {
		t.Error("New without a store succeeds")
	}
	if _, err := server.New(newMCP(), newSpy(t), nil, server.Options{}); err == nil {
		t.Error("New without a broker succeeds")
	}
}

func TestInitializeRecordsWhatTheClientSaysOfItself(t *testing.T) {
	for _, test := range []struct{ asks, gets string }{
		{"2025-03-26", "2025-03-26"},
		{"2025-06-18", "2025-06-18"},
		{"2025-11-25", "2025-11-25"},
		{"1999-01-01", "2025-11-25"},
		{"", "2025-03-26"},
	} {
		t.Run("asking for "+test.asks, func(t *testing.T) {
			e := newEndpoint(t, server.Options{})
			w := e.send(http.MethodPost, strings.Replace(initialize, "2025-11-25", test.asks, 1), nil)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), fmt.Sprintf(`"protocolVersion":%q`, test.gets)) {
				t.Fatalf("initialize is answered %d: %s", w.Code, w.Body)
			}
			id := e.store.issued()[0]
			if got := w.Header().Get("Mcp-Session-Id"); got != id.Token() {
				t.Errorf("the client is given the id %q, the session has another", got)
			}
			s, err := e.store.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			want := mcpsession.Client{Name: "tester", Version: "7", ProtocolVersion: test.gets, Capabilities: `{"roots":{"listChanged":true}}`}
			if s.Client != want {
				t.Errorf("the session records %+v, want %+v", s.Client, want)
			}
		})
	}
}

func TestInitializeIgnoresAnIDThatTheClientBrings(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	theirs := mcpsession.NewSessionID().Token()
	for _, brought := range []string{theirs, "mine", e.begin(t)} {
		w := e.send(http.MethodPost, initialize, header("Mcp-Session-Id: "+brought))
		if got := w.Header().Get("Mcp-Session-Id"); w.Code != http.StatusOK || got == brought || got == "" {
			t.Errorf("initialize with the id %q is answered %d with %q", brought, w.Code, got)
		}
	}
	wantError(t, e.send(http.MethodPost, callWhose, header("Mcp-Session-Id: "+theirs)), http.StatusNotFound, "not found")
}

func TestEachSessionKeepsItsOwnState(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	note := func(token, text string) string {
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"note","arguments":{"text":%q}}}`, text)
		return toolText(t, e.send(http.MethodPost, body, header("Mcp-Session-Id: "+token)).Body)
	}
	a, b := e.begin(t), e.begin(t)
	for _, step := range []struct{ token, text, before string }{{a, "a1", ""}, {b, "b1", ""}, {a, "a2", "a1"}, {b, "b2", "b1"}} {
		if got := note(step.token, step.text); got != "before: "+step.before {
			t.Errorf("the session that notes %q answers %q, want %q before", step.text, got, step.before)
		}
	}
}

func TestAModernCallHasNoSessionOfItsOwn(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	for what, token := range map[string]string{"no id": "", "an id": e.begin(t)} {
		h := modernHeader()
		h.Set("Mcp-Session-Id", token)
		w := e.send(http.MethodPost, modernCallWhose, h)
		if got := toolText(t, w.Body); w.Code != http.StatusOK || got != "nobody's" {
			t.Errorf("a modern call with %s is answered %d: it is %s", what, w.Code, got)
		}
		if got := w.Header().Get("Mcp-Session-Id"); got != "" {
			t.Errorf("a modern call with %s is given the id %q", what, got)
		}
	}
}

func TestDeleteEndsTheSessionForGood(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	gone, kept := e.begin(t), e.begin(t)
	if w := e.send(http.MethodDelete, "", header("Mcp-Session-Id: "+gone)); w.Code != http.StatusOK {
		t.Fatalf("DELETE is answered %d: %s", w.Code, w.Body)
	}
	for method, body := range methods {
		wantError(t, e.send(method, body, header("Mcp-Session-Id: "+gone)), http.StatusNotFound, "not found")
	}
	if n := e.store.count(t); n != 1 {
		t.Errorf("%d sessions are alive, want the other one", n)
	}
	if got := e.whose(t, kept); got != ref(t, kept) {
		t.Errorf("the other session answers as %q", got)
	}
}

func TestEveryRequestMovesTheIdleDeadlineOnceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t, server.Options{})
		token := e.begin(t)
		requests := map[string]func() int{
			"a call": func() int { return e.send(http.MethodPost, callWhose, header("Mcp-Session-Id: "+token)).Code },
			"a notification": func() int {
				return e.send(http.MethodPost, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, header("Mcp-Session-Id: "+token)).Code
			},
			"a stream": func() int {
				ctx, cancel := context.WithCancel(t.Context())
				closed := make(chan int)
				go func() { closed <- e.stream(ctx, token).Code }()
				synctest.Wait() // it is open
				cancel()
				return <-closed
			},
		}
		for range 2 {
			for what, request := range requests {
				time.Sleep(23 * time.Minute)
				before := e.store.gets.Load()
				if code := request(); code/100 != 2 {
					t.Fatalf("%s after 23 idle minutes is answered %d", what, code)
				}
				if asks := e.store.gets.Load() - before; asks != 1 {
					t.Errorf("%s asks the store %d times, want once", what, asks)
				}
			}
		}
		time.Sleep(24*time.Minute + 24*time.Minute/16) // within which the store has to end it
		for method, body := range methods {
			wantError(t, e.send(method, body, header("Mcp-Session-Id: "+token)), http.StatusNotFound, "not found")
		}
	})
}

func TestNoUseKeepsASessionBeyondItsLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t, server.Options{})
		token := e.begin(t)
		for range 13 {
			time.Sleep(12 * time.Minute)
			e.whose(t, token)
		}
		time.Sleep(12 * time.Minute)
		wantError(t, e.send(http.MethodPost, callWhose, header("Mcp-Session-Id: "+token)), http.StatusNotFound, "not found")
	})
}
