package server

import (
	"context"
	"net/http"
	"reflect"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// passHeaders has handlers see the headers of the HTTP request as request.Header,
// which mcp-go's own transport sets by a key that no other can use.
func passHeaders(srv *mcpserver.MCPServer) {
	hooks := srv.GetHooks()
	if hooks == nil {
		hooks = &mcpserver.Hooks{}
		mcpserver.WithHooks(hooks)(srv)
	}
	// First, so that the application's own hooks see them too.
	hooks.OnBeforeAny = append([]mcpserver.BeforeAnyHookFunc{setHeader}, hooks.OnBeforeAny...)
}

func setHeader(ctx context.Context, _ any, _ mcp.MCPMethod, request any) {
	s, ok := mcpserver.ClientSessionFromContext(ctx).(*clientSession)
	if !ok {
		return
	}
	if call, ok := request.(*mcp.CallToolRequest); ok { // the one that matters for speed
		call.Header = s.http
		return
	}
	value := reflect.ValueOf(request)
	if value.Kind() != reflect.Pointer || value.Elem().Kind() != reflect.Struct {
		return
	}
	if field := value.Elem().FieldByName("Header"); field.IsValid() && field.Type() == reflect.TypeFor[http.Header]() {
		field.Set(reflect.ValueOf(s.http))
	}
}
