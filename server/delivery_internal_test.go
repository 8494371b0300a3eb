package server

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/mcpsession/mcpsession"
)

// Stream a delivered up to mail 10 and fleet 100, then b up to 20 and 200, then a
// again up to 30 and 300.
func threeTurns() delivery {
	d := delivery{}.take("a", "a1", "A")
	d.Mail, d.Fleet = 10, 100
	d = d.take("b", "b1", "B")
	d.Mail, d.Fleet = 20, 200
	d = d.release().take("a", "a2", "C")
	d.Mail, d.Fleet = 30, 300
	return d
}

func TestAStreamIsGivenAgainOnlyWhatItWasGiven(t *testing.T) {
	for _, test := range []struct {
		stream      string
		mail, fleet mcpsession.Position // seen by the client
		wantMail    []span
		wantFleet   []span
	}{
		{"a", 0, 0, []span{{0, 10}, {20, 30}}, []span{{0, 100}, {200, 300}}},
		{"a", 4, 100, []span{{4, 10}, {20, 30}}, []span{{200, 300}}},
		{"a", 10, 250, []span{{20, 30}}, []span{{250, 300}}},
		{"a", 30, 300, nil, nil},
		{"b", 0, 0, []span{{10, 20}}, []span{{100, 200}}},
		{"b", 15, 200, []span{{15, 20}}, nil},
		{"c", 0, 0, nil, nil},
	} {
		d := threeTurns()
		if got := d.givenMail(test.stream, test.mail); !reflect.DeepEqual(got, test.wantMail) {
			t.Errorf("stream %s, seen %d: given again of the mailbox %v, want %v", test.stream, test.mail, got, test.wantMail)
		}
		if got := d.givenFleet(test.stream, test.fleet); !reflect.DeepEqual(got, test.wantFleet) {
			t.Errorf("stream %s, seen %d: given again of the fleet log %v, want %v", test.stream, test.fleet, got, test.wantFleet)
		}
	}
}

func TestAStreamThatGoesOnHasNoNewTurn(t *testing.T) {
	d := threeTurns()
	again := d.release().take("a", "a3", "B")
	if !reflect.DeepEqual(again.Turns, d.Turns) {
		t.Errorf("the turns are %v, want %v", again.Turns, d.Turns)
	}
	if again.Connection != "a3" || again.Replica != "B" {
		t.Errorf("it is delivered by %s on %s", again.Connection, again.Replica)
	}
}

func TestOnlySoManyTurnsAreRemembered(t *testing.T) {
	var d delivery
	for i := range 10 * turns {
		d = d.take(string(rune('A'+i%2)), "", "")
		d.Mail++
	}
	if len(d.Turns) != turns {
		t.Fatalf("%d turns are remembered, want %d", len(d.Turns), turns)
	}
	// What is forgotten is given to nobody again; the rest is as it was.
	if got := d.givenMail("A", 0); got[0].after != d.Turns[0].Mail && got[0].after != d.Turns[1].Mail {
		t.Errorf("the first thing given again is %v, of turns from %v on", got[0], d.Turns[0])
	}
}

// Each change is made to a copy: the text in the cell has to be that of the state
// as it was read.
func TestTakingATurnChangesNoEarlierState(t *testing.T) {
	d := threeTurns()
	before, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	d.take("x", "1", "X").take("y", "1", "Y")
	d.take("z", "1", "Z")
	if after, _ := json.Marshal(d); string(after) != string(before) {
		t.Errorf("the state became %s, was %s", after, before)
	}
}
