package server

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// stream is a GET stream: it delivers what is in its session's mailbox and what
// is for all sessions, or waits to inherit that from another stream of its
// session.
type stream struct {
	*openStream
	h     *Handler
	id    string // of the stream, which outlives the connection that serves it
	live  *mcpsession.Live
	prime bool // the client takes a priming event, and has had none yet

	woken  chan struct{} // the mailbox may have changed, or whoever delivers
	beat   *time.Ticker
	stop   func() // ends the watch of the cell, or of the mailbox
	sse    *sse
	keeper *keeper

	// What the client has of what this stream was given: all of it up to here.
	mail, fleet mcpsession.Position

	deliveries
	leads   bool
	led     bool                // it did, at least once
	stale   bool                // live may be: others delivered, and saw what asked for a refresh
	behind  bool                // the client may not have all that this stream was given
	mailDue bool                // the mailbox is to be read
	heard   mcpsession.Position // of the fleet log, whether or not it was for this session
}

// step does one thing that there is to do. It is false if there is none, or if
// the broker is out of reach.
func (s *stream) step(ctx context.Context) bool {
	switch {
	case !s.leads:
		return s.lead(ctx)
	case s.behind:
		return s.catchUp(ctx)
	default:
		return s.deliver(ctx)
	}
}

// lead makes this the stream that delivers, if none does, or one that cannot any
// more. Nothing is given to it unless it leads, so only then is it known what the
// client is to catch up with.
func (s *stream) lead(ctx context.Context) bool {
	if err := s.load(ctx); err != nil {
		return false
	}
	if s.replaced() {
		s.end()
		return false
	}
	if !s.vacant(ctx) {
		s.catchUp(ctx)
		return false
	}
	ok, err := s.change(ctx, s.now.take(s.id, s.connection, s.broker.Replica()))
	if err != nil || !ok {
		return err == nil // somebody else was faster: see who
	}
	s.leads, s.led, s.behind, s.mailDue, s.stale = true, true, true, true, true
	s.heard = s.now.Fleet
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
		return !s.h.streams.serves(s.cell.Ref, now.Connection)
	default:
		died, err := s.h.peers.died(ctx, now.Replica)
		return err == nil && died
	}
}

// catchUp sends what this stream was given, as far as the cell was last seen to
// say, and the client has not had: on a connection that broke, or because the
// answer to a claim was lost. It is false, and to be repeated, if the broker is
// out of reach, or this replica has not heard of everything yet: no later event
// may be sent before, since the client would take what is between for seen.
func (s *stream) catchUp(ctx context.Context) bool {
	for _, span := range s.now.givenMail(s.id, s.mail) {
		for after := span.after; after < span.upTo; {
			page, err := s.broker.Read(ctx, mailboxKey(s.cell.Ref), after)
			if err != nil {
				return false
			}
			after = s.sendMail(page.Events, span.upTo)
		}
	}
	for _, span := range s.now.givenFleet(s.id, s.fleet) {
		news, heard, complete := s.h.fleet.since(span.after)
		s.sendNews(ctx, news, complete, min(heard, span.upTo))
		if heard < span.upTo { // another replica was faster; this one will hear of the rest
			return false
		}
	}
	if s.prime {
		s.prime = false
		s.sse.prime(streamEventID(s.id, s.mail, s.fleet))
	}
	s.behind = false
	return true
}

