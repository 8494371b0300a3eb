package redisproxy

import (
	"bytes"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// wakeups decides on the Pub/Sub messages, and the life, of one proxy's
// connections.
type wakeups struct {
	vanish   atomic.Bool
	vanished atomic.Int64

	mu  sync.Mutex
	cut chan struct{} // closed when all connections are
}

// cutting is closed when the connections of now are to be.
func (w *wakeups) cutting() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *wakeups) cutAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.cut)
	w.cut = make(chan struct{})
}

// all is *wakeups by the name of its proxy.
var all sync.Map

func newWakeups(proxy string) *wakeups {
	w := &wakeups{cut: make(chan struct{})}
	all.Store(proxy, w)
	return w
}

// toxic reads the server's replies one by one, and lets Pub/Sub messages pass or
// not. It also closes the connection when that is cut. It is there from the start of each connection, so that it always knows
// where a reply begins.
type toxic struct {
	Proxy string `json:"proxy"`
}

var (
	_ toxics.Toxic         = (*toxic)(nil)
	_ toxics.StatefulToxic = (*toxic)(nil)
)

func init() { toxics.Register("wakeups", &toxic{}) }

// state is the part of a reply that has arrived.
type state struct{ buf []byte }

// NewState implements toxics.StatefulToxic.
func (t *toxic) NewState() any { return &state{} }

// Pipe implements toxics.Toxic.
func (t *toxic) Pipe(stub *toxics.ToxicStub) {
	found, _ := all.Load(t.Proxy)
	w, s := found.(*wakeups), stub.State.(*state)
	cut := w.cutting()
	for {
		select {
		case <-cut:
			stub.Close()
			return
		case <-stub.Interrupt:
			return
		case chunk := <-stub.Input:
			if chunk == nil {
				stub.Close()
				return
			}
			s.buf = append(s.buf, chunk.Data...)
			var pass []byte
			for {
				n := replyLen(s.buf)
				if n == 0 {
					break
				}
				if isMessage(s.buf[:n]) && w.vanish.Load() {
					w.vanished.Add(1)
				} else {
					pass = append(pass, s.buf[:n]...)
				}
				s.buf = s.buf[n:]
			}
			if len(pass) > 0 {
				stub.Output <- &stream.StreamChunk{Data: pass, Timestamp: chunk.Timestamp}
			}
		}
	}
}

// isMessage reports whether a reply is a Pub/Sub message, in RESP2 or RESP3.
func isMessage(reply []byte) bool {
	return bytes.HasPrefix(reply, []byte("*3\r\n$7\r\nmessage\r\n")) || bytes.HasPrefix(reply, []byte(">3\r\n$7\r\nmessage\r\n"))
}

// replyLen returns how long the first reply in b is, 0 if it has not arrived
// whole (https://redis.io/docs/latest/develop/reference/protocol-spec/).
func replyLen(b []byte) int {
	end := bytes.Index(b, []byte("\r\n")) + 2
	if end < 2 {
		return 0
	}
	n, err := strconv.Atoi(string(b[1 : end-2]))
	switch b[0] {
	case '$', '=', '!':
		if err != nil || n < 0 {
			return end
		}
		if end += n + 2; end > len(b) {
			return 0
		}
		return end
	case '%':
		n *= 2
	case '*', '~', '>':
	default:
		return end
	}
	for ; n > 0; n-- {
		one := replyLen(b[end:])
		if one == 0 {
			return 0
		}
		end += one
	}
	return end
}
