package mcpsession

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
)

// Ref is the public half of an [ID]: 128 random bits that name a session in
// keys, logs, metrics and listings. Knowing it opens nothing.
type Ref [16]byte

const refLen = 22 // 16 bytes in base64url without padding

// encoding is strict, so that every ID and Ref has exactly one spelling.
var encoding = base64.RawURLEncoding.Strict()

// String returns the ref as 22 URL-safe characters.
func (r Ref) String() string { return encoding.EncodeToString(r[:]) }

// MarshalText writes a Ref as its String, for JSON among others.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (r *Ref) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRef(string(text))
	return err
}

// IsZero reports whether r is the zero Ref, which names no session.
func (r Ref) IsZero() bool { return r == Ref{} }

// ParseRef is the inverse of [Ref.String]. Its error wraps [ErrNotFound].
func ParseRef(s string) (Ref, error) {
	var r Ref
	if !decodeExactly(r[:], s) {
		return Ref{}, fmt.Errorf("malformed session ref: %w", ErrNotFound)
	}
	return r, nil
}

// kind says how a client presents an ID. One kind is never accepted in the
// other's place.
type kind byte

const (
	sessionKind kind = 's' // an Mcp-Session-Id header value
	handleKind  kind = 'h' // a session handle in a tool argument
)

// ID is a credential for one session: a public [Ref] and a 128-bit secret,
// together one opaque token. It is an immutable value; compare IDs by Token.
//
// However an ID is printed, logged or encoded, its secret does not appear. Only
// [ID.Token] reveals it: hand that to the client, and to nobody else.
type ID struct {
	_      [0]func() // not comparable: token is a pointer
	ref    Ref
	digest Digest
	// A pointer, since package fmt cannot call methods on an ID in somebody's
	// unexported field, and then prints what the field holds.
	token *string
}

// TokenLen is the length of every token, in bytes, all of them URL-safe ASCII.
const TokenLen = 1 + refLen + refLen

// Digest is the SHA-256 of a token. It is all that a store keeps of a secret.
type Digest [sha256.Size]byte

// NewSessionID returns a new ID for use as an Mcp-Session-Id.
func NewSessionID() ID { return newID(sessionKind) }

// NewHandle returns a new ID for use as a session handle in tool arguments.
func NewHandle() ID { return newID(handleKind) }

func newID(k kind) ID {
	var ref Ref
	var secret [16]byte
	// crypto/rand.Read never fails and always fills the slice (Go 1.24).
	rand.Read(ref[:])
	rand.Read(secret[:])
	return ofToken(ref, string(k)+ref.String()+encoding.EncodeToString(secret[:]))
}

func ofToken(ref Ref, token string) ID {
	return ID{ref: ref, digest: sha256.Sum256([]byte(token)), token: &token}
}

// ParseSessionID reads the Mcp-Session-Id that a client presented. It asks no
// storage, and refuses handles. Its error wraps [ErrNotFound], because a token
// that was never issued and one that cannot have been are the same to a client.
func ParseSessionID(token string) (ID, error) { return parseID(sessionKind, token) }

// ParseHandle reads the session handle that a client presented, as
// [ParseSessionID] reads an Mcp-Session-Id.
func ParseHandle(token string) (ID, error) { return parseID(handleKind, token) }

func parseID(k kind, token string) (ID, error) {
	var ref Ref
	var secret [16]byte
	if len(token) != TokenLen || kind(token[0]) != k ||
		!decodeExactly(ref[:], token[1:1+refLen]) || ref.IsZero() ||
		!decodeExactly(secret[:], token[1+refLen:]) {
		return ID{}, fmt.Errorf("malformed session id: %w", ErrNotFound)
	}
	return ofToken(ref, strings.Clone(token)), nil
}

// Handle returns the one handle that goes with an Mcp-Session-Id: it names the
// same session, its secret follows from the other, and the other does not follow
// from it. It opens nothing until [SessionStore.Share] made it. Of a handle, it
// returns that handle. It is for stores.
func (id ID) Handle() ID {
	if id.IsZero() || kind(id.Token()[0]) == handleKind {
		return id
	}
	secret := sha256.Sum256([]byte("mcpsession: handle of " + id.Token()))
	return ofToken(id.ref, string(handleKind)+id.ref.String()+encoding.EncodeToString(secret[:16]))
}

// Ref returns the public half.
func (id ID) Ref() Ref { return id.ref }

// IsZero reports whether id is the zero ID, which no store accepts.
func (id ID) IsZero() bool { return id.token == nil }

// Token returns the secret-bearing form for the client, TokenLen bytes long,
// or "" for the zero ID.
func (id ID) Token() string {
	if id.IsZero() {
		return ""
	}
	return *id.token
}

// Digest returns what a store keeps to recognise this ID.
func (id ID) Digest() Digest { return id.digest }

// Matches reports, in constant time, whether d is this ID's digest.
func (id ID) Matches(d Digest) bool {
	var differ uint64
	for i := 0; i < len(d); i += 8 {
		differ |= binary.NativeEndian.Uint64(id.digest[i:]) ^ binary.NativeEndian.Uint64(d[i:])
	}
	return differ == 0
}

// String returns the ref, never the secret.
func (id ID) String() string { return id.ref.String() }

// LogValue logs an ID as its ref.
func (id ID) LogValue() slog.Value { return slog.StringValue(id.ref.String()) }

// LogValue logs a Ref as its text.
func (r Ref) LogValue() slog.Value { return slog.StringValue(r.String()) }

func decodeExactly(dst []byte, s string) bool {
	if encoding.DecodedLen(len(s)) != len(dst) {
		return false
	}
	// Decode skips CR and LF even when strict, so a shorter result is malformed.
	n, err := encoding.Decode(dst, []byte(s))
	return err == nil && n == len(dst)
}
