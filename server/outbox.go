package server

import (
	"context"

	"github.com/mark3labs/mcp-go/mcp"
)

// outboxBuffer is how many notifications fit until they are taken in. MCPServer
// drops what does not fit, and so asks for the channel when there is room.
const outboxBuffer = 1024

// outbox takes in the notifications that MCPServer sends to one of its sessions,
// which never waits for a receiver, and delivers them in order, however long
// that takes.
type outbox struct {
	in        chan mcp.JSONRPCNotification
	out       chan mcp.JSONRPCNotification
	turn      chan struct{} // of takeIn, to make room
	stop      chan struct{}
	delivered chan struct{} // closed when everything is
}

func newOutbox(deliver func(mcp.JSONRPCNotification)) *outbox {
	o := &outbox{
		in:        make(chan mcp.JSONRPCNotification, outboxBuffer),
		out:       make(chan mcp.JSONRPCNotification),
		turn:      make(chan struct{}),
		stop:      make(chan struct{}),
		delivered: make(chan struct{}),
	}
	go o.takeIn()
	go func() {
		defer close(o.delivered)
		for n := range o.out {
			if reached, ok := n.Params.AdditionalFields[barrier].(chan struct{}); ok {
				close(reached)
				continue
			}
			deliver(n)
		}
	}()
	return o
}

// takeIn keeps the channel empty, whatever delivery does: the queue has no
// bound, since a handler's messages arrive complete or its call fails.
func (o *outbox) takeIn() {
	defer close(o.out)
	var queue []mcp.JSONRPCNotification
	for stop := o.stop; stop != nil || len(queue) > 0 || len(o.in) > 0; {
		var out chan<- mcp.JSONRPCNotification
		var next mcp.JSONRPCNotification
		if len(queue) > 0 {
			out, next = o.out, queue[0]
		}
		select {
		case n := <-o.in:
			queue = append(queue, n)
		case out <- next:
			queue = queue[1:]
		case <-o.turn:
			for len(o.in) > 0 {
				queue = append(queue, <-o.in)
			}
		case <-stop:
			stop = nil
		}
	}
}

// room waits until much more fits.
func (o *outbox) room() {
	for len(o.in) > outboxBuffer/2 {
		select {
		case o.turn <- struct{}{}:
		case <-o.delivered:
			return
		}
	}
}

// barrier is the parameter of a notification that stands for a place in the
// queue, and never leaves it.
const barrier = "\x00reached"

// flush waits until everything that was sent before is delivered.
func (o *outbox) flush(ctx context.Context) error {
	reached := make(chan struct{})
	mark := mcp.JSONRPCNotification{}
	mark.Params.AdditionalFields = map[string]any{barrier: reached}
	for in := o.in; ; {
		select {
		case in <- mark:
			in = nil
		case <-reached:
			return nil
		case <-o.delivered:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// close delivers what was sent before and ends the outbox. It is called once.
func (o *outbox) close() {
	close(o.stop)
	<-o.delivered
}
