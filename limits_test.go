package mcpsession_test

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
)

func TestDefaultLimitsAreTheDocumentedOnes(t *testing.T) {
	want := mcpsession.Limits{IdleTimeout: 24 * time.Hour, MaxLifetime: 168 * time.Hour, MaxSize: 1048576}
	if got := mcpsession.DefaultLimits(); got != want || got.Validate() != nil {
		t.Errorf("the default limits are %+v, %v", got, got.Validate())
	}
}

const century = 100 * 365 * 24 * time.Hour

func TestLimitsOutOfRangeAreNamed(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*mcpsession.Limits)
		want   []string // in the error; none if the limits are fine
	}{
		{"one millisecond", func(l *mcpsession.Limits) { l.IdleTimeout, l.MaxLifetime = time.Millisecond, time.Millisecond }, nil},
		{"idle longer than life", func(l *mcpsession.Limits) { l.IdleTimeout = 10 * l.MaxLifetime }, nil},
		{"a hundred years", func(l *mcpsession.Limits) { l.IdleTimeout, l.MaxLifetime = century, century }, nil},
		{"one byte", func(l *mcpsession.Limits) { l.MaxSize = 1 }, nil},
		{"no limits at all", func(l *mcpsession.Limits) { *l = mcpsession.Limits{} }, []string{"idle timeout 0s"}},
		{"no idle timeout", func(l *mcpsession.Limits) { l.IdleTimeout = 0 }, []string{"idle timeout 0s"}},
		{"negative idle timeout", func(l *mcpsession.Limits) { l.IdleTimeout = -time.Second }, []string{"idle timeout -1s"}},
		{"tiny idle timeout", func(l *mcpsession.Limits) { l.IdleTimeout = time.Microsecond }, []string{"idle timeout 1µs", "millisecond"}},
		{"fractional idle timeout", func(l *mcpsession.Limits) { l.IdleTimeout = time.Second + 1 }, []string{"idle timeout 1.000000001s", "millisecond"}},
		{"no lifetime", func(l *mcpsession.Limits) { l.MaxLifetime = 0 }, []string{"maximum lifetime 0s"}},
		{"negative lifetime", func(l *mcpsession.Limits) { l.MaxLifetime = -1 }, []string{"maximum lifetime -1ns"}},
		{"fractional lifetime", func(l *mcpsession.Limits) { l.MaxLifetime += time.Microsecond }, []string{"maximum lifetime 168h0m0.000001s"}},
		{"endless idling", func(l *mcpsession.Limits) { l.IdleTimeout = century + time.Millisecond }, []string{"idle timeout 876000h0m0.001s", "100 years"}},
		{"an endless life", func(l *mcpsession.Limits) { l.MaxLifetime = time.Duration(math.MaxInt64).Truncate(time.Millisecond) }, []string{"maximum lifetime", "100 years"}},
		{"no size", func(l *mcpsession.Limits) { l.MaxSize = 0 }, []string{"size 0", "1 byte"}},
		{"negative size", func(l *mcpsession.Limits) { l.MaxSize = -5 }, []string{"size -5"}},
	} {
		limits := mcpsession.DefaultLimits()
		test.change(&limits)
		err := limits.Validate()
		if (err != nil) != (len(test.want) > 0) {
			t.Errorf("%s: error is %v", test.name, err)
			continue
		}
		for _, text := range test.want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: the error does not say %q: %v", test.name, text, err)
			}
		}
	}
}

func values(key, value string) mcpsession.Session {
	return mcpsession.Session{Values: map[string]json.RawMessage{key: json.RawMessage(value)}}
}

