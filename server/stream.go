package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// stream is a GET stream: it delivers what is in its session's mailbox and what
// is for all sessions, or waits to inherit that from another stream of its
// session.
type stream struct {
	h          *Handler
	id         string // of the stream, which outlives the request that serves it
	connection string // of that request
	live       *mcpsession.Live
	prime      bool

	woken chan struct{}      // something may have changed
	end   context.CancelFunc // the session has ended, or the client left this connection

	deliveries
	leads  bool
	led    bool                // it did, at least once
	stale  bool                // live may be: others delivered, and saw what asked for a refresh
	stop   func()              // ends the watch of the cell, or of the mailbox
	heard  mcpsession.Position // of the fleet log, whether or not it was for this session
	sse    *sse
	keeper *keeper
}

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
	ref := live.ID().Ref()
	var last lastEvent
	if id := r.Header.Get(mcp.HeaderLastEventID); id != "" {
		last, ok = parseLastEvent(id)
		if !ok || last.stream != "" && !isStreamOf(ref, last.stream) {
			writeError(w, http.StatusBadRequest, "the Last-Event-ID header names no event of this session")
			return
		}
	}
	if h.streaming.Err() != nil { // the client comes again, elsewhere
		newSSE(w)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(h.streaming, cancel)()
	if last.record != "" {
		h.resumeRecord(ctx, w, live, last)
		return
	}
	session := live.Session()
	s := &stream{
		h: h, id: last.stream, connection: h.streams.connection(), live: live,
		prime:  takesPriming(session),
		woken:  make(chan struct{}, 1),
		end:    cancel,
		keeper: newKeeper(h.store, live, session),
		deliveries: deliveries{
			broker:  h.broker,
			cell:    deliveryKey(ref),
			session: session,
		},
	}
	if s.id == "" {
		s.id = newStreamID(ref)
	}
	if err := s.load(ctx); err != nil {
		h.writeStoreError(w, "open a stream of", err)
		return
	}
	h.streams.add(ref, s)
	defer h.streams.remove(ref, s)
	s.sse = newSSE(w)
	defer s.sse.end()
	s.serve(ctx, last)
}

// serve runs until the client, the session or the replica goes.
func (s *stream) serve(ctx context.Context, last lastEvent) {
	s.stop = s.broker.Watch(s.cell, s.woken)
	defer func() { s.stop() }()
	defer s.release(ctx)
	s.heard = s.now.Fleet
	if last.stream != "" {
		s.replay(ctx, last)
	}
	if s.prime {
		s.sse.prime(streamEventID(s.id, s.now.Mail, s.now.Fleet))
	}
	beat := time.NewTicker(min(heartbeat, s.keeper.every))
	defer beat.Stop()
	for ctx.Err() == nil && s.sse.err == nil {
		if s.step(ctx) {
			continue
		}
		var look <-chan time.Time // for the death of whoever delivers
		if !s.leads {
			look = time.After(recheck)
		}
		select {
		case <-s.woken:
		case <-look:
		case <-beat.C:
			s.sse.comment()
			s.keep(ctx)
		case <-ctx.Done():
		}
	}
}

// step does one thing that there is to do. It is false if there is none, or if
// the broker is out of reach.
func (s *stream) step(ctx context.Context) bool {
	if !s.leads {
		return s.lead(ctx)
	}
	return s.deliver(ctx)
}

// lead makes this the stream that delivers, if none does, or one that cannot any
// more.
func (s *stream) lead(ctx context.Context) bool {
	if err := s.load(ctx); err != nil {
		return false
	}
	if s.replaced() {
		s.end()
		return false
	}
	if !s.vacant(ctx) {
		return false
	}
	ok, err := s.change(ctx, s.now.take(s.id, s.connection, s.broker.Replica()))
	if err != nil || !ok {
		return err == nil // somebody else was faster: see who
	}
	s.leads, s.led, s.stale = true, true, true
	s.stop()
	s.stop = s.broker.Watch(mailboxKey(s.cell.Ref), s.woken)
	return true
}

// replaced reports whether the client resumed this stream on another connection:
// then it has lost this one, however open it seems here. Each connection takes the
// stream from another once, so that the last one keeps it.
func (s *stream) replaced() bool {
	return s.led && s.now.Stream == s.id && s.now.Connection != s.connection
}

func (s *stream) vacant(ctx context.Context) bool {
	switch now := s.now; {
	case now.Connection == "", now.Stream == s.id:
		return true
	case s.h.streams.own(now.Connection):
		return !s.h.streams.serves(s.cell.Ref, now.Connection) // its release failed
	default:
		died, err := s.h.peers.died(ctx, now.Replica)
		return err == nil && died
	}
}

