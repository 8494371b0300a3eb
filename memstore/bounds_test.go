package memstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
)

// create stores n new sessions and returns their ids.
func create(t *testing.T, store *memstore.Store, n int) []mcpsession.ID {
	t.Helper()
	ids := make([]mcpsession.ID, n)
	for i := range ids {
		ids[i] = mcpsession.NewSessionID()
		if _, err := store.Create(t.Context(), ids[i], mcpsession.Session{}); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// full checks that the store has no room and that trying stores nothing.
func full(t *testing.T, store *memstore.Store) {
	t.Helper()
	before, err := store.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := mcpsession.NewSessionID()
	if _, err := store.Create(t.Context(), id, mcpsession.Session{}); !errors.Is(err, mcpsession.ErrFull) {
		t.Errorf("one session more: error is %v, want ErrFull", err)
	}
	if _, err := store.Get(t.Context(), id); !errors.Is(err, mcpsession.ErrNotFound) {
		t.Errorf("the refused session: error is %v, want ErrNotFound", err)
	}
	if after, err := store.Count(t.Context()); err != nil || after != before {
		t.Errorf("the refused session changed the count from %d to %d, %v", before, after, err)
	}
}

func TestLimitsOutOfRangeAreRefused(t *testing.T) {
	for _, test := range []struct {
		name        string
		change      func(*mcpsession.Limits)
		maxSessions int
		want        string
	}{
		{"no limits", func(l *mcpsession.Limits) { *l = mcpsession.Limits{} }, 1, "idle timeout"},
		{"bad lifetime", func(l *mcpsession.Limits) { l.MaxLifetime = -1 }, 1, "maximum lifetime"},
		{"bad size", func(l *mcpsession.Limits) { l.MaxSize = 0 }, 1, "session size"},
		{"room for nobody", func(*mcpsession.Limits) {}, 0, "maximum of 0 sessions"},
		{"less than nobody", func(*mcpsession.Limits) {}, -1, "maximum of -1 sessions"},
	} {
		limits := mcpsession.DefaultLimits()
		test.change(&limits)
		store, err := memstore.New(limits, test.maxSessions)
		if err == nil || store != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: New returned %v, %v, want an error with %q", test.name, store, err, test.want)
		}
	}
}

func TestOneSessionMoreThanTheMaximumIsErrFull(t *testing.T) {
	for _, maximum := range []int{1, 2, 300} {
		store := open(t, mcpsession.DefaultLimits(), maximum)
		ids := create(t, store, maximum)
		full(t, store)
		full(t, store)
		// The others are untouched, and their changes need no room.
		for _, id := range ids {
			if _, err := store.Update(t.Context(), id, func(s *mcpsession.Session) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestRoomAppearsAfterDelete(t *testing.T) {
	store := open(t, mcpsession.DefaultLimits(), 3)
	ids := create(t, store, 3)
	for _, id := range ids {
		if err := store.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if err := store.Delete(t.Context(), id); err != nil { // makes no more room
			t.Fatal(err)
		}
		create(t, store, 1)
		full(t, store)
	}
}

func TestRoomAppearsTheMomentSessionsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := mcpsession.DefaultLimits()
		store := open(t, limits, 2)
		create(t, store, 2)
		time.Sleep(limits.IdleTimeout + time.Second - 1)
		full(t, store)
		time.Sleep(time.Nanosecond)
		create(t, store, 2)
		full(t, store)
	})
}

func TestAnExpiredSessionCanBeCreatedAgainInAFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := mcpsession.DefaultLimits()
		store := open(t, limits, 1)
		id := create(t, store, 1)[0]
		time.Sleep(limits.IdleTimeout + time.Second)
		if _, err := store.Create(t.Context(), id, mcpsession.Session{ProjectID: "second"}); err != nil {
			t.Fatal(err)
		}
		if got, err := store.Get(t.Context(), id); err != nil || got.ProjectID != "second" {
			t.Errorf("the session is %+v, %v", got, err)
		}
		full(t, store)
	})
}

func TestARefusedCreateTakesNoPlace(t *testing.T) {
	limits := mcpsession.DefaultLimits()
	limits.MaxSize = 10
	store := open(t, limits, 2)
	id := create(t, store, 1)[0]
	for range 5 {
		if _, err := store.Create(t.Context(), id, mcpsession.Session{}); !errors.Is(err, mcpsession.ErrExists) {
			t.Errorf("error is %v, want ErrExists", err)
		}
		if _, err := store.Create(t.Context(), mcpsession.NewHandle(), mcpsession.Session{Owner: "longer than ten"}); !errors.Is(err, mcpsession.ErrTooLarge) {
			t.Errorf("error is %v, want ErrTooLarge", err)
		}
	}
	create(t, store, 1)
	full(t, store)
}

