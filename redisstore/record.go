package redisstore

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
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
// write, and the content, which only this package does.
//
//	1 REVISION CREATED EXPIRES IDLE WRITTEN REF DIGEST[,DIGEST] WRITER:REVISION:TIME[,...] \n {content as JSON}
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
	fields := strings.Split(header, " ")
	if !ok || len(fields) != 9 {
		return record{}, fmt.Errorf("%w: its header is incomplete", errCorrupt)
	}
	if fields[6] != ref.String() {
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
		var d mcpsession.Digest
		if raw, err := base64.RawURLEncoding.Strict().DecodeString(text); err != nil || copy(d[:], raw) != len(d) || len(raw) != len(d) {
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

func encodeDigest(d mcpsession.Digest) string { return base64.RawURLEncoding.EncodeToString(d[:]) }

func millis(n int64) time.Time { return time.UnixMilli(n).UTC() }

// slack is what the server adds to an idle timeout, so that a session which was
// touched within that time need not be touched again. The scripts compute the
// same.
func slack(idle time.Duration) time.Duration {
	return time.Duration(idle.Milliseconds()/16) * time.Millisecond
}

// content is the part of a session that applications change. Its names are
// short because every stored session repeats them.
type content struct {
	Owner            string                     `json:"o,omitempty"`
	WorkingDirectory string                     `json:"d,omitempty"`
	ConfigPath       string                     `json:"c,omitempty"`
	ProjectID        string                     `json:"p,omitempty"`
	LogLevel         string                     `json:"l,omitempty"`
	ClientName       string                     `json:"cn,omitempty"`
	ClientVersion    string                     `json:"cv,omitempty"`
	ClientProtocol   string                     `json:"cp,omitempty"`
	ClientCaps       string                     `json:"cc,omitempty"`
	Values           map[string]json.RawMessage `json:"v,omitempty"`
}

func encodeContent(s mcpsession.Session) (string, error) {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false) // keeps the application's JSON as it is
	err := e.Encode(content{
		Owner:            s.Owner,
		WorkingDirectory: s.WorkingDirectory,
		ConfigPath:       s.ConfigPath,
		ProjectID:        s.ProjectID,
		LogLevel:         s.LogLevel,
		ClientName:       s.Client.Name,
		ClientVersion:    s.Client.Version,
		ClientProtocol:   s.Client.ProtocolVersion,
		ClientCaps:       s.Client.Capabilities,
		Values:           s.Values,
	})
	if err != nil {
		return "", fmt.Errorf("encode the session: %w", err)
	}
	return strings.TrimSuffix(buf.String(), "\n"), nil
}

func decodeContent(text string, s *mcpsession.Session) error {
	var c content
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	s.Owner = c.Owner
	s.WorkingDirectory = c.WorkingDirectory
	s.ConfigPath = c.ConfigPath
	s.ProjectID = c.ProjectID
	s.LogLevel = c.LogLevel
	s.Client = mcpsession.Client{
		Name:            c.ClientName,
		Version:         c.ClientVersion,
		ProtocolVersion: c.ClientProtocol,
		Capabilities:    c.ClientCaps,
	}
	s.Values = c.Values
	return nil
}
