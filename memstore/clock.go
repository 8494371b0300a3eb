package memstore

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	tick      = time.Millisecond       // how long a reading is shared
	crowd     = 64                     // accesses in a tick from which on sharing pays
	minMargin = 100 * time.Millisecond // a busy machine's timers are often late by less
	none      = time.Duration(-1)      // no reading is shared
)

// clock tells the time since the store was made. Reading the system's clock is
// the dearest part of a Get, so when there are many, they share one reading for
// a tick. A timer takes it back, and nothing runs while the store is not busy.
//
// A shared reading lies in the past, and nobody who uses it knows how far: the
// timer is late when the machine is overloaded, by hours if the process was
// stopped. A session must not end early for that. Therefore
//
//   - a shared reading serves for nothing but to see that a session lives for its
//     idle timeout and the margin after it without a write. So the session lives
//     for its idle timeout after any use of a reading no older than the margin.
//   - whoever ends a session asks settled for the time. If the reading was shared
//     for longer than the margin, settled or the timer first calls late, which
//     gives that time to all sessions that may have been used by it.
//
// What remains: between the end of a stop longer than an idle timeout and the
// timer, a moment later, a Get may find a session that ended meanwhile.
type clock struct {
	start  time.Time // its monotonic reading keeps deadlines right when the wall clock is set
	margin time.Duration
	late   func(reading, taken time.Duration) // called with mu held

	reading atomic.Int64 // the shared one, or none
	alone   atomic.Int64 // accesses without one

	mu    sync.Mutex
	timer *time.Timer   // takes the shared reading back; set whenever there is one
	since time.Duration // when alone was last a multiple of crowd, or a reading taken back
}

func (c *clock) open(margin time.Duration, late func(reading, taken time.Duration)) {
	c.start, c.margin, c.late = time.Now(), margin, late
	c.reading.Store(int64(none))
	c.timer = time.AfterFunc(tick, c.expire)
	c.timer.Stop() // until share sets it
}

// shared returns the shared reading, or none.
func (c *clock) shared() time.Duration { return time.Duration(c.reading.Load()) }

// now is the exact time of an access that found no shared reading of use.
func (c *clock) now() time.Duration {
	if c.margin >= minMargin && c.shared() == none && c.alone.Add(1)%crowd == 0 {
		c.share()
	}
	return time.Since(c.start)
}

// share shares a reading if the last crowd of accesses took less than a tick.
func (c *clock) share() {
	if !c.mu.TryLock() {
		return // no access waits for late
	}
	defer c.mu.Unlock()
	now := time.Since(c.start)
	if now-c.since < tick && c.shared() == none {
		c.reading.Store(int64(now))
		c.timer.Reset(tick)
	}
	c.since = now
}

// settled is the exact time, and after it every deadline before that time says
// the truth: the session is over.
func (c *clock) settled() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.start)
	if reading := c.shared(); reading != none && now-reading > c.margin {
		c.takeBack()
	}
	return now
}

// expire is what the timer runs.
func (c *clock) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared() != none {
		c.takeBack()
	}
}

// takeBack ends the sharing. It reads the clock after that, so that no access
// found the reading later than it supposes.
func (c *clock) takeBack() {
	reading := time.Duration(c.reading.Swap(int64(none)))
	c.since = time.Since(c.start)
	if c.since-reading > c.margin {
		c.late(reading, c.since)
	}
}
