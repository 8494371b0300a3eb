package server

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/mcpsession/mcpsession"
)

// What is for every session goes through the fleet log, which every replica
// follows. It holds every message as it is sent.
var fleetKey = mcpsession.Key{Name: "fleet"}

// fleetKeep bounds the log. A client whose stream was away for longer is told
// that every list may have changed.
var fleetKeep = mcpsession.Retention{Events: 10_000, For: time.Hour}

// broadcast is a message for every session.
type broadcast struct {
	at     mcpsession.Position
	text   []byte
	method string
	uri    string // of a notifications/resources/updated
}

func newBroadcast(e mcpsession.Event) broadcast {
	b := broadcast{at: e.Position, text: e.Data}
	if m, err := parseMessage(e.Data); err == nil {
		b.method = m.Method
		var params struct {
			URI string `json:"uri"`
		}
		if json.Unmarshal(m.Params, &params) == nil {
			b.uri = params.URI
		}
	}
	return b
}

// fleet holds the broadcasts that this replica has heard of.
type fleet struct {
	heard func(news []broadcast, complete bool) // of those that are new

	mu     sync.Mutex
	read   time.Time           // when the log was read last, zero at first
	from   mcpsession.Position // everything that came after it is in recent
	upTo   mcpsession.Position // how far the log was followed
	recent []broadcast
}

// hear takes in a page of the log.
func (f *fleet) hear(page mcpsession.Page) {
	f.mu.Lock()
	first := f.read.IsZero()
	missed := !first && (time.Since(f.read) > fleetKeep.For || page.Len >= fleetKeep.Events && page.First-1 > f.upTo)
	f.read = time.Now()
	if first || missed {
		f.from = max(reach(page), f.upTo)
		f.upTo, f.recent = f.from, nil
	}
	news := make([]broadcast, len(page.Events))
	for i, event := range page.Events {
		news[i] = newBroadcast(event)
		f.upTo = event.Position
	}
	f.recent = append(f.recent, news...)
	if n := len(f.recent) - fleetKeep.Events; n > 0 {
		f.from = f.recent[n-1].at
		f.recent = append([]broadcast(nil), f.recent[n:]...)
	}
	f.mu.Unlock()
	if len(news) > 0 || missed {
		f.heard(news, !missed)
	}
}

// reach is the position after which a log certainly has everything that was
// appended to it: it drops the oldest events when it is full, and ends when
// nothing was appended for long.
func reach(page mcpsession.Page) mcpsession.Position {
	switch {
	case page.Len == 0:
		return mcpsession.PositionAt(time.Now().Add(-fleetKeep.For))
	case page.Len >= fleetKeep.Events:
		return page.First - 1
	default:
		return mcpsession.PositionAt(time.UnixMilli(int64(page.First.Milli())).Add(-fleetKeep.For))
	}
}

// since returns the broadcasts after a position that this replica has heard of,
// and how far that is. It is not complete if there were others that are no longer
// known.
func (f *fleet) since(after mcpsession.Position) (news []broadcast, upTo mcpsession.Position, complete bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if after >= f.upTo {
		return nil, after, true
	}
	i := sort.Search(len(f.recent), func(i int) bool { return f.recent[i].at > after })
	return f.recent[i:len(f.recent):len(f.recent)], f.upTo, after >= f.from
}

// publish sends a message to every session.
func (h *Handler) publish(ctx context.Context, text []byte) error {
	if _, err := h.broker.Append(ctx, fleetKey, text, fleetKeep); err != nil {
		return fmt.Errorf("tell the other replicas: %w", err)
	}
	return nil
}
