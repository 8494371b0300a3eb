package mcpsession_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
)

// newStore returns an empty store with the default limits.
func newStore(t *testing.T) mcpsession.SessionStore {
	t.Helper()
	store, err := memstore.New(mcpsession.DefaultLimits(), memstore.DefaultMaxSessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

// newLive returns a Live of a new session in store.
func newLive(t *testing.T, store mcpsession.SessionStore) *mcpsession.Live {
	t.Helper()
	id := mcpsession.NewSessionID()
	session, err := store.Create(t.Context(), id, mcpsession.Session{})
	if err != nil {
		t.Fatal(err)
	}
	return mcpsession.NewLive(store, id, session)
}

// again returns another Live of l's session, as another call would have.
func again(t *testing.T, store mcpsession.SessionStore, l *mcpsession.Live) *mcpsession.Live {
	t.Helper()
	session, err := store.Get(t.Context(), l.ID())
	if err != nil {
		t.Fatal(err)
	}
	return mcpsession.NewLive(store, l.ID(), session)
}

// holds checks what Get returns for an int.
func holds(t *testing.T, l *mcpsession.Live, key string, want int, wantOK bool) {
	t.Helper()
	if got, ok, err := mcpsession.Get[int](l, key); got != want || ok != wantOK || err != nil {
		t.Errorf("value %q is %d, %t, %v, want %d, %t", key, got, ok, err, want, wantOK)
	}
}

func TestFromContextFindsTheSessionOfTheCall(t *testing.T) {
	if l, ok := mcpsession.FromContext(t.Context()); ok || l != nil {
		t.Errorf("an empty context has the session %v", l)
	}
	outer, inner := newLive(t, newStore(t)), newLive(t, newStore(t))
	ctx := mcpsession.NewContext(t.Context(), outer)
	if l, ok := mcpsession.FromContext(ctx); !ok || l != outer {
		t.Errorf("FromContext returned %p, %t, want %p", l, ok, outer)
	}
	if l, ok := mcpsession.FromContext(mcpsession.NewContext(ctx, inner)); !ok || l != inner {
		t.Errorf("FromContext returned %p, %t, want the inner %p", l, ok, inner)
	}
}

func TestGetReturnsWhatSetStored(t *testing.T) {
	type point struct {
		X, Y int
		Name string `json:",omitempty"`
	}
	store := newStore(t)
	l := newLive(t, store)
	holds(t, l, "n", 0, false)

	if err := l.Set(t.Context(), "n", 41); err != nil {
		t.Fatal(err)
	}
	if err := l.Set(t.Context(), "n", 42); err != nil {
		t.Fatal(err)
	}
	if err := l.Set(t.Context(), "p", point{1, 2, "<&>\u2028"}); err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]*mcpsession.Live{"the same call": l, "another call": again(t, store, l)} {
		holds(t, l, "n", 42, true)
		holds(t, l, "N", 0, false) // keys are exact
		if got, ok, err := mcpsession.Get[point](l, "p"); got != (point{1, 2, "<&>\u2028"}) || !ok || err != nil {
			t.Errorf("%s reads %+v, %t, %v", name, got, ok, err)
		}
	}
	if got := l.Session().Revision; got != 4 {
		t.Errorf("three Sets made revision %d, want 4", got)
	}
}

func TestGetAsAnotherTypeIsAnError(t *testing.T) {
	l := newLive(t, newStore(t))
	if err := l.Set(t.Context(), "k", "text"); err != nil {
		t.Fatal(err)
	}
	_, ok, err := mcpsession.Get[int](l, "k")
	if !ok || err == nil {
		t.Fatalf("text read as an int: %t, %v, want an error for a value that is there", ok, err)
	}
	for _, want := range []string{`"k"`, "int", l.ID().Ref().String()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %s: %v", want, err)
		}
	}
	for form, text := range spellings(t, l.ID()) {
		if strings.Contains(err.Error(), text) {
			t.Errorf("the error shows the secret as %s: %v", form, err)
		}
	}
	if got, ok, err := mcpsession.Get[string](l, "k"); got != "text" || !ok || err != nil {
		t.Errorf("afterwards the text is %q, %t, %v", got, ok, err)
	}
}

