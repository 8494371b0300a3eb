// Package mcpsession keeps the sessions of MCP servers, so that any number of
// replicas behind a plain round-robin balancer behave like one server.
//
// This package is the contract: [Session], the [SessionStore] that keeps it,
// the [ID] that opens it, and [FromContext], by which a handler reaches the
// session of the call it serves. The implementations are memstore (one
// process) and redisstore (any number of them); storetest is the contract as
// tests, for stores that others write; server puts sessions under the MCP
// endpoint.
package mcpsession

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// SessionStore keeps sessions. All methods are safe for concurrent use, also
// by other processes on the same storage, and honour ctx: they return its
// error, wrapped, when it ends before they do. A deadline ends them at once, and
// is [ErrUnavailable] too when it was the storage that did not answer in time; a
// cancellation ends them at the latest after the storage's own time limits, and
// is nothing but [context.Canceled].
//
// Promises that hold for every implementation (package storetest proves them):
//
//   - Two deadlines end a session on every replica, whichever comes first: an
//     idle deadline, which every Create, Get, Update and Share moves to one idle
//     timeout from now, and an absolute one that nothing moves. A session never
//     ends earlier than that, and for want of use at most a sixteenth of its
//     idle timeout later.
//   - Nothing but Create brings a session into being. An access that races a
//     Delete or a deadline leaves nothing behind.
//   - A write that was acknowledged is applied once, also when its reply was
//     lost and the store had to repeat it.
//   - A wrong secret is [ErrNotFound], moves no deadline and changes nothing.
//   - What is passed in and what is returned never aliases what is stored.
type SessionStore interface {
	// Create stores s as a new session under id and returns it as stored. Of s
	// it takes Owner, WorkingDirectory, ConfigPath, ProjectID, Client, LogLevel
	// and Values; the store sets the rest. Errors: ErrExists when a live
	// session has id's ref, ErrInvalid, ErrTooLarge, ErrFull, ErrUnavailable.
	Create(ctx context.Context, id ID, s Session) (Session, error)

	// Get returns the session and moves its idle deadline. Errors: ErrNotFound,
	// ErrUnsupportedVersion, ErrUnavailable.
	Get(ctx context.Context, id ID) (Session, error)

	// Update applies change to the newest revision of the session, stores the
	// result if nobody else wrote in between, tries again if somebody did, and
	// returns the session as stored. change may therefore run several times,
	// and must do nothing but modify its argument; it can change what Create
	// takes except Owner, and any other change is discarded. An error from
	// change is returned wrapped, and nothing is stored. Errors besides:
	// ErrNotFound, ErrConflict, ErrInvalid, ErrTooLarge, ErrFull,
	// ErrUnsupportedVersion, ErrUnavailable.
	Update(ctx context.Context, id ID, change func(*Session) error) (Session, error)

	// Share makes id.Handle() open the session too, for as long as it lives, and
	// returns it: so somebody who cannot send id can be given the session.
	// Sharing again returns the same handle, and sharing a handle returns that.
	// It is an access as Get is, and no revision. Errors: ErrNotFound,
	// ErrUnsupportedVersion, ErrUnavailable, ErrFull.
	Share(ctx context.Context, id ID) (ID, error)

	// Delete ends the session. It is idempotent: nil means that id opens no
	// session any more, whether or not it did before, so a wrong secret gets
	// nil too and ends nothing. Errors: ErrUnsupportedVersion, ErrUnavailable.
	Delete(ctx context.Context, id ID) error

	// Count returns the number of live sessions, moving no deadline. Errors:
	// ErrUnavailable.
	Count(ctx context.Context) (int, error)

	// All iterates over the live sessions in no particular order, moving no
	// deadline. A session that begins or ends meanwhile may or may not appear,
	// and none appears twice. Sessions of a newer schema are passed over. After
	// an error (ErrUnavailable, or ctx's) the iteration ends.
	All(ctx context.Context) iter.Seq2[Session, error]
}

// Pinger is implemented by stores whose storage can be out of reach.
type Pinger interface {
	// Ping returns nil when the storage answers, else an error that wraps
	// ErrUnavailable or ctx's error.
	Ping(ctx context.Context) error
}

// Limits bound every session of a store. Replicas should agree on them; each
// session keeps the timeouts that it was created with.
type Limits struct {
	// IdleTimeout ends a session that long after its last access. A whole
	// number of milliseconds, at most 100 years. Default 24 hours.
	IdleTimeout time.Duration

	// MaxLifetime ends a session that long after Create, however busy it is. A
	// whole number of milliseconds, at most 100 years. Default 7 days.
	MaxLifetime time.Duration

	// MaxSize bounds Session.Size, in bytes. Default 1 MiB.
	MaxSize int
}

// DefaultLimits returns the defaults named at each field of [Limits].
func DefaultLimits() Limits {
	return Limits{IdleTimeout: 24 * time.Hour, MaxLifetime: 7 * 24 * time.Hour, MaxSize: 1 << 20}
}

// maxTimeout keeps sums of times and timeouts within what they are stored in.
const maxTimeout = 100 * 365 * 24 * time.Hour

// Validate returns an error that names the first limit out of range. It is for
// stores, which refuse to open with such limits.
func (l Limits) Validate() error {
	for _, timeout := range []struct {
		name  string
		value time.Duration
	}{{"idle timeout", l.IdleTimeout}, {"maximum lifetime", l.MaxLifetime}} {
		if timeout.value <= 0 || timeout.value%time.Millisecond != 0 || timeout.value > maxTimeout {
			return fmt.Errorf("%s %v is out of range: a whole number of milliseconds is needed, at least 1ms and at most 100 years", timeout.name, timeout.value)
		}
	}
	if l.MaxSize < 1 {
		return fmt.Errorf("maximum session size %d is out of range: at least 1 byte is needed", l.MaxSize)
	}
	return nil
}

// Check returns an error when s cannot be stored under id: the zero ID, text
// that is not UTF-8, a value that is not JSON or nested more than 1000 levels
// deep ([ErrInvalid]), or more than MaxSize bytes ([ErrTooLarge]). It is for stores, before they store anything.
func (l Limits) Check(id ID, s Session) error {
	if id.IsZero() {
		return fmt.Errorf("%w: the session id is empty, get one from NewSessionID or NewHandle", ErrInvalid)
	}
	if size := s.Size(); size > l.MaxSize {
		return fmt.Errorf("%w: %d bytes where %d are allowed", ErrTooLarge, size, l.MaxSize)
	}
	return s.wellFormed()
}

// Begin returns s as Create stores it under id at the time now, sharing no
// memory with s. It is for stores.
func (l Limits) Begin(id ID, s Session, now time.Time) Session {
	s = s.Clone()
	s.Ref = id.Ref()
	s.CreatedAt = now
	s.LastUsedAt = now
	s.ExpiresAt = now.Add(l.MaxLifetime)
	s.IdleTimeout = l.IdleTimeout
	s.Revision = 1
	return s
}