func TestConcurrentCreatesNeverExceedTheMaximum(t *testing.T) {
	const maximum, racers = 50, 8
	store := open(t, mcpsession.DefaultLimits(), maximum)
	var created atomic.Int64
	var wg sync.WaitGroup
	for range racers {
		wg.Go(func() {
			for range maximum {
				id := mcpsession.NewSessionID()
				_, err := store.Create(t.Context(), id, mcpsession.Session{})
				switch {
				case err == nil:
					created.Add(1)
				case !errors.Is(err, mcpsession.ErrFull):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n, err := store.Count(t.Context())
	if err != nil || n != maximum || created.Load() != maximum {
		t.Errorf("%d Creates succeeded and %d sessions are there, %v, want %d", created.Load(), n, err, maximum)
	}
}

func TestAClosedStoreIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // fails if a goroutine is left
		store, err := memstore.New(mcpsession.DefaultLimits(), math.MaxInt)
		if err != nil {
			t.Fatal(err)
		}
		id := create(t, store, 3)[0]
		for range 2 {
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
		}
		ctx := t.Context()
		_, errCreate := store.Create(ctx, mcpsession.NewSessionID(), mcpsession.Session{})
		_, errGet := store.Get(ctx, id)
		_, errUpdate := store.Update(ctx, id, func(*mcpsession.Session) error {
			t.Error("Update of a closed store ran its function")
			return nil
		})
		_, errCount := store.Count(ctx)
		for operation, err := range map[string]error{
			"Create": errCreate,
			"Get":    errGet,
			"Update": errUpdate,
			"Delete": store.Delete(ctx, id),
			"Count":  errCount,
		} {
			if !errors.Is(err, mcpsession.ErrUnavailable) || errors.Is(err, mcpsession.ErrNotFound) {
				t.Errorf("%s: error is %v, want ErrUnavailable", operation, err)
			}
		}
		yields := 0
		for _, err := range store.All(ctx) {
			yields++
			if !errors.Is(err, mcpsession.ErrUnavailable) {
				t.Errorf("All: error is %v, want ErrUnavailable", err)
			}
		}
		if yields != 1 {
			t.Errorf("All yielded %d times, want one error", yields)
		}
	})
}

func TestCloseInTheMiddleOfAnIteration(t *testing.T) {
	store := open(t, mcpsession.DefaultLimits(), 10)
	create(t, store, 10)
	var last error
	yields := 0
	for _, err := range store.All(t.Context()) {
		if yields++; yields == 1 {
			store.Close()
		}
		last = err
	}
	if yields > 2 || !errors.Is(last, mcpsession.ErrUnavailable) {
		t.Errorf("after Close, All yielded %d times and ended with %v", yields-1, last)
	}
}

func TestCloseRacingEveryMethodLeavesNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := mcpsession.Limits{IdleTimeout: time.Millisecond, MaxLifetime: time.Millisecond, MaxSize: 100}
		for round := range 10 {
			store, err := memstore.New(limits, 100)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for {
						id := mcpsession.NewSessionID()
						_, err := store.Create(t.Context(), id, mcpsession.Session{})
						if errors.Is(err, mcpsession.ErrUnavailable) {
							return
						}
						store.Get(t.Context(), id)
						store.Delete(t.Context(), id)
						store.Count(t.Context())
						time.Sleep(time.Duration(round+1) * time.Millisecond / 4)
					}
				})
			}
			time.Sleep(batchAndMore)
			store.Close()
			wg.Wait()
		}
	})
}

// batchAndMore is a time in which the store clears what has expired.
const batchAndMore = 1500 * time.Millisecond

func ExampleNew() {
	limits := mcpsession.DefaultLimits()
	limits.IdleTimeout = 30 * time.Minute
	store, err := memstore.New(limits, 10_000)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	ctx := context.Background()
	id := mcpsession.NewSessionID()
	session, err := store.Create(ctx, id, mcpsession.Session{WorkingDirectory: "/src/app"})
	if err != nil {
		log.Fatal(err)
	}
	n, err := store.Count(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, session.WorkingDirectory, session.IdleTimeout)
	// Output: 1 /src/app 30m0s
}

func BenchmarkGetParallel(b *testing.B) {
	store, ids := filled(b, 100_000)
	b.ReportAllocs()
	var starts atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for i := int(starts.Add(7919)); pb.Next(); i++ {
			if _, err := store.Get(b.Context(), ids[i%len(ids)]); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	store, _ := filled(b, 100_000)
	session := mcpsession.Session{WorkingDirectory: "/home/user/src/app", Client: mcpsession.Client{Name: "claude-code"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.Create(b.Context(), mcpsession.NewSessionID(), session); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateDelete(b *testing.B) {
	store, _ := filled(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		id := mcpsession.NewSessionID()
		if _, err := store.Create(b.Context(), id, mcpsession.Session{}); err != nil {
			b.Fatal(err)
		}
		if err := store.Delete(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

// filled returns a store with n sessions.
func filled(b *testing.B, n int) (*memstore.Store, []mcpsession.ID) {
	b.Helper()
	store, err := memstore.New(mcpsession.DefaultLimits(), math.MaxInt)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	ids := make([]mcpsession.ID, n)
	for i := range ids {
		ids[i] = mcpsession.NewSessionID()
		if _, err := store.Create(b.Context(), ids[i], mcpsession.Session{WorkingDirectory: "/"}); err != nil {
			b.Fatal(err)
		}
	}
	return store, ids
}
