package mcptest

import (
	"bufio"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// Stream is an event stream, read as it arrives.
type Stream struct {
	t      testing.TB
	body   io.Closer
	events chan Message
	ended  chan struct{} // closed with the stream

	mu      sync.Mutex
	lastID  string
	primeID string
	retry   string
	failure error // why it ended, unless it was closed by the server
}

func newStream(t testing.TB, body io.ReadCloser) *Stream {
	s := &Stream{t: t, body: body, events: make(chan Message, 10_000), ended: make(chan struct{})}
	t.Cleanup(func() { body.Close() })
	go s.read(body)
	return s
}

func (s *Stream) read(body io.Reader) {
	defer close(s.ended)
	lines := bufio.NewReader(body)
	var id, data string
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			s.mu.Lock()
			if err != io.EOF {
				s.failure = err
			}
			s.mu.Unlock()
			return
		}
		field, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "data":
			data += value
		case "retry":
			s.mu.Lock()
			s.retry = value
			s.mu.Unlock()
		}
		if strings.TrimRight(line, "\r\n") != "" {
			continue
		}
		s.mu.Lock()
		if id != "" {
			s.lastID = id
		}
		if id != "" && data == "" {
			s.primeID = id
		}
		s.mu.Unlock()
		if data != "" {
			s.events <- parse(s.t, id, []byte(data))
		}
		id, data = "", ""
	}
}

// Next waits for the next message.
func (s *Stream) Next() Message {
	s.t.Helper()
	m, ok := s.next(Patience)
	if !ok {
		s.t.Fatalf("no message arrives within %v (the stream: %v)", Patience, s.state())
	}
	return m
}

// Wait waits for the next message until the stream or ctx ends: then there is
// none.
func (s *Stream) Wait(ctx context.Context) (Message, bool) {
	select {
	case m := <-s.events:
		return m, true
	case <-ctx.Done():
		return Message{}, false
	case <-s.ended:
	}
	select { // what arrived before the end
	case m := <-s.events:
		return m, true
	default:
		return Message{}, false
	}
}

func (s *Stream) next(within time.Duration) (Message, bool) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case m := <-s.events:
		return m, true
	default:
	}
	select {
	case m := <-s.events:
		return m, true
	case <-timer.C:
		return Message{}, false
	case <-s.ended:
	}
	select { // what arrived before the end
	case m := <-s.events:
		return m, true
	default:
		return Message{}, false
	}
}

// NextOf waits for the next message of a method, past others.
func (s *Stream) NextOf(method string) Message {
	s.t.Helper()
	for {
		if m := s.Next(); m.Method == method {
			return m
		}
	}
}

// Until waits for the response with this id, and returns what came before it,
// too.
func (s *Stream) Until(id string) (response Message, before []Message) {
	s.t.Helper()
	for {
		m := s.Next()
		if m.Method == "" && string(m.ID) == id {
			return m, before
		}
		before = append(before, m)
	}
}

// Quiet fails the test if a message arrives within d, and returns what had
// arrived if so.
func (s *Stream) Quiet(d time.Duration) {
	s.t.Helper()
	if m, ok := s.next(d); ok {
		s.t.Errorf("a message arrives that should not: %s", m.Raw)
	}
}

// WantEnd waits for the server to end the stream.
func (s *Stream) WantEnd() {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(Patience):
		s.t.Fatalf("the stream is still open after %v", Patience)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		s.t.Errorf("the stream breaks off: %v", s.failure)
	}
}

// Ended is closed when the stream has ended, however it did.
func (s *Stream) Ended() <-chan struct{} { return s.ended }

// Break closes the connection, as a client that goes away, and returns the id to
// resume from.
func (s *Stream) Break() (lastEventID string) {
	s.body.Close()
	<-s.ended
	return s.LastID()
}

// LastID is the id of the last event that had one.
func (s *Stream) LastID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastID
}

// Primed reports whether there was an event with an id and without data.
func (s *Stream) Primed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primeID != ""
}

// PrimeID is the id of the last event with an id and without data.
func (s *Stream) PrimeID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primeID
}

// Arrived returns what has arrived and was not taken yet, without waiting.
func (s *Stream) Arrived() []Message {
	var all []Message
	for {
		select {
		case m := <-s.events:
			all = append(all, m)
		default:
			return all
		}
	}
}

// Retry is the last value of the retry field.
func (s *Stream) Retry() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retry
}

func (s *Stream) state() string {
	select {
	case <-s.ended:
		return "ended"
	default:
		return "open"
	}
}