func TestWhatGetReturnsIsTheCallersOwn(t *testing.T) {
	l := newLive(t, newStore(t))
	if err := l.Set(t.Context(), "list", []int{1, 2}); err != nil {
		t.Fatal(err)
	}
	raw, _, err := mcpsession.Get[rawJSON](l, "list")
	if err != nil {
		t.Fatal(err)
	}
	raw[1] = '9'
	l.Session().Values["list"][1] = '8'
	if got, _, _ := mcpsession.Get[[]int](l, "list"); !reflect.DeepEqual(got, []int{1, 2}) {
		t.Errorf("changing a copy changed the value to %v", got)
	}
}

// rawJSON keeps the bytes that it is given, as a careless decoder would.
type rawJSON []byte

func (r *rawJSON) UnmarshalJSON(b []byte) error {
	*r = append((*r)[:0], b...)
	return nil
}

func TestSetRefusesWhatCannotBeStored(t *testing.T) {
	l := newLive(t, newStore(t))
	for _, test := range []struct {
		name, key string
		value     any
	}{
		{"an empty key", "", 1},
		{"a channel", "k", make(chan int)},
		{"a function", "k", func() {}},
		{"not a number", "k", math.NaN()},
		{"a key that is no UTF-8", "\xff", 1},
	} {
		if err := l.Set(t.Context(), test.key, test.value); err == nil {
			t.Errorf("%s was stored", test.name)
		}
	}
	if err := l.Set(t.Context(), "k", strings.Repeat("x", mcpsession.DefaultLimits().MaxSize)); !errors.Is(err, mcpsession.ErrTooLarge) {
		t.Errorf("a value over the limit: error is %v, want ErrTooLarge", err)
	}
	if err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := l.Session(); s.Revision != 1 || len(s.Values) != 0 {
		t.Errorf("a refused Set changed the session: %+v", s)
	}
}

