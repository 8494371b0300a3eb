package server

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// hook has MCPServer do what it does only for mcp-go's own transport, or not at
// all.
func hook(srv *mcpserver.MCPServer) {
	hooks := srv.GetHooks()
	if hooks == nil {
		hooks = &mcpserver.Hooks{}
		mcpserver.WithHooks(hooks)(srv)
	}
	// First, so that the application's own hooks see them too.
	hooks.OnBeforeAny = append([]mcpserver.BeforeAnyHookFunc{completeRequest}, hooks.OnBeforeAny...)
	hooks.AddOnError(noteError)
}

// noteError keeps what the protocol wants said of an error and MCPServer leaves
// out.
func noteError(ctx context.Context, _ any, _ mcp.MCPMethod, request any, err error) {
	s, ok := mcpserver.ClientSessionFromContext(ctx).(*clientSession)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var missing mcp.MissingRequiredClientCapabilityError
	if errors.As(err, &missing) { // answered as an internal error
		s.errorCode = mcp.MISSING_REQUIRED_CLIENT_CAPABILITY
		s.errorData = map[string]any{"requiredCapabilities": map[string]any{missing.Capability: struct{}{}}}
	}
	var unparsable *mcpserver.UnparsableMessageError
	if errors.As(err, &unparsable) && mcpserver.IsModernRequest(ctx) { // answered as an invalid request
		s.errorCode = mcp.INVALID_PARAMS
	}
	var coded interface{ RPCCode() int } // as [requeststate.ErrRefused] is
	if errors.As(err, &coded) {
		s.errorCode = coded.RPCCode()
	}
	if read, ok := request.(*mcp.ReadResourceRequest); ok && errors.Is(err, mcpserver.ErrResourceNotFound) {
		s.errorData = map[string]any{"uri": read.Params.URI}
	}
}

// completeRequest has handlers see the headers of the HTTP request as
// request.Header, which mcp-go's transport sets by a key that no other can use,
// and the parameters of a tools/call that was taken apart.
func completeRequest(ctx context.Context, _ any, _ mcp.MCPMethod, request any) {
	s, ok := mcpserver.ClientSessionFromContext(ctx).(*clientSession)
	if !ok {
		return
	}
	if call, ok := request.(*mcp.CallToolRequest); ok { // the one that matters for speed
		call.Header = s.http
		if s.call != nil {
			s.call.fill(ctx, s, call)
		}
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
