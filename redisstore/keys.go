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
