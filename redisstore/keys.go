package redisstore

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/mcpsession/mcpsession"
)

// buckets is the number of hash slots that sessions are spread over. All keys
// of one session, and the index it stands in, share a slot, so that a script
// can change them together; over 12 equal cluster shards they spread
// within 9 %. Sessions of a fleet that disagrees about it would not find each
// other, so it never changes.
const buckets = 1024

// keys builds the name of every key this package uses.
type keys struct{ prefix string }

// session names the string that holds one session.
func (k keys) session(ref mcpsession.Ref) string {
	return k.bucket(bucketOf(ref)) + ":s:" + ref.String()
}

// index names the sorted set of a bucket's refs, each with the session's next
// deadline in Unix milliseconds as its score.
func (k keys) index(bucket int) string { return k.bucket(bucket) + ":i" }

// log names the stream that holds a broker's log.
func (k keys) log(key mcpsession.Key) string { return k.of(key, "l") }

// cell names the string that holds a broker's cell.
func (k keys) cell(key mcpsession.Key) string { return k.of(key, "c") }

// channel names the Pub/Sub channel on which changes of key are told.
func (k keys) channel(key mcpsession.Key) string { return k.of(key, "n") }

// writer names the string that holds what a writer did last to the logs and
// cells in the slot of ref.
func (k keys) writer(ref mcpsession.Ref, writer string) string {
	return k.slot(ref) + ":w:" + writer
}

// replica names the string that exists while a replica runs, and a Pub/Sub
// channel of its own.
func (k keys) replica(name string) string { return k.prefix + ":r:" + name }

func (k keys) of(key mcpsession.Key, kind string) string {
	name := k.slot(key.Ref) + ":" + kind + ":"
	if key.Ref != (mcpsession.Ref{}) {
		name += key.Ref.String() + ":"
	}
	return name + key.Name
}

// slot begins the names of all keys that lie in the slot of ref; those that
// belong to no session have one of their own.
func (k keys) slot(ref mcpsession.Ref) string {
	if ref == (mcpsession.Ref{}) {
		return k.prefix + ":{fleet}"
	}
	return k.bucket(bucketOf(ref))
}

func (k keys) bucket(n int) string { return k.prefix + ":{b" + strconv.Itoa(n) + "}" }

func bucketOf(ref mcpsession.Ref) int { return int(binary.BigEndian.Uint16(ref[:])) % buckets }

// checkPrefix refuses what would move the hash tag or is hard to type.
func checkPrefix(prefix string) error {
	const allowed = "letters, digits and any of . _ - :"
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-:", r)
	}
	if prefix == "" || len(prefix) > 64 || strings.IndexFunc(prefix, func(r rune) bool { return !ok(r) }) >= 0 {
		return fmt.Errorf("key prefix %q is not usable: 1 to 64 characters are needed, %s", prefix, allowed)
	}
	return nil
}
