package server

import (
	"context"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// tap is the one session that is registered with MCPServer in every process: it
// is sent what is for all clients, and hands it to the whole fleet.
type tap struct {
	id     string
	outbox *outbox
}

var _ mcpserver.ClientSession = (*tap)(nil)

func (t *tap) Initialize()                                         {}
func (t *tap) Initialized() bool                                   { return true }
func (t *tap) SessionID() string                                   { return t.id }
func (t *tap) NotificationChannel() chan<- mcp.JSONRPCNotification { return t.outbox.in }

// openTap begins to forward what the application sends to all clients.
func (h *Handler) openTap() error {
	h.tap = &tap{id: "every client of replica " + h.broker.Replica()}
	h.tap.outbox = newOutbox(func(n mcp.JSONRPCNotification) {
		ctx, cancel := context.WithTimeout(h.life, storeTimeout)
		defer cancel()
		if err := h.fleet.publish(ctx, fleetEvent{Kind: fleetBroadcast, Message: encode(n)}); err != nil {
			h.logger.Error("a message to all clients is lost", "method", n.Method, "error", err)
		}
	})
	if err := h.mcp.RegisterSession(h.life, h.tap); err != nil {
		h.tap.outbox.close()
		return fmt.Errorf("server.New: listen to what is sent to all clients: %w", err)
	}
	return nil
}

func (h *Handler) closeTap() {
	h.mcp.UnregisterSession(h.life, h.tap.id)
	h.tap.outbox.close()
}
