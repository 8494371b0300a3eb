package requeststate

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/mcpsession/mcpsession"
)

// KeyLen is the length of a Key, in bytes: AES-256 in Galois/Counter Mode.
const KeyLen = 32

// Key is a secret key. It does not show when printed.
type Key [KeyLen]byte

// String hides the key.
func (Key) String() string { return "secret" }

// GoString hides the key.
func (Key) GoString() string { return "requeststate.Key(secret)" }

// ParseKeys reads keys as an environment variable holds them: in base64, newest
// first, separated by commas. "openssl rand -base64 32" makes one. Its errors do
// not show them.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	for part := range strings.SplitSeq(text, ",") {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(part))
		if err != nil || len(raw) != KeyLen {
			return nil, fmt.Errorf("key %d is not %d bytes in base64: openssl rand -base64 %d makes one", len(keys)+1, KeyLen, KeyLen)
		}
		keys = append(keys, Key(raw))
	}
	return keys, nil
}

// ring are the keys of the fleet.
type ring interface {
	newest(ctx context.Context) (sealingKey, error)
	named(ctx context.Context, n [nameLen]byte) (key sealingKey, ok bool, err error)
}

// sealingKey is a key ready for use. Its name, which tells it from others, says
// nothing of it.
type sealingKey struct {
	name [nameLen]byte
	aead cipher.AEAD
}

func (k Key) prepare() sealingKey {
	block, _ := aes.NewCipher(k[:]) // fails for other lengths only
	aead, _ := cipher.NewGCM(block) // fails for other ciphers only
	sum := sha256.Sum256(append([]byte("mcpsession: name of "), k[:]...))
	return sealingKey{name(sum[:]), aead}
}

func name(b []byte) [nameLen]byte { return [nameLen]byte(b[:nameLen]) }

// fixedRing are keys that the operator gave.
type fixedRing []sealingKey

func newFixedRing(keys []Key) fixedRing {
	r := make(fixedRing, len(keys))
	for i, key := range keys {
		r[i] = key.prepare()
	}
	return r
}

func (r fixedRing) newest(context.Context) (sealingKey, error) { return r[0], nil }

func (r fixedRing) named(_ context.Context, n [nameLen]byte) (sealingKey, bool, error) {
	for _, key := range r {
		if key.name == n {
			return key, true, nil
		}
	}
	return sealingKey{}, false, nil
}

// sharedRing is one key that the broker keeps, made by whoever needs it first.
// Each use makes sure that it is kept for as long as what it seals can be opened;
// when nothing was sealed for longer than that, it ends, and the next is another.
type sharedRing struct {
	broker mcpsession.Broker
	expiry time.Duration

	mu      sync.Mutex
	key     sealingKey
	value   []byte    // the key, as the cell holds it
	renewed time.Time // when the cell was last known to live three expiries more
}

var sharedKey = mcpsession.Key{Name: "request-state-key"}

func (r *sharedRing) newest(ctx context.Context) (sealingKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// What is sealed until one expiry later can be opened until two later.
	if r.value != nil && time.Since(r.renewed) < r.expiry {
		return r.key, nil
	}
	return r.key, r.renew(ctx)
}

func (r *sharedRing) named(ctx context.Context, n [nameLen]byte) (sealingKey, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.value == nil || r.key.name != n { // another replica may have made one
		if err := r.renew(ctx); err != nil {
			return sealingKey{}, false, err
		}
	}
	return r.key, r.key.name == n, nil
}

// renew reads the key and has it kept for three expiries more, or makes one.
func (r *sharedRing) renew(ctx context.Context) error {
	began := time.Now()
	old, next := r.value, r.value
	for range 10 { // each time, others were faster
		if next == nil {
			next = make([]byte, KeyLen)
			rand.Read(next)
		}
		now, err := r.broker.Swap(ctx, sharedKey, old, next, 3*r.expiry)
		switch {
		case err != nil:
			return err
		case now == nil: // it ended
			old, next = nil, nil
		case len(now) != KeyLen:
			return fmt.Errorf("%w: the shared key is damaged", mcpsession.ErrUnavailable)
		case string(now) == string(next): // nobody else makes the same
			if string(now) != string(r.value) {
				r.value, r.key = now, Key(now).prepare()
			}
			r.renewed = began
			return nil
		default:
			old, next = now, now
		}
	}
	return fmt.Errorf("%w: the shared key changes all the time", mcpsession.ErrConflict)
}
