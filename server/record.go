package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mcpsession/mcpsession"
)

// The answer to a POST that became an event stream is recorded, event by event,
// so that a client whose connection broke can resume it on any replica. The
// record is a log of the session; its name says which replica runs the call.

// recordKeep bounds a record. The last event, which is the answer, is never
// dropped for being too many; a client has five minutes to come for it.
var recordKeep = mcpsession.Retention{Events: 10_000, For: 5 * time.Minute}

// What the first byte of a recorded event says of it.
const (
	recordBegin   = 'b' // the requests that the record answers, as a JSON list of ids
	recordMessage = 'm' // a message follows
	recordLast    = 'l' // a message follows, and nothing after it
	recordEnd     = 'e' // nothing follows: the last request was cancelled
	recordBeat    = 'k' // the call still runs; as recordBegin, which may have been dropped
)

// record is one, as seen by the replica that writes it.
type record struct {
	broker mcpsession.Broker
	key    mcpsession.Key
	wrote  time.Time
	at     mcpsession.Position // of what was written last
}

const recordPrefix = "response:"

func recordKey(ref mcpsession.Ref, name string) mcpsession.Key {
	return mcpsession.Key{Ref: ref, Name: recordPrefix + name}
}

// beginRecord makes the record of the answers to these requests.
func beginRecord(ctx context.Context, broker mcpsession.Broker, ref mcpsession.Ref, requests []json.RawMessage) (*record, mcpsession.Position, error) {
	name := broker.Replica() + "-" + rand.Text()[:12] // of 60 bits, in one session
	r := &record{broker: broker, key: recordKey(ref, name)}
	at, err := r.append(ctx, recordBegin, encode(requests))
	if err != nil {
		return nil, 0, err
	}
	return r, at, nil
}

func (r *record) name() string { return strings.TrimPrefix(r.key.Name, recordPrefix) }

func (r *record) append(ctx context.Context, kind byte, message []byte) (mcpsession.Position, error) {
	at, err := r.broker.Append(ctx, r.key, append([]byte{kind}, message...), recordKeep)
	if err == nil {
		r.wrote, r.at = time.Now(), at
	}
	return at, err
}

// beat keeps the record from ending while its call is silent.
func (r *record) beat(ctx context.Context, requests []json.RawMessage) error {
	if time.Since(r.wrote) < recordKeep.For/4 {
		return nil
	}
	_, err := r.append(ctx, recordBeat, encode(requests))
	return err
}

// runnerOf is the replica that writes the record of this name.
func runnerOf(name string) string {
	return name[:max(0, strings.LastIndexByte(name, '-'))]
}

// errNoRecord: the session has no such record.
var errNoRecord = errors.New("this session has no such stream, or it ended long ago")

// unanswered returns the ids of the requests that a record does not answer.
func unanswered(ctx context.Context, broker mcpsession.Broker, key mcpsession.Key) ([]json.RawMessage, error) {
	var ids []json.RawMessage
	for after := mcpsession.Position(0); ; {
		page, err := broker.Read(ctx, key, after)
		if err != nil || len(page.Events) == 0 {
			return ids, err
		}
		for _, event := range page.Events {
			after = event.Position
			switch kind, text := event.Data[0], event.Data[1:]; kind {
			case recordBegin, recordBeat:
				if ids != nil {
					continue
				}
				if err := json.Unmarshal(text, &ids); err != nil {
					return nil, fmt.Errorf("decode the begin of a record: %w", err)
				}
			case recordMessage, recordLast:
				if m, err := parseMessage(text); err == nil && m.isResponse() {
					ids = without(ids, m.ID)
				}
			}
		}
	}
}

func without(ids []json.RawMessage, id json.RawMessage) []json.RawMessage {
	for i := range ids {
		if string(ids[i]) == string(id) {
			return append(ids[:i:i], ids[i+1:]...)
		}
	}
	return ids
}
