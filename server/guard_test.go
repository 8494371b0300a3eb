package server_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/server"
)

func TestTheGuardRefusesWhatAWebPageCouldSend(t *testing.T) {
	const loopback, loopback6, elsewhere = "127.0.0.1:8080", "[::1]:8080", "192.0.2.7:8080"
	for _, test := range []struct {
		arrived string // the local address
		host    string
		origin  string
		options server.Options
		refused string // what the answer says, empty if the request passes
	}{
		// Over loopback, without allow lists.
		{arrived: loopback, host: "localhost:8080"},
		{arrived: loopback, host: "localhost"},
		{arrived: loopback, host: "LocalHost:8080"},
		{arrived: loopback, host: "127.0.0.1:8080"},
		{arrived: loopback, host: "127.1.2.3"},
		{arrived: loopback, host: "[::1]:8080"},
		{arrived: loopback6, host: "[::1]:8080"},
		{arrived: loopback6, host: "[::1]"},
		{arrived: loopback6, host: "localhost:8080"},
		{arrived: loopback, host: "evil.example", refused: "host"},
		{arrived: loopback, host: "evil.example:8080", refused: "host"},
		{arrived: loopback6, host: "evil.example:8080", refused: "host"},
		{arrived: loopback, host: "localhost.evil.example", refused: "host"},
		{arrived: loopback, host: "127.0.0.1.evil.example", refused: "host"},
		{arrived: loopback, host: "192.0.2.7:8080", refused: "host"},
		{arrived: loopback, host: "0.0.0.0:8080", refused: "host"},
		{arrived: loopback, host: "[2001:db8::1]:8080", refused: "host"},
		{arrived: loopback, host: "", refused: "host"},

		// From elsewhere, without allow lists.
		{arrived: elsewhere, host: "mcp.example.com"},
		{arrived: elsewhere, host: "192.0.2.7:8080"},
		{arrived: "[2001:db8::1]:8080", host: "[2001:db8::1]:8080"},
		{arrived: "", host: "mcp.example.com"}, // a server that does not tell

		// With allowed hosts, those alone.
		{arrived: elsewhere, host: "mcp.example.com", options: hosts("mcp.example.com")},
		{arrived: elsewhere, host: "MCP.Example.com:8443", options: hosts("mcp.example.com")},
		{arrived: elsewhere, host: "mcp.example.com", options: hosts("other.example", "MCP.example.com:443")},
		{arrived: loopback, host: "mcp.example.com", options: hosts("mcp.example.com")},
		{arrived: elsewhere, host: "[2001:db8::1]:8080", options: hosts("2001:db8::1")},
		{arrived: elsewhere, host: "[2001:db8::1]:8080", options: hosts("[2001:db8::1]")},
		{arrived: elsewhere, host: "evil.example", options: hosts("mcp.example.com"), refused: "host"},
		{arrived: elsewhere, host: "mcp.example.com.evil.example", options: hosts("mcp.example.com"), refused: "host"},
		{arrived: elsewhere, host: "sub.mcp.example.com", options: hosts("mcp.example.com"), refused: "host"},
		{arrived: loopback, host: "localhost:8080", options: hosts("mcp.example.com"), refused: "host"},
		{arrived: elsewhere, host: "", options: hosts("mcp.example.com"), refused: "host"},

		// Origins: none, or the server's own.
		{arrived: loopback, host: "localhost:8080", origin: "http://localhost:8080"},
		{arrived: loopback, host: "localhost:8080", origin: "http://LOCALHOST:8080"},
		{arrived: loopback6, host: "[::1]:8080", origin: "http://[::1]:8080"},
		{arrived: elsewhere, host: "mcp.example.com", origin: "https://mcp.example.com"},
		{arrived: loopback, host: "localhost:8080", origin: "http://localhost:3000", refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "http://127.0.0.1:8080", refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "https://evil.example", refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "https://evil.example/localhost:8080", refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "http://localhost:8080@evil.example", refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "null", refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "http://", refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "\x7f", refused: "origin"},
		{arrived: elsewhere, host: "mcp.example.com", origin: "https://evil.example", refused: "origin"},

		// Allowed origins, besides the server's own.
		{arrived: loopback, host: "localhost:8080", origin: "https://app.example.com", options: origins("https://app.example.com")},
		{arrived: loopback, host: "localhost:8080", origin: "https://APP.example.com", options: origins("https://other.example", "https://App.example.com")},
		{arrived: loopback, host: "localhost:8080", origin: "http://localhost:8080", options: origins("https://app.example.com")},
		{arrived: loopback, host: "localhost:8080", options: origins("https://app.example.com")},
		{arrived: loopback, host: "localhost:8080", origin: "http://app.example.com", options: origins("https://app.example.com"), refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "https://app.example.com:444", options: origins("https://app.example.com"), refused: "origin"},
		{arrived: loopback, host: "localhost:8080", origin: "https://app.example.com.evil.example", options: origins("https://app.example.com"), refused: "origin"},
		{arrived: loopback, host: "evil.example", origin: "https://app.example.com", options: origins("https://app.example.com"), refused: "host"},
	} {
		t.Run(test.arrived+" for "+test.host+" from "+test.origin, func(t *testing.T) {
			e := newEndpoint(t, test.options)
			id := mcpsession.NewSessionID()
			if _, err := e.store.Create(t.Context(), id, mcpsession.Session{}); err != nil {
				t.Fatal(err)
			}
			for _, method := range []string{http.MethodPost, http.MethodDelete} {
				r := newRequest(method, methods[method], header("Mcp-Session-Id: "+id.Token()))
				r.Host = test.host
				if test.origin != "" {
					r.Header.Set("Origin", test.origin)
				}
				if test.arrived != "" {
					addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(test.arrived))
					r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, addr))
				}
				before := e.store.gets.Load()
				w := httptest.NewRecorder()
				e.ServeHTTP(w, r)
				if test.refused == "" {
					if w.Code != http.StatusOK {
						t.Errorf("%s is answered %d: %s", method, w.Code, w.Body)
					}
					continue
				}
				wantError(t, w, http.StatusForbidden, test.refused)
				if e.store.gets.Load() != before {
					t.Errorf("%s is refused, but asked the store", method)
				}
			}
		})
	}
}

func hosts(allowed ...string) server.Options   { return server.Options{AllowedHosts: allowed} }
func origins(allowed ...string) server.Options { return server.Options{AllowedOrigins: allowed} }

func TestAReboundNameReachesNothingOverLoopback(t *testing.T) {
	for what, test := range map[string]struct {
		options server.Options
		status  int
	}{
		"by default": {server.Options{}, http.StatusForbidden},
		"if allowed": {hosts("evil.example"), http.StatusOK},
	} {
		t.Run(what, func(t *testing.T) {
			e := newEndpoint(t, test.options)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.listen(t).URL, strings.NewReader(initialize))
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "evil.example"
			r.Header.Set("Content-Type", "application/json")
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != test.status {
				t.Errorf("initialize for evil.example is answered %s, want %d", response.Status, test.status)
			}
			if n := e.store.count(t); (n == 1) != (test.status == http.StatusOK) {
				t.Errorf("%d sessions are alive after %s", n, response.Status)
			}
		})
	}
}
