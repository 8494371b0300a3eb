package server

import (
	"context"
	"errors"
	"time"

	mcpserver "github.com/mark3labs/mcp-go/server"
)

// ErrNoStream: the call being served has no stream that its client could take up
// again.
var ErrNoStream = errors.New("the call has no stream that can be closed")

// CloseStream ends the response to the call being served, while the call goes
// on: its client comes back for the rest after the pause, with Last-Event-ID, to
// whichever replica. Long calls need no open connection that way (2025-11-25,
// basic/transports, Sending Messages to the Server, 6). Error: [ErrNoStream], for
// clients of other protocol versions among others, who would take it for a lost
// connection.
func CloseStream(ctx context.Context, pause time.Duration) error {
	s, ok := mcpserver.ClientSessionFromContext(ctx).(*clientSession)
	if !ok || s.reply == nil || !s.reply.prime {
		return ErrNoStream
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	if !s.reply.close(pause) {
		return ErrNoStream
	}
	return nil
}
