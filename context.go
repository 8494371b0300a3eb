package mcpsession

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Live is the session of the call being served: the state that the call began
// with, and the power to change what is stored. Safe for concurrent use.
//
// Reads cost nothing: they see the session as the call found it, brought up to
// date by each write through this Live. Every write is one atomic Update in the
// store, done when the method returns; nothing is flushed later.
type Live struct {
	store SessionStore
	id    ID

	mu      sync.Mutex
	session Session // newest seen; guarded by mu
}

// NewLive returns a Live for a session that store just returned for id. It is
// for transports, and for tools that open a session themselves.
func NewLive(store SessionStore, id ID, session Session) *Live {
	return &Live{store: store, id: id, session: session.Clone()}
}

type contextKey struct{}

// NewContext returns a context in which [FromContext] finds l.
func NewContext(ctx context.Context, l *Live) context.Context {
	return context.WithValue(ctx, contextKey{}, l)
}

// FromContext returns the session of the call being served, whether the client
// reached it through its Mcp-Session-Id or through a handle. It is false when
// the call has none.
func FromContext(ctx context.Context) (*Live, bool) {
	l, ok := ctx.Value(contextKey{}).(*Live)
	return l, ok
}

type decoratorKey struct{}

// WithDecorator returns a context for a call that is to reach any store through
// what decorate makes of it. It is for transports that have to hear of what
// happens to sessions: that one ended, so that its streams end too.
func WithDecorator(ctx context.Context, decorate func(SessionStore) SessionStore) context.Context {
	return context.WithValue(ctx, decoratorKey{}, decorate)
}

// Decorated returns the store as the call being served is to reach it. It is for
// code that opens sessions by itself.
func Decorated(ctx context.Context, store SessionStore) SessionStore {
	if decorate, ok := ctx.Value(decoratorKey{}).(func(SessionStore) SessionStore); ok {
		return decorate(store)
	}
	return store
}

type principalKey struct{}

// WithPrincipal returns a context for a call that principal makes. It is for
// transports. Empty stands for nobody known.
func WithPrincipal(ctx context.Context, principal string) context.Context {
	if principal == "" && Principal(ctx) == "" {
		return ctx
	}
	return context.WithValue(ctx, principalKey{}, principal)
}

// Principal returns who makes the call being served, empty when nobody
// authenticates. A session of another owner does not exist for it.
func Principal(ctx context.Context) string {
	principal, _ := ctx.Value(principalKey{}).(string)
	return principal
}

// ID returns the credential by which this call reached the session.
func (l *Live) ID() ID { return l.id }

// String returns the session's ref.
func (l *Live) String() string { return l.id.String() }

// LogValue logs a Live as its session's ref, and not what the session holds.
func (l *Live) LogValue() slog.Value { return l.id.LogValue() }

// Session returns a copy of the session as last seen by this Live.
func (l *Live) Session() Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session.Clone()
}

// Get returns the application value stored under key. It is false when there is
// none, and an error when the stored JSON is no T.
func Get[T any](l *Live, key string) (T, bool, error) {
	var value T
	l.mu.Lock()
	raw, ok := l.session.Values[key]
	l.mu.Unlock()
	if !ok {
		return value, false, nil
	}
	// raw is never written to: each revision replaces the whole map.
	if err := json.Unmarshal(raw, &value); err != nil {
		return value, true, fmt.Errorf("read value %q of session %s as %T: %w", key, l.id, value, err)
	}
	return value, true, nil
}

// Set stores value, as JSON, under key. Other values, and other fields, that
// someone else changes at the same moment are kept. An empty key and a value
// that is no JSON are refused. Errors are those of [SessionStore.Update].
func (l *Live) Set(ctx context.Context, key string, value any) error {
	if key == "" {
		return errors.New("set a value: the key is empty")
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("set value %q of session %s: %w", key, l.id, err)
	}
	return l.Update(ctx, func(s *Session) error {
		if s.Values == nil {
			s.Values = make(map[string]json.RawMessage, 1)
		}
		s.Values[key] = raw
		return nil
	})
}

// Unset removes the value under key. Removing what is not there is no error.
func (l *Live) Unset(ctx context.Context, key string) error {
	return l.Update(ctx, func(s *Session) error {
		delete(s.Values, key)
		return nil
	})
}

// Update applies change to the newest revision of the session, as
// [SessionStore.Update] does.
func (l *Live) Update(ctx context.Context, change func(*Session) error) error {
	session, err := l.store.Update(ctx, l.id, change)
	if err != nil {
		return err
	}
	l.see(session)
	return nil
}

// Refresh reads the session again, for a call that runs long enough for others
// to have changed it. Errors are those of [SessionStore.Get].
func (l *Live) Refresh(ctx context.Context) error {
	session, err := l.store.Get(ctx, l.id)
	if err != nil {
		return err
	}
	l.see(session)
	return nil
}

// Share returns a handle by which somebody else can reach the session, as
// [SessionStore.Share] does: a modern client that a legacy one works with, say.
// It is a secret.
func (l *Live) Share(ctx context.Context) (ID, error) { return l.store.Share(ctx, l.id) }

// End deletes the session. Every later access, on every replica, is ErrNotFound.
func (l *Live) End(ctx context.Context) error { return l.store.Delete(ctx, l.id) }

// see keeps session unless a concurrent call already saw a newer revision of it.
func (l *Live) see(session Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if session.Revision >= l.session.Revision || !session.CreatedAt.Equal(l.session.CreatedAt) {
		l.session = session
	}
}