func TestCheckRefusesWhatCannotBeStored(t *testing.T) {
	limits := mcpsession.DefaultLimits()
	limits.MaxSize = 10
	id := mcpsession.NewHandle()
	for _, test := range []struct {
		name    string
		id      mcpsession.ID
		session mcpsession.Session
		want    string // in the error; empty if the session is fine
		tooBig  bool
	}{
		{"nothing", id, mcpsession.Session{}, "", false},
		{"exactly the size", id, mcpsession.Session{Owner: "12345", LogLevel: "12345"}, "", false},
		{"one byte more", id, mcpsession.Session{Owner: "12345", LogLevel: "123456"}, "11 bytes where 10 are allowed", true},
		{"a long key", id, values("12345678901", `1`), "12 bytes", true},
		{"a long value", id, values("k", `"12345678"`), "11 bytes", true},
		{"too large and malformed", id, mcpsession.Session{Owner: strings.Repeat("\xff", 11)}, "11 bytes", true},
		{"no id", mcpsession.ID{}, mcpsession.Session{}, "session id is empty", false},
		{"JSON of each kind", id, values("k", `{"a":[]}`), "", false},
		{"null", id, values("k", `null`), "", false},
		{"an empty key", id, values("", `1`), "", false},
		{"a NUL in a key", id, values("\x00", `1`), "", false},
		{"a key that is no UTF-8", id, values("k\xff", `1`), `key "k\xff"`, false},
		{"an empty value", id, values("k", ``), `value of "k" is not JSON`, false},
		{"a bare word", id, values("k", `yes`), `value of "k" is not JSON`, false},
		{"two values", id, values("k", `1 2`), `value of "k" is not JSON`, false},
		{"an open string", id, values("k", `"a`), `value of "k" is not JSON`, false},
		{"a value that is no UTF-8", id, values("k", "\"\xff\""), `value of "k" is not JSON`, false},
	} {
		err := limits.Check(test.id, test.session)
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want %q", test.name, err, test.want)
		}
		if errors.Is(err, mcpsession.ErrTooLarge) != test.tooBig {
			t.Errorf("%s: error is ErrTooLarge: %t", test.name, !test.tooBig)
		}
	}
}

func TestCheckRefusesTextThatIsNoUTF8InEveryField(t *testing.T) {
	limits, id := mcpsession.DefaultLimits(), mcpsession.NewSessionID()
	var s mcpsession.Session
	texts(&s, func(name string, field reflect.Value) {
		field.SetString("/tmp/\xff\xfe")
		if err := limits.Check(id, s); err == nil || !strings.Contains(err.Error(), "not valid UTF-8") {
			t.Errorf("%s that is no UTF-8: error is %v", name, err)
		}
		field.SetString("/tmp/ü\x00\n")
		if err := limits.Check(id, s); err != nil {
			t.Errorf("%s that is UTF-8: error is %v", name, err)
		}
	})
}

func TestCheckRefusesValuesNestedTooDeep(t *testing.T) {
	nested := func(opening, closing string, n int) string {
		return strings.Repeat(opening, n) + "1" + strings.Repeat(closing, n)
	}
	limits, id := mcpsession.DefaultLimits(), mcpsession.NewSessionID()
	for _, test := range []struct {
		name, value string
		ok          bool
	}{
		{"lists", nested("[", "]", 1000), true},
		{"lists, one more", nested("[", "]", 1001), false},
		{"objects", nested(`{"a":`, "}", 1000), true},
		{"objects, one more", nested(`{"a":`, "}", 1001), false},
		{"both", nested(`[{"a":`, "}]", 500), true},
		{"both, one more", "[" + nested(`[{"a":`, "}]", 500) + "]", false},
		{"as deep as encoding/json reads", nested("[", "]", 10_000), false},
		{"the deepest last", "[1,[2]," + nested("[", "]", 1000) + "]", false},
		{"many beside each other", "[" + strings.Repeat("[],", 5000) + "[]]", true},
		{"brackets in a string", `"` + strings.Repeat("[{", 5000) + `"`, true},
		{"brackets after an escaped quote", `"\"` + strings.Repeat("[", 5000) + `"`, true},
		{"brackets in keys", `{"` + strings.Repeat("[", 5000) + `":1}`, true},
		{"after an escaped backslash", `["\\",` + nested("[", "]", 1000) + "]", false},
	} {
		err := limits.Check(id, values("k", test.value))
		if (err == nil) != test.ok || err != nil && !strings.Contains(err.Error(), `value of "k" is nested more than 1000`) {
			t.Errorf("%s: error is %v, can be stored: %t", test.name, err, test.ok)
		}
	}
}
