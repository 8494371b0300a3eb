package server

import (
	"crypto/rand"
	"strings"
	"sync"

	"github.com/mcpsession/mcpsession"
)

// streams are the GET streams that one handler serves.
type streams struct {
	name string // of the handler, in the fleet

	mu   sync.Mutex
	open map[mcpsession.Ref][]*stream
}

// connection names a request that serves a stream.
func (s *streams) connection() string { return s.name + "." + rand.Text() }

// own reports whether a connection is, or was, one of this handler.
func (s *streams) own(connection string) bool { return strings.HasPrefix(connection, s.name+".") }

func (s *streams) add(ref mcpsession.Ref, one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[mcpsession.Ref][]*stream)
	}
	s.open[ref] = append(s.open[ref], one)
}

func (s *streams) remove(ref mcpsession.Ref, one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rest []*stream
	for _, other := range s.open[ref] {
		if other != one {
			rest = append(rest, other)
		}
	}
	if s.open[ref] = rest; rest == nil {
		delete(s.open, ref)
	}
}

// serves reports whether a connection serves a stream here.
func (s *streams) serves(ref mcpsession.Ref, connection string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.open[ref] {
		if one.connection == connection {
			return true
		}
	}
	return false
}

// wake has every stream look for what is new.
func (s *streams) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, some := range s.open {
		for _, one := range some {
			select {
			case one.woken <- struct{}{}:
			default:
			}
		}
	}
}

// end closes all streams of a session.
func (s *streams) end(ref mcpsession.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.open[ref] {
		one.end()
	}
}
