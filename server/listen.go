package server

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

var _ mcpserver.SessionWithSubscriptionFilter = (*clientSession)(nil)

// SetSubscriptionFilter is told what a client listens for, as far as the server
// offers it.
func (s *clientSession) SetSubscriptionFilter(filter mcp.SubscriptionFilter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.filter = &filter
}

// SubscriptionFilter implements mcpserver.SessionWithSubscriptionFilter.
func (s *clientSession) SubscriptionFilter() (mcp.SubscriptionFilter, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.filter == nil {
		return mcp.SubscriptionFilter{}, false
	}
	return *s.filter, true
}

// listeners are the subscriptions/listen streams of this process, each with the
// subscription id that its messages carry. The zero listeners is usable.
type listeners struct {
	mu   sync.Mutex
	open map[*clientSession]any
}

// add has a stream hear of what comes, once it was told that it will.
func (l *listeners) add(s *clientSession, acknowledged mcp.JSONRPCNotification) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = make(map[*clientSession]any)
	}
	l.open[s] = acknowledged.Params.Meta[mcp.MetaKeySubscriptionID]
}

func (l *listeners) remove(s *clientSession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, s)
}

// send hands a broadcast to every stream that asked for its kind. It waits for no
// client.
func (l *listeners) send(b broadcast) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) == 0 {
		return
	}
	var n mcp.JSONRPCNotification
	if json.Unmarshal(b.text, &n) != nil {
		return
	}
	for s, id := range l.open {
		if filter, ok := s.SubscriptionFilter(); !ok || !asksFor(filter, b) {
			continue
		}
		tagged := n
		tagged.Params.Meta = map[string]any{mcp.MetaKeySubscriptionID: id}
		for key, value := range n.Params.Meta {
			if key != mcp.MetaKeySubscriptionID {
				tagged.Params.Meta[key] = value
			}
		}
		s.hear(tagged)
	}
}

// resources are those of which some stream wants to hear.
func (l *listeners) resources() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[string]bool)
	for s := range l.open {
		filter, _ := s.SubscriptionFilter()
		for _, uri := range filter.ResourceSubscriptions {
			all[uri] = true
		}
	}
	return slices.Collect(maps.Keys(all))
}

// hear has a stream deliver a message, unless it just ended.
func (s *clientSession) hear(n mcp.JSONRPCNotification) {
	s.mu.Lock()
	o := s.outbox // made for the acknowledgement
	s.mu.Unlock()
	select {
	case o.in <- n: // which is taken in at once
	case <-o.delivered:
	}
}

func asksFor(filter mcp.SubscriptionFilter, b broadcast) bool {
	switch b.method {
	case mcp.MethodNotificationToolsListChanged:
		return filter.ToolsListChanged
	case mcp.MethodNotificationPromptsListChanged:
		return filter.PromptsListChanged
	case mcp.MethodNotificationResourcesListChanged:
		return filter.ResourcesListChanged
	case mcp.MethodNotificationResourceUpdated:
		return slices.Contains(filter.ResourceSubscriptions, b.uri)
	}
	return false // a client gets nothing that it did not ask for
}