// deliver gives the client what is new. The cell says so first: what fails after
// that was given to this stream, and is there when the client resumes it.
func (s *stream) deliver(ctx context.Context) bool {
	news, upTo, complete := s.h.fleet.since(max(s.now.Fleet, s.heard))
	if slices.ContainsFunc(news, isUpdate) {
		s.mailDue = true // the session may have subscribed to that just before
	}
	var events []mcpsession.Event
	if s.mailDue {
		page, err := s.broker.Read(ctx, mailboxKey(s.cell.Ref), s.now.Mail)
		if err != nil {
			return false
		}
		events = page.Events
		s.mailDue = len(events) > 0 // then there may be more
		s.stale = s.stale || slices.ContainsFunc(events, isRefresh) || s.mailDue && events[len(events)-1].Position < page.Last
	}
	if s.stale && slices.ContainsFunc(news, isUpdate) {
		if err := s.live.Refresh(ctx); err != nil {
			return false
		}
		s.stale = false
	}
	if len(events) == 0 && complete && !slices.ContainsFunc(news, s.concerns) {
		s.heard = upTo
		return false
	}
	next := s.now.take(s.id, s.connection, s.broker.Replica())
	if n := len(events); n > 0 {
		next.Mail = events[n-1].Position
	}
	next.Fleet = upTo
	if s.claim(ctx, next) {
		s.sendMail(events, next.Mail)
		s.sendNews(ctx, news, complete, upTo)
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
		case <-s.beat.C:
			s.pulse(ctx)
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

// release lets another stream deliver, which learns it from the cell alone. So it
// is tried until it is done, or this replica ends, which others notice.
func (s *stream) release(ctx context.Context) {
	if !s.led {
		return
	}
	after, cancel := s.h.afterwards(ctx)
	defer cancel()
	if s.tryRelease(after) == nil {
		return
	}
	s.h.follower.Go(func() {
		for s.tryRelease(s.h.life) != nil && s.h.life.Err() == nil {
			pause(s.h.life, fleetRetry)
		}
	})
}

func (s *stream) tryRelease(ctx context.Context) error {
	for {
		if err := s.load(ctx); err != nil || s.now.Connection != s.connection {
			return err
		}
		next := s.now.release()
		next.Fleet = max(next.Fleet, s.heard)
		if ok, err := s.change(ctx, next); ok || err != nil {
			return err
		}
	}
}

// pulse keeps the connection, the session, and what is known of its streams from
// ending while this one is open.
func (s *stream) pulse(ctx context.Context) {
	s.sse.comment()
	s.mailDue = true // a wake-up may have been lost
	before := s.keeper.last
	if err := s.keeper.touch(ctx); errors.Is(err, mcpsession.ErrNotFound) {
		s.end()
		return
	}
	if !s.leads || s.behind || s.keeper.last == before {
		return
	}
	next := s.now
	next.Fleet = max(next.Fleet, s.heard)
	if ok, err := s.change(ctx, next); err == nil && !ok {
		s.yield()
	}
}

// sendMail sends events of the mailbox, up to a position, and returns that, or an
// earlier one if there may be more.
func (s *stream) sendMail(events []mcpsession.Event, upTo mcpsession.Position) mcpsession.Position {
	if len(events) == 0 {
		s.mail = max(s.mail, upTo)
		return upTo
	}
	for _, event := range events {
		if event.Position > upTo {
			break
		}
		if s.mail = event.Position; !isRefresh(event) {
			s.sse.event(streamEventID(s.id, s.mail, s.fleet), event.Data)
		}
	}
	if events[len(events)-1].Position > upTo {
		return upTo
	}
	return s.mail
}

// sendNews sends broadcasts that concern the session, up to a position, and if
// some before them are no longer known, what to make of that.
func (s *stream) sendNews(ctx context.Context, news []broadcast, complete bool, upTo mcpsession.Position) {
	for _, b := range news {
		if b.at <= upTo && s.concerns(b) {
			s.fleet = b.at
			s.sse.event(streamEventID(s.id, s.mail, s.fleet), b.text)
		}
	}
	s.fleet = max(s.fleet, upTo)
	if !complete { // last, since its id is past all of them
		for _, text := range s.h.everythingChanged(ctx) {
			s.sse.event(streamEventID(s.id, s.mail, s.fleet), text)
		}
	}
}

// concerns: only who subscribed to a resource is told of its changes.
func (s *stream) concerns(b broadcast) bool {
	return !isUpdate(b) || slices.Contains(s.live.Session().Subscriptions, b.uri)
}

func isUpdate(b broadcast) bool { return b.method == mcp.MethodNotificationResourceUpdated }

func isRefresh(e mcpsession.Event) bool { return bytes.Equal(e.Data, refresh) }

// pause waits, but no longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
