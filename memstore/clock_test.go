package memstore

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
)

func get(t *testing.T, s *Store, id mcpsession.ID) mcpsession.Session {
	t.Helper()
	session, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// crowdIn makes the store so busy that a reading is shared.
func crowdIn(t *testing.T, s *Store, id mcpsession.ID) {
	t.Helper()
	for range 2 * crowd {
		get(t, s, id)
	}
	if s.clock.shared() == none {
		t.Fatal("no reading is shared")
	}
}

func alive(t *testing.T, s *Store, want int) {
	t.Helper()
	if n, err := s.Count(t.Context()); n != want || err != nil {
		t.Errorf("%d sessions live, %v, want %d", n, err, want)
	}
}

func TestAReadingIsSharedOnlyWhileAccessesAreMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		id := createOne(t, s)
		time.Sleep(time.Minute)
		for range 10 * crowd {
			time.Sleep(2 * tick / crowd)
			get(t, s, id)
			if s.clock.shared() != none {
				t.Fatal("32 accesses in a millisecond share a reading")
			}
		}
		for range 3 {
			crowdIn(t, s, id)
			time.Sleep(tick)
			synctest.Wait()
			if s.clock.shared() != none || s.clock.timer.Stop() {
				t.Fatal("a reading is shared, or the timer set, in a store that nobody uses")
			}
		}
	})
}

func TestAShortIdleTimeoutNeedsTheExactTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, mcpsession.Limits{IdleTimeout: 3 * time.Second, MaxLifetime: time.Hour, MaxSize: 1})
		id := createOne(t, s)
		for range 10 * crowd {
			get(t, s, id)
		}
		if s.clock.shared() != none {
			t.Error("a reading is shared though the margin is thinner than timers are late")
		}
	})
}

func TestLastUsedAtIsAtMostATickOldAndNeverGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := hours
		limits.IdleTimeout = 4 * time.Second // so that deadlines are often written
		s := newTestStore(t, limits)
		var ids []mcpsession.ID
		for range 20 {
			ids = append(ids, createOne(t, s))
		}
		before := make([]time.Time, len(ids))
		for i := range 50_000 {
			if rand.IntN(20) == 0 {
				time.Sleep(rand.N(tick / 4))
			}
			at, session := i%len(ids), mcpsession.Session{}
			if rand.IntN(100) == 0 {
				var err error
				if session, err = s.Update(t.Context(), ids[at], func(*mcpsession.Session) error { return nil }); err != nil {
					t.Fatal(err)
				}
			} else {
				session = get(t, s, ids[at])
			}
			if age := time.Since(session.LastUsedAt); age < 0 || age > tick {
				t.Fatalf("LastUsedAt is %v ago", age)
			}
			if back := before[at].Sub(session.LastUsedAt); back > 0 {
				t.Fatalf("LastUsedAt went back by %v", back)
			}
			before[at] = session.LastUsedAt
		}
	})
}

// outlives reports, each in its way, whether the session is alive.
var outlives = map[string]func(*testing.T, *Store, mcpsession.ID) bool{
	"Count": func(t *testing.T, s *Store, _ mcpsession.ID) bool {
		n, err := s.Count(t.Context())
		return n == 1 && err == nil
	},
	"All": func(t *testing.T, s *Store, _ mcpsession.ID) bool {
		for range s.All(t.Context()) {
			return true
		}
		return false
	},
	"Create": func(t *testing.T, s *Store, id mcpsession.ID) bool {
		_, err := s.Create(t.Context(), id, mcpsession.Session{})
		return errors.Is(err, mcpsession.ErrExists)
	},
	"Update": func(t *testing.T, s *Store, id mcpsession.ID) bool {
		_, err := s.Update(t.Context(), id, func(*mcpsession.Session) error { return nil })
		return err == nil
	},
}

// The timer that takes a shared reading back is late, since the machine is busy
// or the process was stopped: a Get meanwhile takes it to be earlier than it is.
func TestALateTimerEndsNoSessionEarly(t *testing.T) {
	half := margin(hours.IdleTimeout)
	for _, stop := range []time.Duration{half - 1, half, half + 1, 2 * half, 5 * time.Second, 30 * time.Minute, hours.IdleTimeout, 3 * hours.IdleTimeout} {
		for _, timerRuns := range []bool{true, false} {
			for by, lives := range outlives {
				synctest.Test(t, func(t *testing.T) {
					s := newTestStore(t, hours)
					id := createOne(t, s)
					time.Sleep(half) // the longest without a write
					other := createOne(t, s)
					crowdIn(t, s, other)
					s.Delete(t.Context(), other)
					s.clock.timer.Stop()
					s.expiry.timer.Stop() // it would be late too
					time.Sleep(stop)
					e, _ := s.entries.Load(id.Ref())
					written := e.deadline.Load()
					get(t, s, id)
					if e.deadline.Load() != written {
						t.Fatal("the access is not one that this test is about")
					}
					ends := time.Now().Add(unused)
					if timerRuns {
						s.clock.expire()
					}
					time.Sleep(hours.IdleTimeout - 1)
					if !lives(t, s, id) {
						t.Fatalf("by %s, a session ended early after a stop of %v; timer: %t", by, stop, timerRuns)
					}
					if !timerRuns || by == "Update" {
						ends = time.Now().Add(unused)
						s.clock.expire()
					}
					time.Sleep(time.Until(ends))
					alive(t, s, 0)
				})
			}
		}
	}
}

