package mcpsession_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
)

// texts calls visit for every string field of s, also those of its Client, so
// that a field added later is tested too.
func texts(s *mcpsession.Session, visit func(name string, field reflect.Value)) {
	for _, v := range []reflect.Value{reflect.ValueOf(s).Elem(), reflect.ValueOf(&s.Client).Elem()} {
		for i := range v.NumField() {
			if v.Field(i).Kind() == reflect.String {
				visit(v.Type().Field(i).Name, v.Field(i))
			}
		}
	}
}

func TestCloneSharesNoMemory(t *testing.T) {
	original := func() mcpsession.Session {
		s := mcpsession.Session{
			Revision: 7, IdleTimeout: time.Hour, CreatedAt: time.Unix(1, 0), ExpiresAt: time.Unix(2, 0),
			Values: map[string]json.RawMessage{"a": json.RawMessage(`"one"`), "b": json.RawMessage(`[1]`)},
		}
		texts(&s, func(name string, field reflect.Value) { field.SetString(name) })
		return s
	}
	s := original()
	clone := s.Clone()
	if !reflect.DeepEqual(clone, s) {
		t.Fatalf("the clone differs: %+v", clone)
	}
	clone.Values["a"][1] = 'X'
	clone.Values["c"] = json.RawMessage(`1`)
	delete(clone.Values, "b")
	if !reflect.DeepEqual(s, original()) {
		t.Errorf("changing the clone changed the original: %+v", s)
	}
}

func TestCloneOfNoValuesHasNone(t *testing.T) {
	empty := map[string]json.RawMessage{}
	clone := mcpsession.Session{Values: empty}.Clone()
	if clone.Values != nil {
		t.Errorf("the clone has the values %v", clone.Values)
	}
	if got := (mcpsession.Session{}).Clone(); !reflect.DeepEqual(got, mcpsession.Session{}) {
		t.Errorf("the clone of the zero session is %+v", got)
	}
}

func TestSizeCountsWhatOthersChoose(t *testing.T) {
	var s mcpsession.Session
	if s.Size() != 0 {
		t.Errorf("the zero session has size %d", s.Size())
	}
	want, fields := 0, 0
	texts(&s, func(name string, field reflect.Value) {
		fields++
		field.SetString(strings.Repeat("é", fields)) // bytes, not letters
		want += 2 * fields
		if s.Size() != want {
			t.Errorf("with %s set the size is %d, want %d", name, s.Size(), want)
		}
	})
	if fields < 9 {
		t.Errorf("only %d text fields were found", fields)
	}
	s.Values = map[string]json.RawMessage{"key": json.RawMessage(`12345`), "": json.RawMessage(`{}`)}
	if want += 3 + 5 + 0 + 2; s.Size() != want {
		t.Errorf("with values the size is %d, want %d", s.Size(), want)
	}
	s.Revision, s.CreatedAt, s.IdleTimeout = 99, time.Now(), time.Hour
	if s.Size() != want {
		t.Errorf("what the store sets changed the size to %d, want %d", s.Size(), want)
	}
}

func TestIdleExpiresAtIsTheEarlierDeadline(t *testing.T) {
	used := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		name           string
		idle, absolute time.Duration // after the last use
		want           time.Duration
	}{
		{"idle first", time.Hour, 2 * time.Hour, time.Hour},
		{"absolute first", 2 * time.Hour, time.Hour, time.Hour},
		{"both at once", time.Hour, time.Hour, time.Hour},
		{"absolute a moment earlier", time.Hour, time.Hour - 1, time.Hour - 1},
		{"absolute passed", time.Hour, -time.Minute, -time.Minute},
	} {
		s := mcpsession.Session{LastUsedAt: used, IdleTimeout: test.idle, ExpiresAt: used.Add(test.absolute)}
		if got := s.IdleExpiresAt().Sub(used); got != test.want {
			t.Errorf("%s: the session ends %v after its last use, want %v", test.name, got, test.want)
		}
	}
}
