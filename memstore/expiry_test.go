package memstore

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
)

// These tests look at what the store holds in memory: that is nothing a caller
// can see, only somebody who pays for the memory.

var hours = mcpsession.Limits{IdleTimeout: time.Hour, MaxLifetime: 10 * time.Hour, MaxSize: 1000}

// unused is how long a session with those limits lives without an access.
const unused = time.Hour + maxSlack

func newTestStore(t *testing.T, limits mcpsession.Limits) *Store {
	t.Helper()
	s, err := New(limits, DefaultMaxSessions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func createOne(t *testing.T, s *Store) mcpsession.ID {
	t.Helper()
	id := mcpsession.NewSessionID()
	if _, err := s.Create(t.Context(), id, mcpsession.Session{}); err != nil {
		t.Fatal(err)
	}
	return id
}

// inMemory checks that map, queue and places hold exactly want sessions, and
// that the queue is a heap whose entries know their place.
func inMemory(t *testing.T, s *Store, want int) {
	t.Helper()
	s.expiry.mu.Lock()
	defer s.expiry.mu.Unlock()
	if got := s.entries.Size(); got != want {
		t.Errorf("the map holds %d sessions, want %d", got, want)
	}
	if got := len(s.expiry.heap); got != want {
		t.Errorf("the queue holds %d sessions, want %d", got, want)
	}
	if got := s.places.Load(); got != int64(want) {
		t.Errorf("%d places are taken, want %d", got, want)
	}
	for i, e := range s.expiry.heap {
		if e.place != i {
			t.Errorf("the entry at place %d has place %d", i, e.place)
		}
		if parent := s.expiry.heap[(i-1)/2]; i > 0 && parent.due > e.due {
			t.Errorf("the entry at place %d is due %v before its parent", i, parent.due-e.due)
		}
	}
	if want > 0 && !s.expiry.armed {
		t.Error("no timer is set to clear the sessions")
	}
}

// room is the number of sessions that the queue has memory for.
func room(s *Store) int {
	s.expiry.mu.Lock()
	defer s.expiry.mu.Unlock()
	return cap(s.expiry.heap)
}

func TestExpiredSessionsLeaveMemoryWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		const n = 20 * stride
		var ids []mcpsession.ID
		for range n {
			ids = append(ids, createOne(t, s))
			time.Sleep(time.Millisecond)
		}
		for _, id := range ids[:n/2] { // their deadlines move
			if _, err := s.Get(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		inMemory(t, s, n)
		if room(s) < n {
			t.Fatal("the queue's capacity is not what this test supposes")
		}
		time.Sleep(unused + batch)
		synctest.Wait()
		inMemory(t, s, 0)
		if got := room(s); got > 1024 {
			t.Errorf("the empty queue keeps room for %d sessions", got)
		}
	})
}

func TestExpiredSessionsAreGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		const n = 1000
		var freed atomic.Int64
		for range n {
			e, _ := s.entries.Load(createOne(t, s).Ref())
			runtime.AddCleanup(e, func(int) { freed.Add(1) }, 0)
		}
		time.Sleep(unused + batch)
		synctest.Wait()
		for range 100 {
			runtime.GC()
			if freed.Load() == n {
				break
			}
			time.Sleep(time.Second) // lets the cleanups run; costs no time in the bubble
		}
		if got := freed.Load(); got != n {
			t.Errorf("%d of %d expired sessions were freed", got, n)
		}
		inMemory(t, s, 0)
	})
}

func TestADeletedSessionLeavesMemoryAtOnce(t *testing.T) {
	s := newTestStore(t, hours)
	var ids []mcpsession.ID
	for range 100 {
		ids = append(ids, createOne(t, s))
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for i, id := range ids {
		if err := s.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		inMemory(t, s, len(ids)-i-1)
	}
}

func TestASessionCreatedAgainAfterItsDeadlineReplacesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		id := createOne(t, s)
		time.Sleep(unused) // over, and not yet cleared away
		inMemory(t, s, 1)
		if _, err := s.Create(t.Context(), id, mcpsession.Session{}); err != nil {
			t.Fatal(err)
		}
		inMemory(t, s, 1)
		time.Sleep(unused + batch)
		synctest.Wait()
		inMemory(t, s, 0)
	})
}

func TestASessionWhoseDeadlineMovedStaysUntilTheNewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		busy, lazy := createOne(t, s), createOne(t, s)
		// An access each 40 minutes: the queue knows only the first deadline.
		for range 9 {
			time.Sleep(hours.IdleTimeout * 2 / 3)
			synctest.Wait()
			if _, err := s.Get(t.Context(), busy); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Get(t.Context(), lazy); err == nil {
			t.Error("a session outlived its idle timeout because another was used")
		}
		inMemory(t, s, 1)
		s.expiry.mu.Lock()
		ref, due, deadline := s.expiry.heap[0].ref, s.expiry.heap[0].due, time.Duration(s.expiry.heap[0].deadline.Load())
		s.expiry.mu.Unlock()
		if ref != busy.Ref() || due > deadline {
			t.Errorf("session %s is due at %v, after its deadline %v", ref, due, deadline)
		}
		time.Sleep(unused - 1)
		synctest.Wait()
		inMemory(t, s, 1)
		time.Sleep(time.Nanosecond + batch)
		synctest.Wait()
		inMemory(t, s, 0)
	})
}

