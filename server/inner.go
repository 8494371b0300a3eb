package server

import (
	"log/slog"
	"net/http"

	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

// newInner returns mcp-go's transport, which dispatches the messages of a
// session that was opened before. It is to be replaced by one of our own.
func newInner(mcp *mcpserver.MCPServer) http.Handler {
	return mcpserver.NewStreamableHTTPServer(mcp,
		mcpserver.WithSessionIdManagerResolver(opened{}),
		mcpserver.WithDisableLocalhostProtection(true), // guard does that
		// Its logger would be told session ids.
		mcpserver.WithStreamableHTTPLogger(slog.New(slog.DiscardHandler)),
	)
}

// opened tells mcp-go that the session of a request is the one opened for it.
type opened struct{}

func (opened) ResolveSessionIdManager(r *http.Request) mcpserver.SessionIdManager {
	if live, ok := mcpsession.FromContext(r.Context()); ok {
		return openedID{live.ID().Token()}
	}
	return openedID{}
}

type openedID struct{ token string }

func (o openedID) Generate() string               { return o.token }
func (o openedID) Validate(string) (bool, error)  { return false, nil }
func (o openedID) Terminate(string) (bool, error) { return false, nil }
