package redisharness

import (
	"net"
	"sync"
	"time"
)

// Queued returns a connection whose Write does not wait for the peer to read.
// An in-memory pipe needs that where both sides write before they read, as a
// long pipeline and its replies do. The peer is trusted to read on.
func Queued(c net.Conn) net.Conn {
	q := &queued{Conn: c, closed: make(chan struct{}), writes: make(chan []byte, 1<<12)}
	go q.pump()
	return q
}

type queued struct {
	net.Conn
	writes chan []byte
	once   sync.Once
	closed chan struct{}
}

func (q *queued) pump() {
	for {
		select {
		case b := <-q.writes:
			if _, err := q.Conn.Write(b); err != nil {
				q.Close()
				return
			}
		case <-q.closed:
			return
		}
	}
}

func (q *queued) Write(b []byte) (int, error) {
	select {
	case q.writes <- append([]byte(nil), b...):
		return len(b), nil
	case <-q.closed:
		return 0, net.ErrClosed
	}
}

// SetDeadline sets that of reads: writes do not wait.
func (q *queued) SetDeadline(t time.Time) error { return q.SetReadDeadline(t) }

func (q *queued) SetWriteDeadline(time.Time) error { return nil }

func (q *queued) Close() error {
	q.once.Do(func() { close(q.closed) })
	return q.Conn.Close()
}
