package requeststate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
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
