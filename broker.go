package mcpsession

import (
	"context"
	"fmt"
	"time"
)

// Broker carries messages between the replicas of one server, so that what
// happens on one reaches a client whose stream another holds. It knows two
// things, each named by a [Key]: a log, to which events are appended and from
// which any replica reads on, and a cell, a small value that replicas agree on.
//
// All methods are safe for concurrent use, also by other processes on the same
// storage, and treat contexts and deadlines as a [SessionStore] does. Errors are
// [ErrUnavailable] or the context's, unless a method says otherwise.
//
// Promises that hold for every implementation (package storetest proves them):
//
//   - An event that was acknowledged is in its log once, also when the reply was
//     lost and the broker had to repeat the append, and stays there for as long
//     as its [Retention] says.
//   - All readers see the events of a log in the same order, that of their
//     positions, and what one of them has seen, all later readers see.
//   - A cell changes only by a Swap that named its present value.
//   - Logs and cells that nobody writes to any more end by themselves.
//   - What is passed in and what is returned never aliases what is kept.
type Broker interface {
	// Append adds an event to the end of a log and wakes whoever watches it.
	// ErrInvalid when the event or the retention is empty.
	Append(ctx context.Context, log Key, event []byte, keep Retention) (Position, error)

	// Read returns the oldest events after a position, as many as make a
	// reasonable answer: when it returns none, there are none. It does not wait;
	// Watch tells when to read again.
	Read(ctx context.Context, log Key, after Position) (Page, error)

	// Swap gives a cell the value next if its value is old, wakes whoever
	// watches it if so, and returns the value that the cell then has. It
	// succeeded if and only if that is next. Nil stands for a cell that does not
	// exist, so Swap(nil, next) creates one, Swap(old, nil) removes it, and
	// Swap(nil, nil) only reads; an empty value that is not nil is one like any
	// other. Several callers who may swap at once give each next a value of their
	// own, else they cannot tell whose Swap succeeded. A cell ends ttl after the
	// last Swap that succeeded, also if next was its value before. ErrInvalid when
	// next is not nil and ttl is not at least a millisecond.
	Swap(ctx context.Context, cell Key, old, next []byte, ttl time.Duration) ([]byte, error)

	// Drop removes logs and cells. What does not exist is no error. ErrInvalid,
	// and nothing is removed, when they are not all of one session.
	Drop(ctx context.Context, keys ...Key) error

	// Watch has something sent on woken, without ever waiting for a receiver,
	// after each change of key by any replica, and whenever one may have been
	// missed; also at least once when the watch has begun, so that what happened
	// just before is not overlooked. Reading wakes nobody. So woken should have
	// room for one wake-up, which then stands for all until it is received. It
	// can be shared by watches of several keys. A wake-up can be lost with a
	// connection, so a watcher also reads from time to time. stop ends the watch:
	// when it has returned, nothing is sent for it any more. It is to be called
	// once.
	Watch(key Key, woken chan<- struct{}) (stop func())

	// Replica names this process among all that use the storage, and no other,
	// earlier or later: at most 32 ASCII letters and digits, so that it can be
	// part of a Key's name.
	Replica() string

	// Alive reports whether a replica runs, as far as the storage knows: true
	// for at most a few seconds longer than it does. Directly after an outage of
	// the storage it can be false for one that runs, for as long.
	Alive(ctx context.Context, replica string) (bool, error)
}

// Key names a log or a cell. What happens if one Key is used for both is not
// specified.
type Key struct {
	// Ref is the session that it belongs to; the zero Ref if it belongs to all.
	Ref Ref

	// Name tells it from the others of that session: ASCII letters, digits and
	// punctuation, no spaces, at most 64 bytes.
	Name string
}

// Validate returns an error, ErrInvalid, for a Key that no broker accepts. It is
// for brokers.
func (k Key) Validate() error {
	if k.Name == "" || len(k.Name) > 64 {
		return fmt.Errorf("%w: the key name %q is empty or longer than 64 bytes", ErrInvalid, k.Name)
	}
	for _, c := range []byte(k.Name) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("%w: the key name %q is not printable ASCII without spaces", ErrInvalid, k.Name)
		}
	}
	return nil
}

// Retention says how much of a log is kept: the last Events events, somewhat
// more at times, until For after the last append. For is at least a millisecond.
type Retention struct {
	Events int
	For    time.Duration
}

// Validate returns an error, ErrInvalid, for a Retention that keeps nothing. It
// is for brokers.
func (r Retention) Validate() error {
	if r.Events < 1 || r.For < time.Millisecond {
		return fmt.Errorf("%w: a log that keeps %d events for %v keeps nothing", ErrInvalid, r.Events, r.For)
	}
	return nil
}

// Position is the place of an event in its log. Later events have greater
// positions, also when the log ended in between and began anew. Zero is before
// every event.
type Position uint64

// positionBits is how many events fit into a millisecond, as a power of two.
const positionBits = 20

// PositionAt returns a position that no event has. After it come all events that
// were appended at t or later, by the broker's clock, and none that were appended
// a millisecond or more before t.
func PositionAt(t time.Time) Position { return Position(max(t.UnixMilli(), 0)) << positionBits }

// NewPosition returns the position of the seq-th event, the first being 1, of a
// millisecond since 1970. It is for brokers.
func NewPosition(milli, seq uint64) Position { return Position(milli<<positionBits | seq) }

// Milli and Seq are the inverse of NewPosition.
func (p Position) Milli() uint64 { return uint64(p) >> positionBits }

// Seq returns which event of its millisecond it is.
func (p Position) Seq() uint64 { return uint64(p) & (1<<positionBits - 1) }

// Event is an event in a log.
type Event struct {
	Position Position
	Data     []byte
}

// Page is a part of a log, and what the whole of it is like.
type Page struct {
	Events []Event

	First, Last Position // of all events in the log, zero if there are none
	Len         int      // how many events are in the log
}
