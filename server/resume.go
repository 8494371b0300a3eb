package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// resumed is the stream of an answer whose connection broke, followed from its
// record.
type resumed struct {
	h      *Handler
	broker mcpsession.Broker
	key    mcpsession.Key
	name   string
	after  mcpsession.Position
	sse    *sse
	over   bool
}

// resumeRecord sends what was recorded after the last event that the client saw,
// and goes on with the call while it runs, wherever that is.
func (h *Handler) resumeRecord(ctx context.Context, w http.ResponseWriter, live *mcpsession.Live, last lastEvent) {
	session := live.Session()
	s := &resumed{h: h, broker: h.broker, key: recordKey(session.Ref, last.record), name: last.record, after: last.mail}
	if s.key.Validate() != nil {
		writeError(w, http.StatusBadRequest, errNoRecord.Error())
		return
	}
	woken := make(chan struct{}, 1)
	defer h.broker.Watch(s.key, woken)()
	// With the event that the client saw last, since that may be the answer: then
	// there is nothing to wait for, also if two replicas noticed the death of the
	// one that ran the call, and each answered in its place.
	page, err := h.broker.Read(ctx, s.key, max(s.after, 1)-1)
	if err != nil {
		h.writeStoreError(w, "resume a stream of", err)
		return
	}
	if page.Last < s.after || page.Len == 0 {
		writeError(w, http.StatusBadRequest, errNoRecord.Error())
		return
	}
	if len(page.Events) > 0 && page.Events[0].Position == s.after {
		s.over = isOver(page.Events[0])
		page.Events = page.Events[1:]
	}
	s.sse = newSSE(w)
	if takesPriming(session) { // so that it can be resumed again, whatever comes
		s.sse.prime(recordEventID(s.name, s.after))
	}
	s.follow(ctx, page, woken, newKeeper(h.store, live, session))
}

func (s *resumed) follow(ctx context.Context, page mcpsession.Page, woken <-chan struct{}, k *keeper) {
	beat := time.NewTicker(min(heartbeat, k.every))
	defer beat.Stop()
	look := time.NewTicker(recheck)
	defer look.Stop()
	for !s.over {
		s.write(page.Events)
		if s.over || s.sse.err != nil || ctx.Err() != nil {
			return
		}
		if len(page.Events) == 0 {
			select {
			case <-woken:
			case <-look.C:
				if s.abandoned(ctx) {
					return
				}
			case <-beat.C:
				s.sse.comment()
				if errors.Is(k.touch(ctx), mcpsession.ErrNotFound) {
					return
				}
			case <-ctx.Done():
			}
		}
		var err error
		if page, err = s.broker.Read(ctx, s.key, s.after); err != nil {
			page = mcpsession.Page{} // an outage: look again later
		} else if page.Last < s.after {
			return // the record is gone, and nobody writes to it any more
		}
	}
}

func (s *resumed) write(events []mcpsession.Event) {
	for _, event := range events {
		s.after = event.Position
		switch event.Data[0] {
		case recordLast, recordMessage:
			s.sse.event(recordEventID(s.name, s.after), event.Data[1:])
		}
		if s.over = isOver(event); s.over {
			return
		}
	}
}

func isOver(e mcpsession.Event) bool { return e.Data[0] == recordLast || e.Data[0] == recordEnd }

// abandoned looks whether the replica that ran the call died, and if so answers
// in its place.
func (s *resumed) abandoned(ctx context.Context) bool {
	if died, err := s.h.peers.died(ctx, runnerOf(s.name)); err != nil || !died {
		return false
	}
	ids, err := unanswered(ctx, s.broker, s.key)
	if err != nil {
		return false
	}
	// It may have answered in its last moment, or another replica in its place. If
	// not now, then what is unanswered was so above.
	page, err := s.broker.Read(ctx, s.key, s.after)
	if err != nil || len(page.Events) > 0 {
		return false
	}
	if len(ids) == 0 {
		ids = []json.RawMessage{nil}
	}
	for i, id := range ids {
		text := errorFor(id, mcp.INTERNAL_ERROR, "the replica that handled the request is gone, and with it the answer: whether the request was carried out is not known")
		kind := byte(recordMessage)
		if i == len(ids)-1 {
			kind = recordLast
		}
		r := record{broker: s.broker, key: s.key}
		at, err := r.append(ctx, kind, text)
		if err != nil {
			s.sse.event("", text)
			continue
		}
		s.sse.event(recordEventID(s.name, at), text)
	}
	return true
}
