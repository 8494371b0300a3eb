package redisstore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsession/mcpsession"
)

// schema is the version of what follows. A release that changes it reads its
// predecessor's too, and learns to read before any release begins to write.
//
// A stored session is one string: a header line, which the scripts read and
// write, and the content (content.go), which only this package does.
//
//	1 REVISION CREATED EXPIRES IDLE WRITTEN REF DIGEST[,DIGEST] WRITER:REVISION:TIME[,...] \n CONTENT
//
// Times are Unix milliseconds by the Redis server's clock, IDLE is in
// milliseconds. EXPIRES is the absolute deadline; the idle deadline is the
// key's own TTL. Each DIGEST is that of a credential that opens the session.
// The writers are those of the last minute; see writers.go.
const schema = 1

// record is a stored session, decoded.
type record struct {
	session mcpsession.Session
	digests []mcpsession.Digest
	written time.Time // the last Create or Update
}

var errCorrupt = errors.New("the stored session is corrupt")

// decode reads a stored value. It checks that the value is that of ref, since
// a connection whose replies are out of step would hand over another session
// (it has happened: CVE-2025-29923).
func decode(value string, ref mcpsession.Ref) (record, error) {
	if v, _, ok := strings.Cut(value, " "); !ok || v != strconv.Itoa(schema) {
		if n, err := strconv.Atoi(v); ok && err == nil && n > schema {
			return record{}, fmt.Errorf("%w: schema %d, where this release knows %d", mcpsession.ErrUnsupportedVersion, n, schema)
		}
		return record{}, fmt.Errorf("%w: it has no schema version", errCorrupt)
	}
	header, content, ok := strings.Cut(value, "\n")
	fields, complete := splitHeader(header)
	if !ok || !complete {
		return record{}, fmt.Errorf("%w: its header is incomplete", errCorrupt)
	}
	if stored, err := mcpsession.ParseRef(fields[6]); err != nil || stored != ref {
		return record{}, fmt.Errorf("%w: it is that of another session", errCorrupt)
	}
	var r record
	if err := decodeContent(content, &r.session); err != nil {
		return record{}, err
	}
	var numbers [6]int64
	for i := range numbers[1:] {
		n, err := strconv.ParseInt(fields[i+1], 10, 64)
		if err != nil {
			return record{}, fmt.Errorf("%w: field %d of its header is no number", errCorrupt, i+1)
		}
		numbers[i+1] = n
	}
	r.session.Ref = ref
	r.session.Revision = uint64(numbers[1])
	r.session.CreatedAt = millis(numbers[2])
	r.session.ExpiresAt = millis(numbers[3])
	r.session.IdleTimeout = time.Duration(numbers[4]) * time.Millisecond
	r.written = millis(numbers[5])
	for text := range strings.SplitSeq(fields[7], ",") {
		d, ok := decodeDigest(text)
		if !ok {
			return record{}, fmt.Errorf("%w: a digest in its header is malformed", errCorrupt)
		}
		r.digests = append(r.digests, d)
	}
	return r, nil
}

// opens reports whether id is one of the record's credentials.
func (r record) opens(id mcpsession.ID) bool {
	open := false
	for _, d := range r.digests {
		open = id.Matches(d) || open
	}
	return open
}

// splitHeader returns the nine fields of a header.
func splitHeader(header string) (fields [9]string, complete bool) {
	n := 0
	for field := range strings.SplitSeq(header, " ") {
		if n == len(fields) {
			return fields, false
		}
		fields[n] = field
		n++
	}
	return fields, n == len(fields)
}

// encoding is strict, so that every digest has exactly one spelling.
var encoding = base64.RawURLEncoding.Strict()

func encodeDigest(d mcpsession.Digest) string { return encoding.EncodeToString(d[:]) }

func decodeDigest(text string) (d mcpsession.Digest, ok bool) {
	if len(text) != encoding.EncodedLen(len(d)) {
		return d, false
	}
	// Decode skips CR and LF even when strict, so a shorter result is malformed.
	n, err := encoding.Decode(d[:], []byte(text))
	return d, err == nil && n == len(d)
}

func millis(n int64) time.Time { return time.UnixMilli(n).UTC() }

// slack is what the server adds to an idle timeout, so that a session which was
// touched within that time need not be touched again. The scripts compute the
// same.
func slack(idle time.Duration) time.Duration {
	return time.Duration(idle.Milliseconds()/16) * time.Millisecond
}
