package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpsession/mcpsession"
)

// The messages of a session that answer no request of its client wait in its
// mailbox, and those for everybody in the fleet log, until a GET stream of the
// session delivers them. A client may hold several such streams, on several
// replicas, and gets each message on one of them (2025-11-25, basic/transports,
// Multiple Connections). Which one delivers, and who was given what so far, is
// the session's delivery, a cell that all replicas agree on.

// turns is how many changes of the delivering stream are remembered. A stream
// that delivered before those cannot be resumed from where it was, and goes on
// with what is new.
const turns = 32

// delivery is the state of the cell. The stream that delivers moves the
// positions before it writes, so that nothing is written twice, and what a
// broken connection swallowed is known to have been given to it.
type delivery struct {
	Stream     string `json:"s,omitempty"` // that delivers; empty: none
	Connection string `json:"c,omitempty"` // the request that serves it, since a stream can be resumed
	Replica    string `json:"r,omitempty"` // where that is

	Mail  mcpsession.Position `json:"m"` // given to some stream so far, of the mailbox
	Fleet mcpsession.Position `json:"f"` // and of the fleet log

	Turns []turn `json:"t,omitempty"` // oldest first
}

// turn says that what came after these positions was given to a stream, until
// the next turn.
type turn struct {
	Stream string              `json:"s"`
	Mail   mcpsession.Position `json:"m"`
	Fleet  mcpsession.Position `json:"f"`
}

// take makes a stream the one that delivers from now on.
func (d delivery) take(stream, connection, replica string) delivery {
	d.Stream, d.Connection, d.Replica = stream, connection, replica
	if n := len(d.Turns); n == 0 || d.Turns[n-1].Stream != stream {
		next := make([]turn, 0, n+1)
		next = append(append(next, d.Turns...), turn{stream, d.Mail, d.Fleet})
		d.Turns = next[max(0, len(next)-turns):]
	}
	return d
}

func (d delivery) release() delivery {
	d.Stream, d.Connection, d.Replica = "", "", ""
	return d
}

// A span is a part of a log: after one position, up to and with another.
type span struct{ after, upTo mcpsession.Position }

// given returns what a stream was given of a log after the position that its
// client has seen. of selects the log.
func (d delivery) given(stream string, seen mcpsession.Position, of func(turn) mcpsession.Position, end mcpsession.Position) []span {
	var spans []span
	for i, t := range d.Turns {
		upTo := end
		if i+1 < len(d.Turns) {
			upTo = of(d.Turns[i+1])
		}
		if after := max(of(t), seen); t.Stream == stream && after < upTo {
			spans = append(spans, span{after, upTo})
		}
	}
	return spans
}

func (d delivery) givenMail(stream string, seen mcpsession.Position) []span {
	return d.given(stream, seen, func(t turn) mcpsession.Position { return t.Mail }, d.Mail)
}

func (d delivery) givenFleet(stream string, seen mcpsession.Position) []span {
	return d.given(stream, seen, func(t turn) mcpsession.Position { return t.Fleet }, d.Fleet)
}

// deliveries reads and changes the delivery of one session.
type deliveries struct {
	broker  mcpsession.Broker
	cell    mcpsession.Key
	session mcpsession.Session

	now  delivery
	text []byte // of the cell, as last seen
}

// load reads the cell.
func (d *deliveries) load(ctx context.Context) error { return d.swap(ctx, nil, nil) }

// change replaces what was last seen by next, or sees what it is now. It reports
// whether it replaced it.
func (d *deliveries) change(ctx context.Context, next delivery) (bool, error) {
	text, err := json.Marshal(next)
	if err != nil {
		return false, fmt.Errorf("encode a delivery: %w", err)
	}
	err = d.swap(ctx, d.text, text)
	return err == nil && bytes.Equal(d.text, text), err
}

func (d *deliveries) swap(ctx context.Context, old, next []byte) error {
	text, err := d.broker.Swap(ctx, d.cell, old, next, d.ttl())
	if err != nil {
		return err
	}
	// Nobody was given anything yet, of what came since the session began.
	now := delivery{Fleet: mcpsession.PositionAt(d.session.CreatedAt)}
	if text != nil {
		if err := json.Unmarshal(text, &now); err != nil {
			return fmt.Errorf("decode the delivery of session %s: %w", d.cell.Ref, err)
		}
	}
	d.now, d.text = now, text
	return nil
}

// ttl has the delivery end after the session, however that is used: without it,
// what the mailbox still holds would be delivered again.
func (d *deliveries) ttl() time.Duration {
	return max(time.Until(d.session.ExpiresAt), 0) + time.Minute
}
