package redisstore_test

import (
	"context"
	"encoding/base64"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/redis/go-redis/v9"
)

// recorder notes the names of the commands that a client sends one by one.
type recorder struct{ sent []string }

func (*recorder) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		r.sent = append(r.sent, cmd.Name())
		return next(ctx, cmd)
	}
}

// during returns the commands that run sent.
func (r *recorder) during(run func()) []string {
	r.sent = nil
	run()
	return slices.Clone(r.sent)
}

// recorded opens a store of its own, and records its commands.
func recorded(t *testing.T, options redis.Options, idle time.Duration) (*redisstore.Store, *recorder) {
	t.Helper()
	client := redis.NewClient(&options)
	t.Cleanup(func() { client.Close() })
	o := defaults()
	o.Limits.IdleTimeout = idle
	store, err := redisstore.New(t.Context(), client, o)
	if err != nil {
		t.Fatal(err)
	}
	r := new(recorder)
	client.AddHook(r)
	return store, r
}

func TestEverythingWorksAfterTheServerForgotItsScripts(t *testing.T) {
	m := miniredis.RunT(t)
	options := redis.Options{Addr: m.Addr()}
	flush := redis.NewClient(&options)
	defer flush.Close()
	writing, writes := recorded(t, options, 24*time.Hour)
	reading, reads := recorded(t, options, 24*time.Hour) // it has not touched the session
	id := mcpsession.NewSessionID()
	for range 2 { // the second time, the server and the client have known the scripts
		for _, step := range []struct {
			name string
			by   *recorder
			run  func() error
			want []string
		}{
			{"Create", writes, func() error {
				_, err := writing.Create(t.Context(), id, mcpsession.Session{})
				return err
			}, []string{"evalsha", "eval"}},
			{"Get", reads, func() error {
				_, err := reading.Get(t.Context(), id)
				return err
			}, []string{"evalsha", "eval"}},
			{"Update", writes, func() error {
				_, err := writing.Update(t.Context(), id, func(s *mcpsession.Session) error { s.ProjectID = "p"; return nil })
				return err
			}, []string{"evalsha", "eval", "evalsha", "eval"}},
			{"Delete", reads, func() error {
				return reading.Delete(t.Context(), id)
			}, []string{"evalsha", "eval"}},
		} {
			if err := flush.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			got := step.by.during(func() {
				if err := step.run(); err != nil {
					t.Errorf("%s after the scripts were flushed: %v", step.name, err)
				}
			})
			if !reflect.DeepEqual(got, step.want) {
				t.Errorf("%s sent %q, want %q", step.name, got, step.want)
			}
		}
	}
	if n, err := reading.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("%d sessions are left, %v", n, err)
	}
}

func TestReadsSoonAfterATouchWriteNothing(t *testing.T) {
	for name, test := range map[string]struct{ idle, window time.Duration }{
		"a sixteenth of the idle timeout": {160 * time.Second, 10 * time.Second},
		"a minute if that is shorter":     {24 * time.Hour, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				options := onMiniredis(t)
				creator, creates := recorded(t, options, test.idle)
				reader, reads := recorded(t, options, test.idle)
				id := mcpsession.NewSessionID()
				if _, err := creator.Create(t.Context(), id, mcpsession.Session{}); err != nil {
					t.Fatal(err)
				}
				get := func(store *redisstore.Store) func() {
					return func() {
						if _, err := store.Get(t.Context(), id); err != nil {
							t.Error(err)
						}
					}
				}
				if got := creates.during(get(creator)); !reflect.DeepEqual(got, []string{"get"}) {
					t.Errorf("a Get just after Create sent %q", got)
				}
				if got := reads.during(get(reader)); got[0] != "evalsha" {
					t.Errorf("the first Get on another replica sent %q", got)
				}
				for round := range 3 {
					for _, wait := range []time.Duration{0, test.window / 2, test.window/2 - time.Millisecond} {
						time.Sleep(wait)
						if got := reads.during(get(reader)); !reflect.DeepEqual(got, []string{"get"}) {
							t.Errorf("round %d: a Get %v later sent %q", round, wait, got)
						}
					}
					time.Sleep(time.Millisecond)
					if got := reads.during(get(reader)); !reflect.DeepEqual(got, []string{"evalsha"}) {
						t.Errorf("round %d: a Get %v after the touch sent %q", round, test.window, got)
					}
				}
			})
		})
	}
}

// A value that somebody damaged, or that is not ours, is no outage, for which a
// caller would try again, and no absence, after which he would begin anew.
func TestADamagedSessionIsNeitherAnOutageNorAbsent(t *testing.T) {
	m := miniredis.RunT(t)
	options := redis.Options{Addr: m.Addr()}
	creator, _ := recorded(t, options, time.Hour) // reads it with GET
	reader, _ := recorded(t, options, time.Hour)  // with the script
	id := mcpsession.NewSessionID()
	if _, err := creator.Create(t.Context(), id, mcpsession.Session{}); err != nil {
		t.Fatal(err)
	}
	key := sessionKey(t, m, id)
	value, err := m.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string]string{
		"empty":             "",
		"another program's": "hello",
		"its first half":    value[:len(value)/2],
		"only the version":  "1 ",
		"no digest":         strings.Replace(value, digestOf(id), "", 1),
		"no revision":       "1 x" + value[3:],
		"no content":        strings.TrimSuffix(value, "0:,"),
	} {
		if err := m.Set(key, damaged); err != nil {
			t.Fatal(err)
		}
		m.SetTTL(key, time.Hour)
		change := func(*mcpsession.Session) error { return nil }
		_, getErr := creator.Get(t.Context(), id)
		_, touchErr := reader.Get(t.Context(), id)
		_, updateErr := creator.Update(t.Context(), id, change)
		for operation, err := range map[string]error{"Get": getErr, "Get by script": touchErr, "Update": updateErr} {
			if err == nil || errors.Is(err, mcpsession.ErrUnavailable) || errors.Is(err, mcpsession.ErrNotFound) || !strings.Contains(err.Error(), "corrupt") {
				t.Errorf("%s of a value that is damaged (%s): %v", operation, name, err)
			}
		}
		if got, err := m.Get(key); err != nil || got != damaged {
			t.Errorf("the damaged value (%s) was changed to %q, %v", name, got, err)
		}
	}
}

