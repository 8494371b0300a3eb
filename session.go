package mcpsession

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
	"unicode/utf8"
)

// Session is what the server remembers of one MCP client: the facts of its
// handshake, the directory and project it works in, and whatever the
// application keeps for it.
//
// A Session is a plain copy. Changing one changes nothing stored; use
// [SessionStore.Update], or [Live] inside a handler. It holds no secret, so it
// can be listed, but Values is the application's and does not belong in a log.
type Session struct {
	// Ref names the session in keys, logs and listings. It opens nothing.
	// Set by the store.
	Ref Ref

	// Owner is the principal that created the session, empty when nobody
	// authenticates. Fixed at Create.
	Owner string

	// WorkingDirectory is the absolute path that the client works in, empty
	// until it says so.
	WorkingDirectory string

	// ConfigPath is the project configuration found for WorkingDirectory,
	// empty when there is none or nobody looked.
	ConfigPath string

	// ProjectID is the project that the session works on, empty until resolved.
	ProjectID string

	// Client is what the client said of itself when it connected.
	Client Client

	// LogLevel is the least severe MCP log level the client asked for
	// ("debug" to "emergency"), empty until it asks.
	LogLevel string

	// Tools names the tools that this session has besides everybody's, which
	// only it can see. server.EnableTool writes it.
	Tools []string

	// Subscriptions are the URIs of the resources of whose changes the client
	// asked to be told (resources/subscribe).
	Subscriptions []string

	// Values are the application's own: JSON text by key, which a store may
	// return without insignificant white space. [Live.Set] and [Get] write and
	// read them typed.
	Values map[string]json.RawMessage

	// CreatedAt is when Create stored the session. Set by the store, like
	// every field below, from the store's clock and with at least millisecond
	// precision.
	CreatedAt time.Time

	// LastUsedAt is the last access: as returned by Create, Get and Update,
	// which are accesses themselves, that one. SessionStore.All reports a time
	// that is never later and at most a sixteenth of the idle timeout earlier,
	// or, within one idle timeout of ExpiresAt, the last write.
	LastUsedAt time.Time

	// ExpiresAt is the absolute deadline. No access moves it.
	ExpiresAt time.Time

	// IdleTimeout is how long the session lives without an access. It was
	// fixed at Create, so replicas with other settings treat it alike.
	IdleTimeout time.Duration

	// Revision counts the writes: 1 after Create, one more after each Update.
	Revision uint64
}

// Client is what an MCP client said of itself in its handshake.
type Client struct {
	Name            string // implementation name, for instance "claude-code"
	Version         string // implementation version
	ProtocolVersion string // negotiated protocol version, for instance "2025-11-25"
	Capabilities    string // the client's capabilities object as JSON text, empty if unknown
}

// IdleExpiresAt is the moment before which the session does not end for want
// of use, provided that nobody deletes it. A store may end it up to a sixteenth
// of IdleTimeout later, but never after ExpiresAt.
func (s Session) IdleExpiresAt() time.Time {
	idle := s.LastUsedAt.Add(s.IdleTimeout)
	if idle.After(s.ExpiresAt) {
		return s.ExpiresAt
	}
	return idle
}

// Clone returns a copy that shares no memory with s.
func (s Session) Clone() Session {
	s.Unshare()
	return s
}

// Unshare gives s lists and Values of its own, after it was assigned from a
// session that others see. It is for stores: a Clone copies the struct, which
// is large, more often.
func (s *Session) Unshare() {
	s.Tools = clone(s.Tools)
	s.Subscriptions = clone(s.Subscriptions)
	if len(s.Values) == 0 {
		s.Values = nil
		return
	}
	s.Values = maps.Clone(s.Values)
	for key, value := range s.Values {
		s.Values[key] = slices.Clone(value)
	}
}

// clone makes a list without items nil, as it is after it was stored.
func clone(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}

// Revise returns the revision after s that Update stores at the time now, once
// its function has made changed of s: what it may not change is as in s. The
// result shares no memory with changed. It is for stores.
func (s Session) Revise(changed Session, now time.Time) Session {
	next := changed.Clone()
	next.Ref = s.Ref
	next.Owner = s.Owner
	next.CreatedAt = s.CreatedAt
	next.ExpiresAt = s.ExpiresAt
	next.IdleTimeout = s.IdleTimeout
	next.LastUsedAt = now
	next.Revision = s.Revision + 1
	return next
}

// Size is the number of bytes that [Limits.MaxSize] bounds: the length of
// everything whose length a client or an application chooses.
func (s Session) Size() int {
	n := len(s.Owner) + len(s.WorkingDirectory) + len(s.ConfigPath) + len(s.ProjectID) + len(s.LogLevel) +
		len(s.Client.Name) + len(s.Client.Version) + len(s.Client.ProtocolVersion) + len(s.Client.Capabilities)
	for _, list := range [][]string{s.Tools, s.Subscriptions} {
		for _, item := range list {
			n += len(item)
		}
	}
	for key, value := range s.Values {
		n += len(key) + len(value)
	}
	return n
}

// wellFormed returns an error, ErrInvalid, that names the first field which
// would not survive being stored as JSON.
func (s Session) wellFormed() error {
	for _, field := range []struct{ name, value string }{
		{"owner", s.Owner},
		{"working directory", s.WorkingDirectory},
		{"config path", s.ConfigPath},
		{"project id", s.ProjectID},
		{"log level", s.LogLevel},
		{"client name", s.Client.Name},
		{"client version", s.Client.Version},
		{"protocol version", s.Client.ProtocolVersion},
		{"client capabilities", s.Client.Capabilities},
	} {
		if !utf8.ValidString(field.value) {
			return fmt.Errorf("%w: the %s is not valid UTF-8", ErrInvalid, field.name)
		}
	}
	for _, list := range []struct {
		name  string
		items []string
	}{{"tool name", s.Tools}, {"subscription", s.Subscriptions}} {
		for _, item := range list.items {
			if !utf8.ValidString(item) {
				return fmt.Errorf("%w: the %s %q is not valid UTF-8", ErrInvalid, list.name, item)
			}
		}
	}
	for key, value := range s.Values {
		if !utf8.ValidString(key) {
			return fmt.Errorf("%w: the key %q is not valid UTF-8", ErrInvalid, key)
		}
		if !utf8.Valid(value) || !json.Valid(value) {
			return fmt.Errorf("%w: the value of %q is not JSON", ErrInvalid, key)
		}
		if nesting(value) > maxNesting {
			return fmt.Errorf("%w: the value of %q is nested more than %d levels deep", ErrInvalid, key, maxNesting)
		}
	}
	return nil
}

// maxNesting bounds how deep a value's lists and objects go, so that whatever a
// store wraps it in stays readable: encoding/json reads 10,000 levels.
const maxNesting = 1000

// nesting returns how deep the lists and objects of a valid JSON text go.
func nesting(text []byte) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++ // whatever is escaped
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}