func TestABusySessionLeavesMemoryAtItsAbsoluteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		id := createOne(t, s)
		for range 19 {
			time.Sleep(hours.MaxLifetime / 20)
			if _, err := s.Get(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(hours.MaxLifetime/20 + batch)
		synctest.Wait()
		inMemory(t, s, 0)
	})
}

func TestAShorterDeadlineThatComesLaterIsMetInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		createOne(t, s) // sets the timer for an hour from now
		time.Sleep(time.Millisecond)
		s.limits.IdleTimeout = time.Minute
		createOne(t, s)
		time.Sleep(time.Minute + maxSlack + batch)
		synctest.Wait()
		inMemory(t, s, 1)
	})
}

func TestACloseGivesEverythingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		for range 1000 {
			createOne(t, s)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s.entries.Size() != 0 || s.expiry.heap != nil {
			t.Errorf("a closed store holds %d sessions, and %d in its queue", s.entries.Size(), len(s.expiry.heap))
		}
		if s.expiry.timer.Stop() {
			t.Error("the timer of a closed store was still set")
		}
	})
}

// A clear reads the clock, then works through the queue: meanwhile the sessions
// it came for may be used. Whoever was told that a session lives is right.
func TestAClearNeverEndsASessionThatWasJustUsed(t *testing.T) {
	const (
		n      = 64
		rounds = 300
	)
	for range rounds {
		q := &expiryQueue{timer: time.NewTimer(time.Hour)}
		entries := make([]*entry, n)
		for i := range entries {
			entries[i] = newEntry(mcpsession.NewSessionID(), mcpsession.Session{}, hours, time.Time{}, 0)
			q.add(entries[i], 0)
		}
		forgotten := make(map[*entry]bool) // by the one goroutine that clears
		used := make([]bool, n)            // by the one that uses
		var wg sync.WaitGroup
		start := make(chan struct{})
		wg.Go(func() {
			<-start
			q.clear(func() time.Duration { return unused }, func(e *entry) { forgotten[e] = true })
		})
		wg.Go(func() {
			<-start
			for i := range entries {
				// Backwards, to meet the clear somewhere. The access read the
				// clock just before the deadline.
				i = n - 1 - i
				used[i] = entries[i].touch(unused - 1)
			}
		})
		close(start)
		wg.Wait()
		for i, e := range entries {
			queued := e.place != unqueued
			switch {
			case used[i] && (forgotten[e] || !queued || e.expired(2*unused-2)):
				t.Fatalf("a session that was just used is forgotten: %t, queued: %t, over: %t", forgotten[e], queued, e.expired(2*unused-2))
			case !used[i] && (!forgotten[e] || queued || !e.expired(0)):
				t.Fatalf("a session that was refused is forgotten: %t, queued: %t, over: %t", forgotten[e], queued, e.expired(0))
			}
		}
		// None is lost: those in use are cleared when their time has come.
		q.clear(func() time.Duration { return 2*unused - 1 }, func(e *entry) { forgotten[e] = true })
		if len(forgotten) != n || len(q.heap) != 0 {
			t.Fatalf("%d of %d sessions were cleared in the end, %d are queued", len(forgotten), n, len(q.heap))
		}
		q.timer.Stop()
	}
}

// race calls first and second for each i below n, both at the same moment.
func race(n int, first, second func(i int)) {
	var firstAt, secondAt atomic.Int64
	run := func(f func(int), mine, other *atomic.Int64) {
		for i := range n {
			for mine.Store(int64(i)); other.Load() < int64(i); {
				runtime.Gosched()
			}
			f(i)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { run(first, &firstAt, &secondAt) })
	wg.Go(func() { run(second, &secondAt, &firstAt) })
	wg.Wait()
}

func newEntries(n int) []*entry {
	entries := make([]*entry, n)
	for i := range entries {
		entries[i] = newEntry(mcpsession.NewSessionID(), mcpsession.Session{}, hours, time.Time{}, 0)
	}
	return entries
}

func TestATouchAndAnEndNeverBothSucceed(t *testing.T) {
	const n = 10_000
	entries := newEntries(n)
	var used, ended [n]bool
	race(n,
		func(i int) { used[i] = entries[i].touch(unused - 1) },
		func(i int) { _, ended[i] = entries[i].endIfExpired(unused) })
	for i, e := range entries {
		if used[i] == ended[i] || e.expired(unused) != ended[i] {
			t.Fatalf("a session was used: %t, ended: %t, is over: %t", used[i], ended[i], e.expired(unused))
		}
	}
}

func TestAnEntryIsEndedExactlyOnce(t *testing.T) {
	const n = 10_000
	ends := func(e *entry) bool { return e.end() }
	expires := func(e *entry) bool { _, done := e.endIfExpired(unused); return done }
	for name, pair := range map[string][2]func(*entry) bool{
		"two Deletes":        {ends, ends},
		"a Delete, a clear":  {ends, expires},
		"two that expire it": {expires, expires},
	} {
		entries := newEntries(n)
		var first, second [n]bool
		race(n, func(i int) { first[i] = pair[0](entries[i]) }, func(i int) { second[i] = pair[1](entries[i]) })
		for i, e := range entries {
			if first[i] == second[i] {
				t.Fatalf("%s: an entry was ended by both or by none: %t", name, first[i])
			}
			if e.touch(0) || !e.expired(0) {
				t.Fatalf("%s: an access revived an ended entry", name)
			}
		}
	}
}
