package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/server"
)

// methods are a request of each method that names a session.
var methods = map[string]string{http.MethodPost: callWhose, http.MethodGet: "", http.MethodDelete: ""}

// wantError checks that the response is a JSON-RPC error of no request.
func wantError(t *testing.T, w *httptest.ResponseRecorder, status int, says string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("the status is %d, want %d: %s", w.Code, status, w.Body)
	}
	var response struct {
		JSONRPC string           `json:"jsonrpc"`
		ID      *json.RawMessage `json:"id"`
		Error   struct {
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &response); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("the answer is %s: %s (%v), want JSON", w.Header().Get("Content-Type"), w.Body, err)
	}
	if response.JSONRPC != "2.0" || response.ID != nil || response.Error.Code >= 0 || !strings.Contains(response.Error.Message, says) {
		t.Errorf("the answer is %s, want a JSON-RPC error that says %q", w.Body, says)
	}
}

func TestWithoutASessionIDTheAnswerIs400(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	for method, body := range methods {
		t.Run(method, func(t *testing.T) {
			wantError(t, e.send(method, body, nil), http.StatusBadRequest, "send initialize first")
			wantError(t, e.send(method, body, header("Mcp-Session-Id: ")), http.StatusBadRequest, "Mcp-Session-Id")
		})
	}
	for what, body := range map[string]string{
		"a notification": `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		"a batch":        `[` + callWhose + `]`, "a batch that initializes": `[` + initialize + `]`,
	} {
		t.Run(what, func(t *testing.T) {
			wantError(t, e.send(http.MethodPost, body, nil), http.StatusBadRequest, "Mcp-Session-Id")
		})
	}
	if e.store.gets.Load() != 0 || e.store.count(t) != 0 {
		t.Error("the store was asked")
	}
}

func TestWhatIsNoMessageIs400(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	token := header("Mcp-Session-Id: " + e.begin(t))
	asked := e.store.gets.Load()
	for what, body := range map[string]string{
		"no JSON": `{"jsonrpc"`, "a number": `7`, "a text": `"x"`, "an empty batch": `[]`, "a batch of numbers": `[1]`,
		"two messages": callWhose + callWhose, "an id that is an object": `{"jsonrpc":"2.0","id":{},"method":"ping"}`,
	} {
		t.Run(what, func(t *testing.T) {
			wantError(t, e.send(http.MethodPost, body, token), http.StatusBadRequest, "not a JSON-RPC message")
		})
	}
	if e.store.gets.Load() != asked {
		t.Error("the store was asked")
	}
	wantError(t, e.send(http.MethodPost, `{"jsonrpc":"2.0","id":4}`, token), http.StatusBadRequest, "neither")
}

func TestMediaTypesAreChecked(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	token := "Mcp-Session-Id: " + e.begin(t)
	for lines, status := range map[string]int{
		"Content-Type: text/plain":                      http.StatusUnsupportedMediaType,
		"Content-Type: ":                                http.StatusUnsupportedMediaType,
		"Content-Type: application/json; charset=utf-8": http.StatusOK,
		"Accept: application/json":                      http.StatusNotAcceptable,
		"Accept: text/event-stream":                     http.StatusNotAcceptable,
		"Accept: */*":                                   http.StatusOK,
		"Accept: text/*;q=0.5, Application/JSON":        http.StatusOK,
	} {
		if w := e.send(http.MethodPost, callWhose, header(token, lines)); w.Code != status {
			t.Errorf("%s: the status is %d, want %d: %s", lines, w.Code, status, w.Body)
		}
	}
	if w := e.send(http.MethodGet, "", header(token, "Accept: application/json")); w.Code != http.StatusNotAcceptable {
		t.Errorf("GET without text/event-stream: the status is %d", w.Code)
	}
}

func TestAnIDThatOpensNoSessionIs404(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	live, ended := e.begin(t), e.begin(t)
	if w := e.send(http.MethodDelete, "", header("Mcp-Session-Id: "+ended)); w.Code != http.StatusOK {
		t.Fatalf("DELETE is answered %d", w.Code)
	}
	handle := mcpsession.NewHandle()
	if _, err := e.store.SessionStore.Create(t.Context(), handle, mcpsession.Session{}); err != nil {
		t.Fatal(err)
	}
	stranger := mcpsession.NewSessionID().Token()
	asked := e.store.gets.Load()

	for what, test := range map[string]struct {
		token string
		asks  int64 // how often the store
	}{
		"never issued":         {stranger, 1},
		"ended":                {ended, 1},
		"of a wrong secret":    {live[:23] + stranger[23:], 1},
		"of a wrong ref":       {stranger[:23] + live[23:], 1},
		"a handle":             {handle.Token(), 0},
		"a handle, disguised":  {"s" + handle.Token()[1:], 1}, // another secret
		"a public name":        {ref(t, live), 0},
		"too short":            {live[:len(live)-1], 0},
		"too long":             {live + "A", 0},
		"huge":                 {strings.Repeat("s", 1<<20), 0},
		"a word":               {"mine", 0},
		"a UUID":               {"123e4567-e89b-12d3-a456-426614174000", 0},
		"not ASCII":            {"s" + strings.Repeat("é", 22), 0},
		"of another alphabet":  {live[:44] + "+", 0},
		"two, with a comma":    {live + ", " + live, 0},
		"of mcp-go's own kind": {"mcp-session-123e4567-e89b-12d3-a456-426614174000", 0},
	} {
		for method, body := range methods {
			t.Run(what+"/"+method, func(t *testing.T) {
				before := e.store.gets.Load()
				w := e.send(method, body, header("Mcp-Session-Id: "+test.token))
				wantError(t, w, http.StatusNotFound, "session not found")
				if strings.Contains(w.Body.String(), test.token) {
					t.Errorf("the answer repeats the id: %s", w.Body)
				}
				if asks := e.store.gets.Load() - before; asks != test.asks {
					t.Errorf("the store is asked %d times, want %d", asks, test.asks)
				}
			})
		}
	}
	if e.store.gets.Load() == asked {
		t.Error("the store was never asked: the test proves nothing")
	}
	if got := e.whose(t, live); got != ref(t, live) {
		t.Errorf("after that the session answers as %q", got)
	}
	if n := e.store.count(t); n != 2 {
		t.Errorf("%d sessions are alive, want the live one and the handle's", n)
	}
}

func TestAStoreThatCannotBeUsedIs503AndNever404(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	token := e.begin(t)
	for _, failure := range []error{mcpsession.ErrUnavailable, mcpsession.ErrUnsupportedVersion, mcpsession.ErrFull, mcpsession.ErrConflict} {
		e.store.fail(failure)
		for method, body := range methods {
			t.Run(fmt.Sprintf("%v/%s", failure, method), func(t *testing.T) {
				w := e.send(method, body, header("Mcp-Session-Id: "+token))
				wantError(t, w, http.StatusServiceUnavailable, "try again")
				if w.Header().Get("Retry-After") != "5" {
					t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
				}
				if strings.Contains(w.Body.String(), "10.0.0.7") {
					t.Errorf("the answer tells an address: %s", w.Body)
				}
			})
		}
		t.Run(fmt.Sprintf("%v/initialize", failure), func(t *testing.T) {
			w := e.send(http.MethodPost, initialize, nil)
			wantError(t, w, http.StatusServiceUnavailable, "try again")
			if w.Header().Get("Retry-After") != "5" || w.Header().Get("Mcp-Session-Id") != "" {
				t.Errorf("the headers are %v", w.Header())
			}
		})
	}
	if !strings.Contains(e.log.String(), "10.0.0.7") {
		t.Errorf("the cause is not logged: %s", e.log)
	}
	e.store.recover()
	if got := e.whose(t, token); got != ref(t, token) {
		t.Errorf("after the outage the session answers as %q", got)
	}
}

func TestAStoreThatHangsIs503WithinFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t, server.Options{})
		token := e.begin(t)
		e.store.fail(errHangs)
		check := func(what string, w *httptest.ResponseRecorder, took time.Duration) {
			t.Helper()
			wantError(t, w, http.StatusServiceUnavailable, "try again")
			if took != 5*time.Second {
				t.Errorf("%s is answered after %v, want 5s", what, took)
			}
		}
		for method, body := range methods {
			start := time.Now()
			w := e.send(method, body, header("Mcp-Session-Id: "+token))
			check(method, w, time.Since(start))
		}
		start := time.Now()
		w := e.send(http.MethodPost, initialize, nil)
		check("initialize", w, time.Since(start))
	})
}

func TestAModernRequestKnowsPOSTAlone(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	token := e.begin(t)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		for _, id := range []string{"", token} {
			h := modernHeader()
			h.Set("Mcp-Session-Id", id)
			w := e.send(method, "", h)
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != http.MethodPost {
				t.Errorf("%s is answered %d, Allow %q, want 405 with POST", method, w.Code, w.Header().Get("Allow"))
			}
		}
	}
	if got := e.whose(t, token); got != ref(t, token) { // a modern DELETE ended nothing
		t.Errorf("the session answers as %q", got)
	}
}

func TestOtherMethodsAre405(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	token := e.begin(t)
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodOptions, http.MethodTrace, "SUBSCRIBE"} {
		w := e.send(method, "", header("Mcp-Session-Id: "+token))
		wantError(t, w, http.StatusMethodNotAllowed, method)
		if got := w.Header().Get("Allow"); got != "GET, POST, DELETE" {
			t.Errorf("%s is answered with Allow %q", method, got)
		}
	}
}

func TestABodyOver4MiBIs413(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	token := e.begin(t)
	padded := func(size int) string { return callWhose + strings.Repeat(" ", size-len(callWhose)) }
	if w := e.send(http.MethodPost, padded(4<<20), header("Mcp-Session-Id: "+token)); w.Code != http.StatusOK {
		t.Errorf("a body of 4 MiB is answered %d", w.Code)
	}
	wantError(t, e.send(http.MethodPost, padded(4<<20+1), header("Mcp-Session-Id: "+token)), http.StatusRequestEntityTooLarge, "4 MiB")
	wantError(t, e.send(http.MethodPost, padded(4<<20+1), nil), http.StatusRequestEntityTooLarge, "4 MiB")
}

func TestAClientTooLargeToStoreIs413(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	large := strings.Replace(initialize, "tester", strings.Repeat("x", 1<<20), 1)
	wantError(t, e.send(http.MethodPost, large, nil), http.StatusRequestEntityTooLarge, "too large")
	if n := e.store.count(t); n != 0 {
		t.Errorf("%d sessions are alive after that", n)
	}
}