// deliver gives the client what is new. The cell says so first: what fails after
// that was given to this stream, and is there when the client resumes it.
func (s *stream) deliver(ctx context.Context) bool {
	// What is for all comes first: before a resource changed that the client had
	// just subscribed to, the refresh was in the mailbox.
	after := max(s.now.Fleet, s.heard)
	news, upTo, complete, err := s.h.fleet.since(ctx, after)
	if err != nil {
		return false
	}
	page, err := s.broker.Read(ctx, mailboxKey(s.cell.Ref), s.now.Mail)
	if err != nil {
		return false
	}
	s.stale = s.stale || slices.ContainsFunc(page.Events, isRefresh)
	switch n := len(page.Events); {
	case n > 0 && page.Events[n-1].Position < page.Last:
		news, upTo = nil, after // until the mailbox is read to its end
	case !complete:
		news = append(s.h.everythingChanged(ctx, upTo), news...)
	}
	if news, err = s.mine(ctx, news); err != nil {
		return false
	}
	s.heard = upTo
	if len(page.Events) == 0 && len(news) == 0 {
		return false
	}
	next := s.now.take(s.id, s.connection, s.broker.Replica())
	mail, fleet := s.now.Mail, s.now.Fleet
	if n := len(page.Events); n > 0 {
		next.Mail = page.Events[n-1].Position
	}
	next.Fleet = upTo
	if !s.claim(ctx, next) {
		return true
	}
	for _, event := range page.Events {
		if mail = event.Position; !isRefresh(event) {
			s.sse.event(streamEventID(s.id, mail, fleet), event.Data)
		}
	}
	for _, b := range news {
		fleet = b.at
		s.sse.event(streamEventID(s.id, mail, fleet), b.text)
	}
	return true
}

// claim changes the cell, however long the broker is out of reach: whether a
// change without an answer was made is only known when it is repeated as it was.
// It is false if another stream delivers now.
func (s *stream) claim(ctx context.Context, next delivery) bool {
	for {
		ok, err := s.change(ctx, next)
		if err == nil {
			if !ok {
				s.yield()
			}
			return ok
		}
		select {
		case <-time.After(fleetRetry):
		case <-ctx.Done():
			return false
		}
	}
}

// yield ends the delivery by this stream, which another took over.
func (s *stream) yield() {
	s.leads = false
	s.stop()
	s.stop = s.broker.Watch(s.cell, s.woken)
}

// release lets another stream deliver.
func (s *stream) release(ctx context.Context) {
	if !s.leads {
		return
	}
	after, cancel := s.h.afterwards(ctx)
	defer cancel()
	if _, err := s.change(after, s.now.release()); err != nil {
		s.h.logger.Warn("a stream ended, and others of its session may learn it late", "session", s.live, "error", err)
	}
}

// keep keeps the session, and what is known of its streams, from ending while
// this one is open.
func (s *stream) keep(ctx context.Context) {
	before := s.keeper.last
	if err := s.keeper.touch(ctx); errors.Is(err, mcpsession.ErrNotFound) {
		s.end()
		return
	}
	if s.leads && s.keeper.last != before {
		if ok, err := s.change(ctx, s.now); err == nil && !ok {
			s.yield()
		}
	}
}

// replay sends again what this stream was given after the last event that the
// client saw.
func (s *stream) replay(ctx context.Context, last lastEvent) {
	mail, fleet := last.mail, last.fleet
	for _, span := range s.now.givenMail(s.id, last.mail) {
		for after := span.after; after < span.upTo; {
			page, err := s.broker.Read(ctx, mailboxKey(s.cell.Ref), after)
			if err != nil || len(page.Events) == 0 {
				break
			}
			for _, event := range page.Events {
				if after = event.Position; after > span.upTo {
					break
				}
				if mail = after; !isRefresh(event) {
					s.sse.event(streamEventID(s.id, mail, fleet), event.Data)
				}
			}
		}
	}
	for _, span := range s.now.givenFleet(s.id, last.fleet) {
		news, upTo, complete, err := s.h.fleet.read(ctx, span)
		if err != nil {
			break
		}
		if !complete {
			news = append(s.h.everythingChanged(ctx, upTo), news...)
		}
		if news, err = s.mine(ctx, news); err != nil {
			break
		}
		for _, b := range news {
			fleet = b.at
			s.sse.event(streamEventID(s.id, mail, fleet), b.text)
		}
	}
}

// mine leaves out what this session did not ask for.
func (s *stream) mine(ctx context.Context, news []broadcast) ([]broadcast, error) {
	if !slices.ContainsFunc(news, isUpdate) {
		return news, nil
	}
	if s.stale {
		if err := s.live.Refresh(ctx); err != nil {
			return nil, err
		}
		s.stale = false
	}
	subscribed := s.live.Session().Subscriptions
	return slices.DeleteFunc(slices.Clone(news), func(b broadcast) bool {
		return isUpdate(b) && !slices.Contains(subscribed, b.uri)
	}), nil
}

func isUpdate(b broadcast) bool { return b.method == mcp.MethodNotificationResourceUpdated }

func isRefresh(e mcpsession.Event) bool { return bytes.Equal(e.Data, refresh) }
