package server

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// tap is the one session that is registered with MCPServer in every process: it
// is sent what is for all clients, and hands it to the whole fleet.
type tap struct {
	id     string
	outbox *outbox
	sent   atomic.Int64 // how often something was, or was about to be
}

var _ mcpserver.ClientSession = (*tap)(nil)

func (t *tap) Initialize()       {}
func (t *tap) Initialized() bool { return true }
func (t *tap) SessionID() string { return t.id }

func (t *tap) NotificationChannel() chan<- mcp.JSONRPCNotification {
	t.sent.Add(1)
	t.outbox.room()
	return t.outbox.in
}

// openTap begins to forward what the application sends to all clients.
func (h *Handler) openTap() error {
	h.tap = &tap{id: "every client of replica " + h.broker.Replica()}
	h.tap.outbox = newOutbox(h.broadcast)
	if err := h.mcp.RegisterSession(h.life, h.tap); err != nil {
		h.tap.outbox.close()
		return fmt.Errorf("server.New: listen to what is sent to all clients: %w", err)
	}
	return nil
}

// published waits until what a call sent to all clients, which began when sent
// was before, is in the fleet log: so it comes before whatever a client that has
// the call's answer does next, on any replica. It waits for a moment only, for
// during an outage the message is late.
func (h *Handler) published(ctx context.Context, before int64) {
	if h.tap.sent.Load() == before {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = h.tap.outbox.flush(ctx)
}

// broadcast publishes a notification, however long the broker is out of reach.
func (h *Handler) broadcast(n mcp.JSONRPCNotification) {
	if n.Method == methodTaskStatus {
		return
	}
	text := encode(n)
	for failing := false; ; failing = true {
		ctx, cancel := context.WithTimeout(h.life, storeTimeout)
		err := h.publish(ctx, text)
		cancel()
		if err == nil {
			return
		}
		if h.life.Err() != nil {
			h.logger.Error("a message to all clients is lost", "method", n.Method, "error", err)
			return
		}
		if !failing {
			h.logger.Error("a message to all clients is late; retrying", "method", n.Method, "error", err)
		}
		pause(h.life, fleetRetry)
	}
}

// methodTaskStatus is of one client's task, and MCPServer sends it to all.
const methodTaskStatus = "notifications/tasks/status"

func (h *Handler) closeTap() {
	h.mcp.UnregisterSession(h.life, h.tap.id)
	h.tap.outbox.close()
}