// Get and Update check it here too, but Delete relies on its script alone.
func TestOnlyTheDigestsInItsHeaderOpenASession(t *testing.T) {
	m := miniredis.RunT(t)
	store, _ := recorded(t, redis.Options{Addr: m.Addr()}, time.Hour)
	own := mcpsession.NewSessionID()
	second, third, foreign := withOtherSecret(t, own), withOtherSecret(t, own), withOtherSecret(t, own)
	asContent := mcpsession.Session{Owner: " " + digestOf(foreign) + " ", ProjectID: "," + digestOf(foreign) + ","}
	if _, err := store.Create(t.Context(), own, asContent); err != nil {
		t.Fatal(err)
	}
	key := sessionKey(t, m, own)
	value, err := m.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join([]string{digestOf(own), digestOf(second), digestOf(third)}, ",")
	if err := m.Set(key, strings.Replace(value, digestOf(own), all, 1)); err != nil {
		t.Fatal(err)
	}
	m.SetTTL(key, time.Hour)
	update := func(id mcpsession.ID) (err error) {
		_, err = store.Update(t.Context(), id, func(*mcpsession.Session) error { return nil })
		return err
	}
	for name, id := range map[string]mcpsession.ID{"first": own, "second": second, "third": third} {
		if err := update(id); err != nil {
			t.Errorf("Update by the %s of three: %v", name, err)
		}
	}
	if err := update(foreign); !errors.Is(err, mcpsession.ErrNotFound) {
		t.Errorf("Update by what is none: %v", err)
	}
	if err := store.Delete(t.Context(), foreign); err != nil || !m.Exists(key) {
		t.Errorf("Delete by what is none: %v", err)
	}
	if err := store.Delete(t.Context(), third); err != nil || m.Exists(key) {
		t.Errorf("Delete by the third of three: %v", err)
	}
}

// Else the header, and the index, would grow for as long as a session is used.
func TestUpdatesLeaveNothingBehind(t *testing.T) {
	m := miniredis.RunT(t)
	store, _ := recorded(t, redis.Options{Addr: m.Addr()}, time.Hour)
	id := mcpsession.NewSessionID()
	if _, err := store.Create(t.Context(), id, mcpsession.Session{}); err != nil {
		t.Fatal(err)
	}
	key := sessionKey(t, m, id)
	bucket, _, _ := strings.Cut(key, ":s:")
	for i := range 50 { // sessions that have ended
		if _, err := m.ZAdd(bucket+":i", float64(time.Now().Add(-time.Hour).UnixMilli()), strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if _, err := store.Update(t.Context(), id, func(*mcpsession.Session) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if members, err := m.ZMembers(bucket + ":i"); err != nil || !reflect.DeepEqual(members, []string{id.Ref().String()}) {
		t.Errorf("the index has %q, %v", members, err)
	}
	value, err := m.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(value, "\n")
	writers := header[strings.LastIndex(header, " ")+1:]
	if n := strings.Count(writers, ",") + 1; n != 2 {
		t.Errorf("%d writers are remembered, where one created and one updated: %s", n, writers)
	}
}

func TestAForeignMemberOfTheIndexIsPassedOver(t *testing.T) {
	m := miniredis.RunT(t)
	store, _ := recorded(t, redis.Options{Addr: m.Addr()}, time.Hour)
	id := mcpsession.NewSessionID()
	if _, err := store.Create(t.Context(), id, mcpsession.Session{}); err != nil {
		t.Fatal(err)
	}
	index, _, _ := strings.Cut(sessionKey(t, m, id), "}")
	for _, member := range []string{"", "not a ref", id.Ref().String() + "A"} {
		if _, err := m.ZAdd(index+"}:i", float64(time.Now().Add(time.Hour).UnixMilli()), member); err != nil {
			t.Fatal(err)
		}
	}
	listed := 0
	for s, err := range store.All(t.Context()) {
		if err != nil || s.Ref != id.Ref() {
			t.Errorf("All yields session %s, %v", s.Ref, err)
		}
		listed++
	}
	if listed != 1 {
		t.Errorf("All yields %d sessions, want 1", listed)
	}
}

// sessionKey returns the key under which the session of id is stored.
func sessionKey(t *testing.T, m *miniredis.Miniredis, id mcpsession.ID) string {
	t.Helper()
	for _, key := range m.Keys() {
		if strings.HasSuffix(key, ":s:"+id.Ref().String()) {
			return key
		}
	}
	t.Fatalf("session %s is not stored", id)
	return ""
}

// withOtherSecret returns an ID that names the same session.
func withOtherSecret(t *testing.T, id mcpsession.ID) mcpsession.ID {
	t.Helper()
	public := mcpsession.TokenLen - (mcpsession.TokenLen-1)/2
	other, err := mcpsession.ParseSessionID(id.Token()[:public] + mcpsession.NewSessionID().Token()[public:])
	if err != nil {
		t.Fatal(err)
	}
	return other
}

func digestOf(id mcpsession.ID) string {
	digest := id.Digest()
	return base64.RawURLEncoding.EncodeToString(digest[:])
}
