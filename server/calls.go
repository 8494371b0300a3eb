package server

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/mcpsession/mcpsession"
)

// errCancelled is the cause of a context whose call the client cancelled, and
// errEnded of one whose session ended.
var (
	errCancelled = errors.New("cancelled by the client")
	errEnded     = errors.New("the session ended")
)

// calls are the requests that run in this process, so that a cancellation, which
// may arrive on any replica, finds them. The zero calls is usable.
type calls struct {
	mu      sync.Mutex
	running map[callKey]context.CancelCauseFunc
}

// callKey is a request id as the client wrote it, within its session.
type callKey struct {
	ref mcpsession.Ref
	id  string
}

// add enters a call, until remove is called.
func (c *calls) add(ref mcpsession.Ref, id json.RawMessage, cancel context.CancelCauseFunc) (remove func()) {
	key := callKey{ref, string(id)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = make(map[callKey]context.CancelCauseFunc)
	}
	c.running[key] = cancel
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, key)
	}
}

// cancel cancels a call, and reports whether it runs here.
func (c *calls) cancel(ref mcpsession.Ref, id json.RawMessage) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	cancel, ok := c.running[callKey{ref, string(id)}]
	if ok {
		cancel(errCancelled)
	}
	return ok
}

// end cancels all calls of a session.
func (c *calls) end(ref mcpsession.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, cancel := range c.running {
		if key.ref == ref {
			cancel(errEnded)
		}
	}
}