func TestAStopGivesMoreTimeOnlyToSessionsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		createOne(t, s)
		time.Sleep(maxSlack)
		busy, deleted := createOne(t, s), createOne(t, s)
		e, _ := s.entries.Load(deleted.Ref())
		if err := s.Delete(t.Context(), deleted); err != nil {
			t.Fatal(err)
		}
		crowdIn(t, s, busy)
		s.clock.timer.Stop()
		time.Sleep(30 * time.Minute)
		alive(t, s, 2)
		time.Sleep(30 * time.Minute)
		alive(t, s, 1)
		if !e.expired(0) {
			t.Error("a deleted session was given more time")
		}
		time.Sleep(30*time.Minute - 1)
		alive(t, s, 1)
		time.Sleep(time.Nanosecond)
		alive(t, s, 0)
	})
}

func TestAStopMovesNoAbsoluteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, mcpsession.Limits{IdleTimeout: time.Hour, MaxLifetime: 90 * time.Minute, MaxSize: 1})
		id := createOne(t, s)
		crowdIn(t, s, id)
		s.clock.timer.Stop()
		time.Sleep(50 * time.Minute)
		get(t, s, id)
		time.Sleep(40*time.Minute - 1)
		alive(t, s, 1)
		time.Sleep(time.Nanosecond)
		alive(t, s, 0)
	})
}

// Otherwise a deadline written after the sharing's end was found to be late, by
// an access from before, might have to last longer than it does.
func TestAReadingThatWasTakenBackIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestStore(t, hours)
		id := createOne(t, s)
		crowdIn(t, s, id)
		e, _ := s.entries.Load(id.Ref())
		reading := s.clock.shared()
		if _, ok := s.glance(e, reading); !ok {
			t.Error("a shared reading is not used")
		}
		time.Sleep(tick)
		synctest.Wait()
		if _, ok := s.glance(e, reading); ok {
			t.Error("a reading that was taken back is used")
		}
	})
}

// tracked is a session and what its readers know of it.
type tracked struct {
	sync.RWMutex // held for writing while it is created
	id           mcpsession.ID
	expires      time.Time
	used         atomic.Int64 // the last access, in nanoseconds of the wall clock
}

func (r *tracked) create(t *testing.T, s *Store) {
	r.id = mcpsession.NewSessionID()
	session, err := s.Create(t.Context(), r.id, mcpsession.Session{})
	if err != nil {
		t.Error(err)
	}
	r.expires = session.ExpiresAt
	r.used.Store(time.Now().UnixNano())
}

func (r *tracked) unused() time.Duration { return time.Duration(time.Now().UnixNano() - r.used.Load()) }

// read is some accesses at one moment, until one fails.
func (r *tracked) read(t *testing.T, s *Store, times int, late bool) (ended bool) {
	r.RLock()
	defer r.RUnlock()
	idle := s.limits.IdleTimeout
	over := r.unused() >= idle+slack(idle)
	for range times {
		_, err := s.Get(t.Context(), r.id)
		if err == nil {
			if over && !late {
				t.Error("a session lives that should have ended")
			}
			r.used.Store(time.Now().UnixNano())
			continue
		}
		if left := time.Until(r.expires); !errors.Is(err, mcpsession.ErrNotFound) || r.unused() < idle && left > 0 {
			t.Errorf("%v, used %v ago, %v before its absolute deadline", err, r.unused(), left)
		}
		return true
	}
	return false
}

// Many goroutines read a few sessions at the very moments at which these end,
// are cleared away and created again, with a timer that is punctual or late. The
// bubble's time stands still during each call, so every answer has an exact time.
func TestReadersAgainstClearingAndALateTimer(t *testing.T) {
	const (
		readers  = 6
		sessions = 100 // the first are read often, the last seldom
		idle     = 4 * time.Second
		grain    = idle / 512 // of all times, so that many things happen at once
	)
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newTestStore(t, mcpsession.Limits{IdleTimeout: idle, MaxLifetime: time.Minute, MaxSize: 1})
			if late {
				s.clock.timer = time.AfterFunc(time.Hour, func() {
					time.Sleep(grain * rand.N(idle/grain))
					s.clock.expire()
				})
			}
			all := make([]*tracked, sessions)
			for i := range all {
				all[i] = new(tracked)
				all[i].create(t, s)
			}
			var glances, ends atomic.Int64
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					for range 500 {
						r := all[rand.IntN(1+rand.IntN(sessions))]
						if s.clock.shared() != none {
							glances.Add(1)
						}
						if r.read(t, s, 1+rand.IntN(crowd), late) {
							ends.Add(1)
							r.Lock()
							r.create(t, s)
							r.Unlock()
						}
						switch rand.IntN(100) {
						case 0:
							time.Sleep(idle)
						case 1:
							time.Sleep(idle + slack(idle))
						case 2:
							s.Count(t.Context())
						default:
							time.Sleep(grain * rand.N(time.Duration(3)))
						}
					}
				})
			}
			wg.Wait()
			time.Sleep(idle) // until the timer has run
			if glances.Load() == 0 || ends.Load() == 0 {
				t.Errorf("a reading was shared at %d moments, and %d sessions ended: nothing was tested", glances.Load(), ends.Load())
			}
		})
	}
}
