package memstore

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
)

// Whatever the accesses, a session lives one idle timeout after the last, and at
// most a sixteenth and a second longer; All never says that it was used later
// than it was, nor more than a sixteenth earlier.
func TestASessionEndsAtMostTheSlackAfterItsIdleTimeout(t *testing.T) {
	for _, idle := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 5 * time.Second, time.Minute, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			s := newTestStore(t, mcpsession.Limits{IdleTimeout: idle, MaxLifetime: 1000 * idle, MaxSize: 1000})
			for range 100 {
				id := createOne(t, s)
				for range rand.IntN(10) {
					time.Sleep(rand.N(idle/16) * rand.N(time.Duration(16)))
					if _, err := s.Get(t.Context(), id); err != nil {
						t.Fatal(err)
					}
				}
				last := time.Now()
				for listed := range s.All(t.Context()) {
					if early := last.Sub(listed.LastUsedAt); early < 0 || early > idle/16 {
						t.Fatalf("idle timeout %v: All says last used %v before the last access", idle, early)
					}
				}
				time.Sleep(idle - 1)
				if n, err := s.Count(t.Context()); n != 1 || err != nil {
					t.Fatalf("idle timeout %v: the session ended before it: %d, %v", idle, n, err)
				}
				time.Sleep(1 + min(idle/16, time.Second))
				if n, err := s.Count(t.Context()); n != 0 || err != nil {
					t.Fatalf("idle timeout %v: the session is still there after it and the slack: %d, %v", idle, n, err)
				}
			}
		})
	}
}

func TestTheAbsoluteDeadlineHasNoSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		id := createOne(t, s)
		for range 20 {
			time.Sleep(hours.MaxLifetime/20 - 1)
			if _, err := s.Get(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(19 * time.Nanosecond)
		if n, err := s.Count(t.Context()); n != 1 || err != nil {
			t.Errorf("the session ended before its absolute deadline: %d, %v", n, err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := s.Get(t.Context(), id); err == nil {
			t.Error("the session outlived its absolute deadline")
		}
	})
}

// What keeps the reads of a busy session from taking turns with its cache line.
func TestABusySessionIsWrittenTwiceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		id := createOne(t, s)
		e, _ := s.entries.Load(id.Ref())
		writes, before := 0, e.deadline.Load()
		for range 1000 {
			time.Sleep(maxSlack / 100)
			if _, err := s.Get(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if now := e.deadline.Load(); now != before {
				writes, before = writes+1, now
			}
		}
		if writes > 20 {
			t.Errorf("the deadline was written %d times in ten seconds", writes)
		}
	})
}
