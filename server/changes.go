package server

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
)

// everythingChanged is what a client is told whose stream was away for longer
// than the fleet log reaches: a change of every list whose changes the server
// announces.
func (h *Handler) everythingChanged(ctx context.Context) [][]byte {
	var changes [][]byte
	for _, method := range h.announcedLists(ctx) {
		changes = append(changes, notification(method, nil))
	}
	return changes
}

// announcedLists are the notifications by which the server announces changes. It
// can offer more than when it started, so it is asked.
func (h *Handler) announcedLists(ctx context.Context) []string {
	discover := encode(map[string]any{
		"jsonrpc": mcp.JSONRPC_VERSION, "id": 1, "method": mcp.MethodServerDiscover,
		"params": map[string]any{"_meta": map[string]any{
			mcp.MetaKeyProtocolVersion:    mcp.ProtocolVersion20260728,
			mcp.MetaKeyClientCapabilities: struct{}{},
		}},
	})
	s := &clientSession{h: h, ctx: ctx, id: h.tap.id}
	response, ok := h.mcp.HandleMessage(h.mcp.WithContext(ctx, s), discover).(mcp.JSONRPCResponse)
	result, isDiscovery := response.Result.(mcp.DiscoverResult)
	if !ok || !isDiscovery {
		h.logger.Error("the server does not say what it offers, so a client that was long away is not told what may have changed")
		return nil
	}
	var methods []string
	if c := result.Capabilities.Tools; c != nil && c.ListChanged {
		methods = append(methods, mcp.MethodNotificationToolsListChanged)
	}
	if c := result.Capabilities.Prompts; c != nil && c.ListChanged {
		methods = append(methods, mcp.MethodNotificationPromptsListChanged)
	}
	if c := result.Capabilities.Resources; c != nil && c.ListChanged {
		methods = append(methods, mcp.MethodNotificationResourcesListChanged)
	}
	return methods
}
