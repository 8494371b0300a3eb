package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/rs/cors"
)

// guard refuses requests that a web page makes in a user's browser, as the
// specification demands (2025-11-25, basic/transports, Security Warning).
type guard struct {
	hosts   []string
	origins []string
}

func newGuard(hosts, origins []string) guard {
	g := guard{}
	for _, host := range hosts {
		g.hosts = append(g.hosts, hostName(host))
	}
	for _, origin := range origins {
		g.origins = append(g.origins, strings.ToLower(origin))
	}
	return g
}

func (g guard) check(r *http.Request) error {
	host := hostName(r.Host)
	switch {
	case len(g.hosts) > 0 && !slices.Contains(g.hosts, host):
		return fmt.Errorf("host %q is not one that this server answers", r.Host)
	case len(g.hosts) == 0 && arrivedOnLoopback(r) && !isLoopback(host):
		return fmt.Errorf("host %q is not a loopback name, and the request came over loopback: allow it in AllowedHosts (ALLOWED_HOSTS)", r.Host)
	}
	origin := r.Header.Get("Origin")
	if origin == "" || slices.Contains(g.origins, strings.ToLower(origin)) {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) {
		return nil
	}
	return fmt.Errorf("origin %q is not one that this server answers", origin)
}

// allowOrigins lets web pages of these origins read the answers (CORS).
func allowOrigins(next http.Handler, origins []string) http.Handler {
	if len(origins) == 0 { // which the library takes for all
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodDelete},
		AllowedHeaders: []string{"*"},
		ExposedHeaders: []string{mcp.HeaderSessionID, mcp.HeaderProtocolVersion, "Retry-After"},
		MaxAge:         7200, // seconds, the most that a browser takes
	}).Handler(next)
}

// hostName is the lower-case host of a Host header, without port and brackets.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

func arrivedOnLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if tcp, isTCP := addr.(*net.TCPAddr); isTCP {
		return tcp.IP.IsLoopback()
	}
	return ok && isLoopback(hostName(addr.String()))
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
