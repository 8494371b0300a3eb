package server

import (
	"context"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// get serves a GET: a new stream of the session, or one that goes on after the
// event that the client saw last.
func (h *Handler) get(w http.ResponseWriter, r *http.Request) {
	if isModern(r) {
		h.refuseMethod(w, r)
		return
	}
	if !accepts(r, "text/event-stream") {
		writeError(w, http.StatusNotAcceptable, "a GET opens an event stream: the Accept header must allow text/event-stream")
		return
	}
	live, ok := h.open(w, r)
	if !ok {
		return
	}
	session := live.Session()
	id := r.Header.Get(mcp.HeaderLastEventID)
	last, ok := parseLastEvent(id)
	if id != "" && (!ok || last.stream != "" && !isStreamOf(session.Ref, last.stream)) {
		writeError(w, http.StatusBadRequest, "the Last-Event-ID header names no event of this session")
		return
	}
	if h.streaming.Err() != nil {
		h.turnAway(w, session, id)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.streaming, cancel)()
	one := h.streams.open(session.Ref, cancel)
	defer h.streams.close(session.Ref, one)
	if last.record != "" {
		h.resumeRecord(ctx, w, live, last)
		return
	}
	s := h.newStream(live, session, one, last)
	switch err := s.load(ctx); {
	case err != nil && h.streaming.Err() != nil:
		h.turnAway(w, session, id)
	case err != nil:
		h.writeStoreError(w, "open a stream of", err)
	default:
		if last.stream == "" {
			s.mail, s.fleet = s.now.Mail, s.now.Fleet
		}
		s.sse = newSSE(w)
		s.serve(ctx)
	}
}

// turnAway answers a GET while streams end: with one that ends at once and, for
// clients that take it, names the event to come again with, elsewhere.
func (h *Handler) turnAway(w http.ResponseWriter, session mcpsession.Session, lastEventID string) {
	s := newSSE(w)
	if lastEventID != "" && takesPriming(session) {
		s.prime(lastEventID)
	}
}

func (h *Handler) newStream(live *mcpsession.Live, session mcpsession.Session, one *openStream, last lastEvent) *stream {
	s := &stream{
		h: h, openStream: one, live: live,
		id: last.stream, mail: last.mail, fleet: last.fleet,
		prime:   takesPriming(session),
		woken:   make(chan struct{}, 1),
		keeper:  newKeeper(h.store, live, session),
		mailDue: true,
		deliveries: deliveries{
			broker:  h.broker,
			cell:    deliveryKey(session.Ref),
			session: session,
		},
	}
	if s.id == "" {
		s.id = newStreamID(session.Ref)
	}
	return s
}

// serve runs until the client, the session or the replica goes.
func (s *stream) serve(ctx context.Context) {
	s.stop = s.broker.Watch(s.cell, s.woken)
	defer func() { s.stop() }()
	defer s.release(ctx)
	s.beat = time.NewTicker(min(heartbeat, s.keeper.every))
	defer s.beat.Stop()
	for ctx.Err() == nil && s.sse.err == nil {
		select { // however much there is to do
		case <-s.beat.C:
			s.pulse(ctx)
		default:
		}
		if s.step(ctx) {
			continue
		}
		var look <-chan time.Time // for the death of whoever delivers
		if !s.leads {
			look = time.After(recheck)
		}
		select {
		case <-s.woken:
			s.mailDue = true
		case <-s.news:
		case <-look:
		case <-s.beat.C:
			s.pulse(ctx)
		case <-ctx.Done():
		}
	}
}
