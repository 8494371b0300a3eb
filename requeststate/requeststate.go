// Package requeststate seals what a handler needs back when it asks its client
// for input in protocol version 2026-07-28 (basic/patterns/mrtr): the
// requestState that a client is given with the questions and returns with the
// answers, to whichever replica. Clients can neither read nor change it. It is
// accepted from the same principal alone, for the same request, until it expires
// and, if that matters, once in the whole fleet.
//
// For clients of earlier versions mcp-go asks in the handler's place and calls it
// again with the answers, so one handler serves both.
package requeststate

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// ErrRefused: the requestState of a request is not one that was sealed for it,
// or is no longer: it was altered, it expired, it was used before, or it is that
// of another principal or another request. server answers it as invalid
// parameters.
var ErrRefused error = refused{}

type refused struct{}

func (refused) Error() string {
	return "the requestState is not one that was given for this request, or it expired or was used already: send the request again without it"
}

// RPCCode is the JSON-RPC error code that server answers this error with.
func (refused) RPCCode() int { return mcp.INVALID_PARAMS }

// DefaultExpiry is how long a client has to return a state, unless Options say
// otherwise.
const DefaultExpiry = 10 * time.Minute

// Options configure a Sealer. The zero Options are usable.
type Options struct {
	// Keys seal and open states: the first seals, all open. To rotate without
	// downtime, add a new key in the second place on every replica, then make it
	// the first, and remove the old one when what it sealed has expired. Default: the broker keeps one that the replicas
	// share, so whoever can read what the broker keeps can make states.
	Keys []Key

	// Expiry is how long a client has to return a state, by the clocks of the
	// replicas. Default [DefaultExpiry].
	Expiry time.Duration
}

// Sealer seals and opens states. Safe for concurrent use.
type Sealer struct {
	broker mcpsession.Broker
	ring   ring
	expiry time.Duration
}

// New returns a Sealer whose states every Sealer with the same keys opens, or, if
// there are none, every one on the same broker. States that are to be used once
// are remembered by the broker.
func New(broker mcpsession.Broker, o Options) (*Sealer, error) {
	if broker == nil {
		return nil, errors.New("requeststate.New: a broker is needed")
	}
	if o.Expiry == 0 {
		o.Expiry = DefaultExpiry
	}
	if o.Expiry < time.Millisecond {
		return nil, fmt.Errorf("requeststate.New: an expiry of %v is too short: at least 1ms is needed", o.Expiry)
	}
	s := &Sealer{broker: broker, expiry: o.Expiry}
	if len(o.Keys) > 0 {
		s.ring = newFixedRing(o.Keys)
	} else {
		s.ring = newSharedRing(broker, o.Expiry)
	}
	return s, nil
}

// sealed is what a state holds.
type sealed struct {
	ID      mcpsession.Ref  `json:"id"`  // of this state, for those that are used once
	Expires int64           `json:"exp"` // milliseconds since 1970
	State   json.RawMessage `json:"s"`
}

// A sealed state is, in base64url: the format, the key's name, a nonce and the
// ciphertext.
const (
	format  = 1
	nameLen = 8
	headLen = 1 + nameLen
)

var encoding = base64.RawURLEncoding.Strict()

// Seal returns state, as JSON, sealed for the client that sends request, an
// [mcp.CallToolRequest], [mcp.GetPromptRequest] or [mcp.ReadResourceRequest]. It
// goes into the result that asks for input. Errors: [mcpsession.ErrUnavailable]
// when the broker does not give the key.
func (s *Sealer) Seal(ctx context.Context, request, state any) (string, error) {
	token, err := s.seal(ctx, request, state)
	if err != nil {
		return "", fmt.Errorf("seal a requestState: %w", err)
	}
	return token, nil
}

