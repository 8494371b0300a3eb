package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"sort"
	"sync"
	"time"

	"github.com/mcpsession/mcpsession"
)

// The fleet log is what every replica has to hear of. Each follows it from its
// own position, so that none of it is lost with a connection.
var fleetKey = mcpsession.Key{Name: "fleet"}

// fleetKeep bounds the log. A client whose stream was away for longer is told
// that every list may have changed.
var fleetKeep = mcpsession.Retention{Events: 10_000, For: time.Hour}

// fleetWindow is how many of the latest broadcasts each replica holds in memory,
// so that streams that are up to date need not read the log.
const fleetWindow = 1000

// fleetRetry is the pause after the log could not be read.
const fleetRetry = time.Second

// Kinds of fleetEvent.
const (
	fleetBroadcast = "broadcast" // Message is for every session
	fleetCancelled = "cancelled" // Request of session Ref was cancelled by its client
	fleetEnded     = "ended"     // session Ref was ended
)

type fleetEvent struct {
	Kind    string          `json:"kind"`
	Ref     mcpsession.Ref  `json:"ref,omitzero"`
	Request json.RawMessage `json:"request,omitempty"`
	Message json.RawMessage `json:"message,omitempty"`
}

// broadcast is a message for every session.
type broadcast struct {
	at     mcpsession.Position
	text   []byte
	method string
	uri    string // of a notifications/resources/updated
}

// newBroadcast is nil for an event that is none.
func newBroadcast(at mcpsession.Position, e fleetEvent) *broadcast {
	if e.Kind != fleetBroadcast {
		return nil
	}
	b := &broadcast{at: at, text: e.Message}
	if m, err := parseMessage(e.Message); err == nil {
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

// fleet follows the log and holds its latest broadcasts.
type fleet struct {
	broker mcpsession.Broker
	logger *slog.Logger
	heard  func(fleetEvent, *broadcast) // of each event, in order

	mu     sync.Mutex
	from   mcpsession.Position // the window holds what came after it
	upTo   mcpsession.Position // how far the log was followed
	recent []broadcast
	begun  bool // from and upTo are known
}

func (f *fleet) publish(ctx context.Context, e fleetEvent) error {
	if _, err := f.broker.Append(ctx, fleetKey, encode(e), fleetKeep); err != nil {
		return fmt.Errorf("tell the other replicas: %w", err)
	}
	return nil
}

// follow runs until ctx ends, whatever the broker does meanwhile.
func (f *fleet) follow(ctx context.Context) {
	woken := make(chan struct{}, 1)
	defer f.broker.Watch(fleetKey, woken)()
	failing := false
	for ctx.Err() == nil {
		err := f.catchUp(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			f.logger.Error("out of touch with the other replicas; retrying", "error", err)
		}
		if failing && err == nil {
			f.logger.Info("in touch with the other replicas again")
		}
		failing = err != nil
		pause := heartbeat
		if failing {
			pause = fleetRetry
		}
		select {
		case <-woken:
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// catchUp reads what came since the last time. The first time it only finds out
// where the log ends.
func (f *fleet) catchUp(ctx context.Context) error {
	f.mu.Lock()
	after, begun := f.upTo, f.begun
	f.mu.Unlock()
	if !begun {
		page, err := f.broker.Read(ctx, fleetKey, math.MaxUint64)
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.from, f.upTo, f.begun = page.Last, page.Last, true
		f.mu.Unlock()
		return nil
	}
	for {
		page, err := f.broker.Read(ctx, fleetKey, after)
		if err != nil || len(page.Events) == 0 {
			return err
		}
		for _, event := range page.Events {
			after = event.Position
			f.hear(event)
		}
	}
}

func (f *fleet) hear(event mcpsession.Event) {
	var e fleetEvent
	if err := json.Unmarshal(event.Data, &e); err != nil {
		f.logger.Error("an event of another replica is not understood", "error", err)
	}
	b := newBroadcast(event.Position, e)
	f.mu.Lock()
	if b != nil {
		f.recent = append(f.recent, *b)
		if n := len(f.recent) - fleetWindow; n > 0 {
			f.from = f.recent[n-1].at
			f.recent = append([]broadcast(nil), f.recent[n:]...)
		}
	}
	f.upTo = event.Position
	f.mu.Unlock()
	f.heard(e, b)
}

// since returns the broadcasts after a position that this replica has heard of,
// and how far that is. It is not complete if some were dropped from the log.
func (f *fleet) since(ctx context.Context, after mcpsession.Position) (news []broadcast, upTo mcpsession.Position, complete bool, err error) {
	f.mu.Lock()
	from, upTo, recent, begun := f.from, f.upTo, f.recent, f.begun
	f.mu.Unlock()
	if !begun || after >= upTo {
		return nil, after, true, nil
	}
	if after >= from {
		i := sort.Search(len(recent), func(i int) bool { return recent[i].at > after })
		return recent[i:], upTo, true, nil
	}
	return f.read(ctx, span{after, upTo})
}

// read reads broadcasts from the log itself.
func (f *fleet) read(ctx context.Context, s span) (news []broadcast, upTo mcpsession.Position, complete bool, err error) {
	complete = true
	for first := true; s.after < s.upTo; first = false {
		page, err := f.broker.Read(ctx, fleetKey, s.after)
		if err != nil {
			return nil, 0, false, err
		}
		if first {
			complete = !dropped(page, s.after)
		}
		if len(page.Events) == 0 {
			break
		}
		for _, event := range page.Events {
			if s.after = event.Position; s.after > s.upTo {
				break
			}
			var e fleetEvent
			if json.Unmarshal(event.Data, &e) != nil {
				continue
			}
			if b := newBroadcast(event.Position, e); b != nil {
				news = append(news, *b)
			}
		}
	}
	return news, s.upTo, complete, nil
}

// dropped reports whether events after a position may be missing from the log:
// it is full, or it ended for want of events and began anew.
func dropped(page mcpsession.Page, after mcpsession.Position) bool {
	if page.Len == 0 {
		return time.Since(time.UnixMilli(int64(after.Milli()))) > fleetKeep.For
	}
	return page.First > after &&
		(page.Len >= fleetKeep.Events || page.First.Milli()-after.Milli() > uint64(fleetKeep.For.Milliseconds()))
}
