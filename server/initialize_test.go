package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession/server"
)

func TestAnInitializeThatIsRefusedLeavesNoSession(t *testing.T) {
	for what, test := range map[string]struct {
		body    string
		headers http.Header
	}{
		"without an id":         {strings.Replace(initialize, `"id":1,`, ``, 1), nil},
		"with a null id":        {strings.Replace(initialize, `"id":1,`, `"id":null,`, 1), nil},
		"of another type":       {initialize, header("Content-Type: text/plain")},
		"of another JSON-RPC":   {strings.Replace(initialize, `"jsonrpc":"2.0",`, ``, 1), nil},
		"with bad capabilities": {strings.Replace(initialize, `{"roots":{"listChanged":true}}`, `"x"`, 1), nil},
	} {
		t.Run(what, func(t *testing.T) {
			e := newEndpoint(t, server.Options{})
			w := e.send(http.MethodPost, test.body, test.headers)
			if n := e.store.count(t); n != 0 || w.Header().Get("Mcp-Session-Id") != "" {
				t.Errorf("it is answered %d %s with id %q and leaves %d sessions", w.Code, w.Body, w.Header().Get("Mcp-Session-Id"), n)
			}
		})
	}
}

func TestAClientThatIsNotUTF8Is400(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	wantError(t, e.send(http.MethodPost, strings.Replace(initialize, `"listChanged":true`, "\"x\":\"\xff\"", 1), nil), http.StatusBadRequest, "UTF-8")
}

func TestAnInitializeOfWrongTypesIsNotToldToInitialize(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	w := e.send(http.MethodPost, strings.Replace(initialize, `"2025-11-25"`, `7`, 1), nil)
	if strings.Contains(w.Body.String(), "send initialize first") {
		t.Errorf("it is answered %d %s", w.Code, w.Body)
	}
}

func TestADeleteThatIsRefusedEndsNothing(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	token := e.begin(t)
	w := e.send(http.MethodDelete, "", header("Mcp-Session-Id: "+token, "Mcp-Protocol-Version: 1999-01-01"))
	if n := e.store.count(t); w.Code/100 != 2 && n != 1 {
		t.Errorf("it is answered %d %s, but %d sessions are alive", w.Code, w.Body, n)
	}
}