func (s *Sealer) seal(ctx context.Context, request, state any) (string, error) {
	about, err := binding(ctx, request)
	if err != nil {
		return "", err
	}
	content := sealed{Expires: time.Now().Add(s.expiry).UnixMilli()}
	rand.Read(content.ID[:])
	if content.State, err = json.Marshal(state); err != nil {
		return "", err
	}
	text, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	key, err := s.ring.newest(ctx)
	if err != nil {
		return "", err
	}
	head := append([]byte{format}, key.name[:]...)
	nonce := make([]byte, key.aead.NonceSize())
	rand.Read(nonce)
	return encoding.EncodeToString(key.aead.Seal(append(head, nonce...), nonce, text, additional(head, about))), nil
}

// Open reads the state that came back with request into state, a pointer. It is
// false when request has none, as the first one. The client may send it again
// until it expires: use [Sealer.OpenOnce] where that matters. Errors:
// [ErrRefused], [mcpsession.ErrUnavailable].
func (s *Sealer) Open(ctx context.Context, request, state any) (bool, error) {
	content, err := s.open(ctx, request)
	if err == nil && content != nil {
		err = content.into(state)
	}
	if err != nil {
		return false, fmt.Errorf("open a requestState: %w", err)
	}
	return content != nil, nil
}

// OpenOnce is Open for what must not be done twice: of all that present the same
// state, on whichever replicas, one succeeds, whatever becomes of it afterwards.
func (s *Sealer) OpenOnce(ctx context.Context, request, state any) (bool, error) {
	content, err := s.open(ctx, request)
	if err == nil && content != nil {
		if err = s.use(ctx, content); err == nil {
			err = content.into(state)
		}
	}
	if err != nil {
		return false, fmt.Errorf("use a requestState: %w", err)
	}
	return content != nil, nil
}

// use is ErrRefused for all but one.
func (s *Sealer) use(ctx context.Context, content *sealed) error {
	mine := []byte(rand.Text())
	used := mcpsession.Key{Ref: content.ID, Name: "request-state-used"}
	// It is forgotten when the state has expired on replicas whose clock is behind
	// by an expiry, too.
	keep := max(time.Until(time.UnixMilli(content.Expires)), 0) + s.expiry
	now, err := s.broker.Swap(ctx, used, nil, mine, keep)
	if err == nil && string(now) != string(mine) {
		err = ErrRefused
	}
	return err
}

// open returns nil if request has no state.
func (s *Sealer) open(ctx context.Context, request any) (*sealed, error) {
	token, err := presented(request)
	if err != nil || token == "" {
		return nil, err
	}
	about, err := binding(ctx, request)
	if err != nil {
		return nil, err
	}
	raw, err := encoding.DecodeString(token)
	if err != nil || len(raw) < headLen || raw[0] != format {
		return nil, ErrRefused
	}
	key, ok, err := s.ring.named(ctx, name(raw[1:headLen]))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrRefused
	}
	var content sealed
	text, ok := unseal(key.aead, raw, about)
	if !ok || json.Unmarshal(text, &content) != nil || time.Now().UnixMilli() >= content.Expires {
		return nil, ErrRefused
	}
	return &content, nil
}

// into is ErrRefused for a state of another release of the handler.
func (c *sealed) into(state any) error {
	if err := json.Unmarshal(c.State, state); err != nil {
		return fmt.Errorf("read it as %T: %w: %w", state, ErrRefused, err)
	}
	return nil
}

func unseal(aead cipher.AEAD, raw, about []byte) (text []byte, ok bool) {
	head, rest := raw[:headLen], raw[headLen:]
	if len(rest) < aead.NonceSize() {
		return nil, false
	}
	nonce, rest := rest[:aead.NonceSize()], rest[aead.NonceSize():]
	text, err := aead.Open(nil, nonce, rest, additional(head, about))
	return text, err == nil
}

// additional is what a state is bound to, beside what it holds.
func additional(head, about []byte) []byte {
	return append(append([]byte(nil), head...), about...)
}
