package redisharness

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
)

// dialer is the type of [redis.Options.Dialer].
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// network is what lies between one store and the server.
type network struct {
	connect dialer

	mu     sync.Mutex
	down   bool
	deaf   bool // messages to subscribers disappear
	conns  map[*conn]bool
	lose   int // the number of the reply to lose, counting down; 0 for none
	during func()
}

func newNetwork(connect dialer) *network {
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	return &network{connect: connect, conns: make(map[*conn]bool)}
}

func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, errors.New("network is down")
	}
	inner, err := n.connect(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: inner, network: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = true
	return c, nil
}

// fail breaks all connections and allows no new ones, or allows them again.
func (n *network) fail(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
	if down {
		for c := range n.conns {
			c.breakOff()
		}
		clear(n.conns)
	}
}

// deafen makes messages to subscribers disappear, and what else comes on their
// connections, or lets them through again. It expects them to arrive whole.
func (n *network) deafen(deaf bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = deaf
}

func (n *network) isDeaf() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deaf
}

// loseReply makes the nth reply from now on disappear: during runs when it
// arrives, then its connection breaks.
func (n *network) loseReply(nth int, during func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose, n.during = nth, during
}

// replyArrived counts a reply and returns what to do if it is to be lost.
func (n *network) replyArrived() (during func(), lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.lose == 0 {
		return nil, false
	}
	n.lose--
	return n.during, n.lose == 0
}

// conn carries one request and its reply at a time, or, once it has subscribed,
// messages, which are no replies.
type conn struct {
	net.Conn
	network *network

	mu         sync.Mutex
	awaiting   bool
	subscribed bool
	broken     bool
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.subscribed = c.subscribed || bytes.Contains(b, []byte("\r\nsubscribe\r\n"))
	c.awaiting = !c.subscribed
	broken := c.broken
	c.mu.Unlock()
	if broken {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	return c.Conn.Write(b)
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	isReply := c.awaiting && n > 0
	if isReply {
		c.awaiting = false
	}
	subscribed, broken := c.subscribed, c.broken
	c.mu.Unlock()
	if broken {
		return 0, io.EOF
	}
	if subscribed && err == nil && c.network.isDeaf() {
		return c.Read(b)
	}
	if isReply {
		if during, lost := c.network.replyArrived(); lost {
			during()
			c.breakOff()
			return 0, io.EOF
		}
	}
	return n, err
}

// breakOff ends the connection as a peer that goes away does.
func (c *conn) breakOff() {
	c.mu.Lock()
	c.broken = true
	c.mu.Unlock()
	c.Conn.Close()
}
