package server

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/mcpsession/mcpsession"
)

// Event ids name the stream that they were sent on and the place in it, so that
// any replica can tell from a Last-Event-ID what the client has seen:
//
//	r.RECORD.POSITION         of the response to a POST (record.go)
//	g.STREAM.MAIL.FLEET       of a GET stream (delivery.go)
//
// They open nothing: both are looked up within the session that asks.

// streamID names a GET stream of one session. It contains a digest of the
// session's ref, so that one of another session is recognised even when nothing
// is remembered of the stream.
func newStreamID(ref mcpsession.Ref) string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return sealStreamID(ref, random)
}

func sealStreamID(ref mcpsession.Ref, random [8]byte) string {
	digest := sha256.Sum256(append(ref[:], random[:]...))
	return base64.RawURLEncoding.EncodeToString(append(random[:], digest[:8]...))
}

func isStreamOf(ref mcpsession.Ref, id string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	return err == nil && len(raw) == 16 && id == sealStreamID(ref, [8]byte(raw))
}

func recordEventID(record string, at mcpsession.Position) string {
	return "r." + record + "." + position(at)
}

func streamEventID(stream string, mail, fleet mcpsession.Position) string {
	return "g." + stream + "." + position(mail) + "." + position(fleet)
}

// lastEvent is a Last-Event-ID, taken apart.
type lastEvent struct {
	record string // of a response, or else
	stream string // of a GET stream

	mail, fleet mcpsession.Position // mail is the position in a record, too
}

func parseLastEvent(id string) (lastEvent, bool) {
	parts := strings.Split(id, ".")
	switch {
	case len(parts) == 3 && parts[0] == "r":
		at, ok := parsePosition(parts[2])
		return lastEvent{record: parts[1], mail: at}, ok && parts[1] != ""
	case len(parts) == 4 && parts[0] == "g":
		mail, ok := parsePosition(parts[2])
		fleet, okFleet := parsePosition(parts[3])
		return lastEvent{stream: parts[1], mail: mail, fleet: fleet}, ok && okFleet
	}
	return lastEvent{}, false
}

func position(p mcpsession.Position) string { return strconv.FormatUint(uint64(p), 36) }

func parsePosition(s string) (mcpsession.Position, bool) {
	n, err := strconv.ParseUint(s, 36, 64)
	return mcpsession.Position(n), err == nil
}
