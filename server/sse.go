package server

import (
	"net/http"
	"strconv"
	"time"
)

const (
	// heartbeat is how often a quiet stream is written to, so that no proxy takes
	// it for dead, and how often whatever it reads from is read without a wake-up.
	heartbeat = 15 * time.Second

	// stalled is how long a client may take to accept a write.
	stalled = 30 * time.Second
)

// sse writes a text/event-stream. After the first write that fails it writes
// nothing: err tells why. Not safe for concurrent use.
type sse struct {
	w   http.ResponseWriter
	rc  *http.ResponseController
	buf []byte
	err error
}

// newSSE begins the response.
func newSSE(w http.ResponseWriter) *sse {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Accel-Buffering", "no") // nginx would keep events back otherwise
	w.WriteHeader(http.StatusOK)
	s := &sse{w: w, rc: http.NewResponseController(w)}
	s.flush()
	return s
}

// event writes a message, with an event id unless that is empty.
func (s *sse) event(id string, message []byte) {
	s.buf = s.buf[:0]
	if id != "" {
		s.buf = append(append(append(s.buf, "id: "...), id...), '\n')
	}
	s.buf = append(s.buf, "event: message\ndata: "...)
	s.buf = append(append(s.buf, message...), "\n\n"...)
	s.flush()
}

// prime gives the client an event id to resume from before there is a message
// (2025-11-25, basic/transports, Sending Messages to the Server, 6).
func (s *sse) prime(id string) {
	s.buf = append(append(append(s.buf[:0], "id: "...), id...), "\ndata: \n\n"...)
	s.flush()
}

// retry tells the client how long to wait before it connects again.
func (s *sse) retry(pause time.Duration) {
	s.buf = append(strconv.AppendInt(append(s.buf[:0], "retry: "...), pause.Milliseconds(), 10), "\n\n"...)
	s.flush()
}

// comment writes what clients ignore.
func (s *sse) comment() {
	s.buf = append(s.buf[:0], ": \n\n"...)
	s.flush()
}

func (s *sse) flush() {
	if s.err != nil {
		return
	}
	// Not every writer has deadlines; those that have none do not block for ever.
	_ = s.rc.SetWriteDeadline(time.Now().Add(stalled))
	if _, s.err = s.w.Write(s.buf); s.err == nil {
		s.err = s.rc.Flush()
	}
}