func TestUnsetRemovesOneValue(t *testing.T) {
	store := newStore(t)
	l := newLive(t, store)
	if err := l.Unset(t.Context(), "a"); err != nil {
		t.Errorf("removing from a session without values: %v", err)
	}
	for _, key := range []string{"a", "b"} {
		if err := l.Set(t.Context(), key, 1); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time it is not there
		if err := l.Unset(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []*mcpsession.Live{l, again(t, store, l)} {
		holds(t, l, "a", 0, false)
		holds(t, l, "b", 1, true)
	}
}

func TestUpdateAppliesToTheNewestRevision(t *testing.T) {
	store := newStore(t)
	mine := newLive(t, store)
	theirs := again(t, store, mine)
	if err := theirs.Update(t.Context(), func(s *mcpsession.Session) error { s.ProjectID = "theirs"; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := mine.Session().ProjectID; got != "" {
		t.Errorf("a write of another call showed without Refresh: %q", got)
	}
	err := mine.Update(t.Context(), func(s *mcpsession.Session) error {
		if s.ProjectID != "theirs" {
			t.Errorf("Update works on the project %q, which is not the newest", s.ProjectID)
		}
		s.WorkingDirectory = "/mine"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := mine.Session(); s.ProjectID != "theirs" || s.WorkingDirectory != "/mine" || s.Revision != 3 {
		t.Errorf("after both writes the session is %+v", s)
	}
}

func TestAFailedUpdateChangesNothing(t *testing.T) {
	store := newStore(t)
	l := newLive(t, store)
	mistake := errors.New("no such directory")
	err := l.Update(t.Context(), func(s *mcpsession.Session) error {
		s.WorkingDirectory = "/wrong"
		return mistake
	})
	if !errors.Is(err, mistake) {
		t.Errorf("error is %v, want one that wraps %v", err, mistake)
	}
	for _, l := range []*mcpsession.Live{l, again(t, store, l)} {
		if s := l.Session(); s.WorkingDirectory != "" || s.Revision != 1 {
			t.Errorf("the session is %+v", s)
		}
	}
}

func TestRefreshShowsWhatOthersWrote(t *testing.T) {
	store := newStore(t)
	mine := newLive(t, store)
	if err := again(t, store, mine).Set(t.Context(), "n", 1); err != nil {
		t.Fatal(err)
	}
	holds(t, mine, "n", 0, false)
	if err := mine.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, mine, "n", 1, true)
}

func TestAfterEndEverythingIsNotFound(t *testing.T) {
	store := newStore(t)
	l := newLive(t, store)
	other := again(t, store, l)
	if err := l.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	nothing := func(*mcpsession.Session) error { return nil }
	for name, l := range map[string]*mcpsession.Live{"the call that ended it": l, "another call": other} {
		for operation, err := range map[string]error{
			"Set":     l.Set(t.Context(), "n", 1),
			"Unset":   l.Unset(t.Context(), "n"),
			"Update":  l.Update(t.Context(), nothing),
			"Refresh": l.Refresh(t.Context()),
		} {
			if !errors.Is(err, mcpsession.ErrNotFound) {
				t.Errorf("%s in %s: error is %v, want ErrNotFound", operation, name, err)
			}
		}
		holds(t, l, "n", 0, false) // a refused Set does not show
		if err := l.End(t.Context()); err != nil {
			t.Errorf("End again in %s: %v", name, err)
		}
	}
}

func TestAnEndedContextStopsEveryWrite(t *testing.T) {
	store := newStore(t)
	l := newLive(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for operation, err := range map[string]error{
		"Set":     l.Set(ctx, "n", 1),
		"Unset":   l.Unset(ctx, "n"),
		"Refresh": l.Refresh(ctx),
		"End":     l.End(ctx),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error is %v, want context.Canceled", operation, err)
		}
	}
	holds(t, again(t, store, l), "n", 0, false)
}

func TestConcurrentSetsOfTwoCallsKeepAllFields(t *testing.T) {
	store := newStore(t)
	first := newLive(t, store)
	calls := []*mcpsession.Live{first, again(t, store, first)}
	const writers = 32
	var wg sync.WaitGroup
	for c, l := range calls {
		for w := range writers {
			wg.Go(func() {
				key := fmt.Sprintf("call %d, writer %d", c, w)
				for n := range 10 {
					if err := l.Set(t.Context(), key, n); err != nil {
						t.Error(err)
						return
					}
					// A call sees its own write, whoever wrote since.
					if got, ok, err := mcpsession.Get[int](l, key); got != n || !ok || err != nil {
						t.Errorf("%s reads %d, %t, %v after writing %d", key, got, ok, err, n)
					}
				}
			})
		}
	}
	wg.Wait()
	last := again(t, store, first)
	for c := range calls {
		for w := range writers {
			holds(t, last, fmt.Sprintf("call %d, writer %d", c, w), 9, true)
		}
	}
	if got, want := last.Session().Revision, uint64(1+2*writers*10); got != want {
		t.Errorf("the revision is %d, want %d", got, want)
	}
}

// replies is a store whose Get and Update return the given sessions in turn, as
// replies that overtook each other do.
type replies struct {
	mcpsession.SessionStore
	next []mcpsession.Session
}

func (r *replies) pop() (mcpsession.Session, error) {
	s := r.next[0]
	r.next = r.next[1:]
	return s, nil
}

func (r *replies) Get(context.Context, mcpsession.ID) (mcpsession.Session, error) { return r.pop() }

func (r *replies) Update(context.Context, mcpsession.ID, func(*mcpsession.Session) error) (mcpsession.Session, error) {
	return r.pop()
}

func TestALiveNeverGoesBackToAnOlderRevision(t *testing.T) {
	at := func(revision uint64) mcpsession.Session {
		s := values("n", fmt.Sprint(revision))
		s.Revision = revision
		return s
	}
	store := &replies{}
	l := mcpsession.NewLive(store, mcpsession.NewSessionID(), at(5))
	for _, step := range []struct{ arrives, want uint64 }{
		{4, 5}, {1, 5}, {5, 5}, {8, 8}, {6, 8}, {7, 8}, {9, 9}, {8, 9},
	} {
		for name, access := range map[string]func() error{
			"Refresh": func() error { return l.Refresh(t.Context()) },
			"Set":     func() error { return l.Set(t.Context(), "n", step.arrives) },
		} {
			store.next = []mcpsession.Session{at(step.arrives)}
			if err := access(); err != nil {
				t.Fatal(err)
			}
			if got := l.Session().Revision; got != step.want {
				t.Errorf("%s: after revision %d arrived, the Live is at %d, want %d", name, step.arrives, got, step.want)
			}
			holds(t, l, "n", int(step.want), true)
		}
	}
}

func TestALiveIsACopyOfWhatItWasGiven(t *testing.T) {
	given := values("n", "1")
	l := mcpsession.NewLive(newStore(t), mcpsession.NewSessionID(), given)
	given.Values["n"][0] = '2'
	delete(given.Values, "n")
	holds(t, l, "n", 1, true)
}
