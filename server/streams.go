package server

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"

	"github.com/mcpsession/mcpsession"
)

// streams are the GET requests that one handler serves.
type streams struct {
	name string // of the handler, in the fleet

	mu    sync.Mutex
	byRef map[mcpsession.Ref][]*openStream
}

// openStream is what others may want of a GET request.
type openStream struct {
	connection string             // names the request in the fleet
	news       chan struct{}      // there are broadcasts that it may not have seen
	end        context.CancelFunc // its session has ended
}

func (s *streams) open(ref mcpsession.Ref, end context.CancelFunc) *openStream {
	one := &openStream{connection: s.name + "." + rand.Text(), news: make(chan struct{}, 1), end: end}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byRef == nil {
		s.byRef = make(map[mcpsession.Ref][]*openStream)
	}
	s.byRef[ref] = append(s.byRef[ref], one)
	return one
}

func (s *streams) close(ref mcpsession.Ref, one *openStream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.byRef[ref], func(other *openStream) bool { return other == one })
	if s.byRef[ref] = rest; len(rest) == 0 {
		delete(s.byRef, ref)
	}
}

// own reports whether a connection is, or was, one of this handler.
func (s *streams) own(connection string) bool { return strings.HasPrefix(connection, s.name+".") }

// serves reports whether a connection is open here.
func (s *streams) serves(ref mcpsession.Ref, connection string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.byRef[ref], func(one *openStream) bool { return one.connection == connection })
}

// wake has every stream look for broadcasts.
func (s *streams) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, some := range s.byRef {
		for _, one := range some {
			select {
			case one.news <- struct{}{}:
			default:
			}
		}
	}
}

// end closes all streams of a session.
func (s *streams) end(ref mcpsession.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.byRef[ref] {
		one.end()
	}
}
