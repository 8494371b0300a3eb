package server

import (
	"math"
	"testing"

	"github.com/mcpsession/mcpsession"
)

func TestAnEventIDIsReadBack(t *testing.T) {
	const huge = mcpsession.Position(math.MaxUint64)
	for id, want := range map[string]lastEvent{
		recordEventID("replica-1-ABC", huge): {record: "replica-1-ABC", mail: huge},
		streamEventID("Zz_-9", 0, huge):      {stream: "Zz_-9", fleet: huge},
		streamEventID("s", 35, 36):           {stream: "s", mail: 35, fleet: 36},
	} {
		if got, ok := parseLastEvent(id); !ok || got != want {
			t.Errorf("%s is read as %+v, %t, want %+v", id, got, ok, want)
		}
	}
}

func TestWhatIsNoEventIDIsRefused(t *testing.T) {
	for _, id := range []string{
		"", ".", "x", "r", "r.a", "r..1", "r.a.", "r.a.!", "r.a.1.2", "g.a.1", "g.a.1.", "g.a..1", "g.a.1.2.3",
		"R.a.1", "r.a.-1", "r.a.zzzzzzzzzzzzzzzz", "12", "GET-4",
	} {
		if got, ok := parseLastEvent(id); ok {
			t.Errorf("%q is read as %+v", id, got)
		}
	}
}

func TestAStreamIDIsThatOfOneSession(t *testing.T) {
	mine, other := mcpsession.NewSessionID().Ref(), mcpsession.NewSessionID().Ref()
	id := newStreamID(mine)
	if !isStreamOf(mine, id) {
		t.Errorf("%s is not taken for what it is", id)
	}
	if isStreamOf(other, id) {
		t.Errorf("%s is taken for a stream of another session", id)
	}
	if again := newStreamID(mine); again == id {
		t.Errorf("two streams have the id %s", id)
	}
	for _, forged := range []string{"", id + "A", id[:len(id)-1], "A" + id[1:], "!" + id[1:]} {
		if forged != id && isStreamOf(mine, forged) {
			t.Errorf("%q is taken for a stream of the session", forged)
		}
	}
}
