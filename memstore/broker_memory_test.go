package memstore

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
)

// These tests look at what a broker holds in memory, and at what is its own
// affair: the contract is in package storetest.

var hour = mcpsession.Retention{Events: 10, For: time.Hour}

func newTestBroker(t *testing.T) *Broker {
	t.Helper()
	b := NewBroker()
	t.Cleanup(func() { b.Close() })
	return b
}

func numbered(i int) mcpsession.Key {
	return mcpsession.Key{Ref: mcpsession.Ref{byte(i), byte(i >> 8)}, Name: fmt.Sprintf("key-%d", i)}
}

// fill makes n logs and n cells that end within the hour.
func fill(t *testing.T, b *Broker, n int) {
	t.Helper()
	for i := range n {
		if _, err := b.Append(t.Context(), numbered(i), []byte("event"), hour); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Swap(t.Context(), numbered(i), nil, []byte("value"), hour.For); err != nil {
			t.Fatal(err)
		}
	}
}

func holds(t *testing.T, b *Broker, logs, cells int) {
	t.Helper()
	if n := b.logs.entries.Size(); n != logs {
		t.Errorf("%d logs are in memory, want %d", n, logs)
	}
	if n := b.cells.entries.Size(); n != cells {
		t.Errorf("%d cells are in memory, want %d", n, cells)
	}
}

func TestLogsAndCellsLeaveMemoryWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		const n = 20_000
		fill(t, b, n)
		holds(t, b, n, n)
		grown := b.logs.entries.Stats().Capacity
		time.Sleep(hour.For / 2)
		for i := range n / 2 { // these last longer
			if _, err := b.Append(t.Context(), numbered(i), []byte("event"), hour); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n / 4 {
			if _, err := b.Swap(t.Context(), numbered(i), []byte("value"), []byte("value"), hour.For); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(hour.For/2 + time.Millisecond)
		synctest.Wait()
		holds(t, b, n/2, n/4)
		time.Sleep(hour.For/2 + time.Millisecond)
		synctest.Wait()
		holds(t, b, 0, 0)
		if left := b.logs.entries.Stats().Capacity; left > grown/4 {
			t.Errorf("the map has room for %d logs after they have ended, had it for %d", left, grown)
		}
	})
}

func TestAShorterLifeIsNotedByTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		fill(t, b, 1)
		if _, err := b.Append(t.Context(), numbered(0), []byte("event"), mcpsession.Retention{Events: 1, For: time.Second}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Swap(t.Context(), numbered(0), []byte("value"), []byte("value"), 2*time.Second); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		holds(t, b, 0, 1)
		time.Sleep(time.Second)
		synctest.Wait()
		holds(t, b, 0, 0)
	})
}

// A timer that has run finds that its entry was replaced by another of the same
// key, and leaves that alone.
func TestALateTimerRemovesNoSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		fill(t, b, 1)
		first, _ := b.logs.entries.Load(numbered(0))
		if err := b.Drop(t.Context(), numbered(0)); err != nil {
			t.Fatal(err)
		}
		fill(t, b, 1)
		second, _ := b.logs.entries.Load(numbered(0))
		second.ends = 0
		b.logs.end(numbered(0), first)
		holds(t, b, 1, 1)
	})
}

func TestAnIdleBrokerDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTestBroker(t)
		var ran atomic.Int64
		now := b.logs.now
		b.logs.now = func() time.Duration { ran.Add(1); return now() }
		key := mcpsession.Key{Name: "log"}
		for range 100 { // in use, 10 hours long
			if _, err := b.Append(t.Context(), key, []byte("event"), hour); err != nil {
				t.Fatal(err)
			}
			time.Sleep(hour.For / 10)
			synctest.Wait()
		}
		if n := ran.Load(); n > 100+11 {
			t.Errorf("the log was looked at %d times for 100 appends in ten of its lifetimes", n)
		}
		time.Sleep(10 * hour.For)
		synctest.Wait()
		holds(t, b, 0, 0)
		ran.Store(0)
		time.Sleep(1000 * hour.For)
		synctest.Wait()
		if n := ran.Load(); n > 0 {
			t.Errorf("the empty broker was looked at %d times", n)
		}
	})
}

func TestForgottenEventsAreGarbage(t *testing.T) {
	b := newTestBroker(t)
	key := mcpsession.Key{Name: "log"}
	const n = 50
	var freed atomic.Int64
	for range n {
		if _, err := b.Append(t.Context(), key, make([]byte, 100_000), mcpsession.Retention{Events: 10, For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		e, _ := b.logs.entries.Load(key)
		events := e.value.events
		runtime.AddCleanup(&events[len(events)-1].Data[0], func(int) { freed.Add(1) }, 0)
	}
	for range 100 {
		runtime.GC()
		if freed.Load() == n-10 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := freed.Load(); got != n-10 {
		t.Errorf("%d of %d forgotten events were freed", got, n-10)
	}
	runtime.KeepAlive(b)
}

func TestAClosedBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBroker()
		fill(t, b, 100)
		var timers []*time.Timer
		for _, e := range b.logs.entries.All() {
			timers = append(timers, e.timer)
		}
		for _, e := range b.cells.entries.All() {
			timers = append(timers, e.timer)
		}
		key := numbered(0)
		woken := make(chan struct{}, 1)
		stop := b.Watch(key, woken)
		<-woken
		for range 2 {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		select {
		case <-woken: // so that it hears of the end
		default:
			t.Error("Close woke no watcher")
		}
		holds(t, b, 0, 0)
		for _, timer := range timers {
			if timer.Stop() {
				t.Fatal("Close left a timer behind")
			}
		}
		ctx := t.Context()
		_, appended := b.Append(ctx, key, []byte("event"), hour)
		_, read := b.Read(ctx, key, 0)
		_, swapped := b.Swap(ctx, key, nil, []byte("value"), time.Hour)
		_, alive := b.Alive(ctx, b.Replica())
		for _, err := range []error{appended, read, swapped, alive, b.Drop(ctx, key)} {
			if !errors.Is(err, mcpsession.ErrUnavailable) {
				t.Errorf("from a closed broker: %v", err)
			}
		}
		stop()
		b.Watch(key, woken)()
		if n := b.watches.byKey.Size(); n != 0 {
			t.Errorf("%d keys are still watched", n)
		}
	})
}

func TestCloseRacesWrites(t *testing.T) {
	for range 50 {
		b := NewBroker()
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := 0; ; j++ {
					_, err := b.Append(t.Context(), numbered(100*j+i), []byte("event"), hour)
					if err == nil {
						_, err = b.Swap(t.Context(), numbered(100*j+i), nil, []byte("value"), time.Hour)
					}
					if err != nil {
						if !errors.Is(err, mcpsession.ErrUnavailable) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		time.Sleep(100 * time.Microsecond)
		b.Close()
		wg.Wait()
		holds(t, b, 0, 0)
	}
}

func TestStoppedWatchesLeaveMemory(t *testing.T) {
	b := newTestBroker(t)
	woken := make(chan struct{}, 1)
	var stops []func()
	for i := range 1000 {
		stops = append(stops, b.Watch(numbered(i%100), woken))
	}
	for i, stop := range stops {
		if n := b.watches.byKey.Size(); n != min(100, 1000-i) {
			t.Fatalf("%d keys are watched, want %d", n, min(100, 1000-i))
		}
		stop()
	}
	if n := b.watches.byKey.Size(); n != 0 {
		t.Errorf("%d keys are still watched", n)
	}
}

func TestAPageIsBounded(t *testing.T) {
	b := newTestBroker(t)
	key := mcpsession.Key{Name: "log"}
	keep := mcpsession.Retention{Events: 100_000, For: time.Hour}
	for _, size := range []int{1, pageBytes / 10, pageBytes / 2, pageBytes, 3 * pageBytes} {
		for range max(5, 3*pageEvents/size) {
			if _, err := b.Append(t.Context(), key, make([]byte, size), keep); err != nil {
				t.Fatal(err)
			}
		}
	}
	var after mcpsession.Position
	for {
		page, err := b.Read(t.Context(), key, after)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) == 0 {
			break
		}
		bytes := 0
		for _, e := range page.Events {
			bytes += len(e.Data)
			after = e.Position
		}
		if len(page.Events) > pageEvents || bytes > pageBytes && len(page.Events) > 1 {
			t.Errorf("a page of %d events with %d bytes", len(page.Events), bytes)
		}
	}
}

// Errors name what was tried, on what, and hold nothing of what is stored.
func TestBrokerErrors(t *testing.T) {
	b := newTestBroker(t)
	ref := mcpsession.NewSessionID().Ref()
	for _, key := range []mcpsession.Key{{Ref: ref, Name: "lease"}, {Name: "lease"}} {
		_, err := b.Swap(t.Context(), key, nil, []byte("hidden"), 0)
		if err == nil || !strings.HasPrefix(err.Error(), "swap cell lease") || strings.Contains(err.Error(), "hidden") ||
			strings.Contains(err.Error(), ref.String()) != (key.Ref == ref) {
			t.Errorf("the error is %q", err)
		}
	}
}

func BenchmarkBroker(b *testing.B) {
	broker := NewBroker()
	defer broker.Close()
	event := []byte(strings.Repeat("x", 300))
	b.Run("Append", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			key := mcpsession.Key{Ref: mcpsession.NewSessionID().Ref(), Name: "log"}
			for pb.Next() {
				if _, err := broker.Append(b.Context(), key, event, mcpsession.Retention{Events: 1000, For: time.Hour}); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("NewLog", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := broker.Append(b.Context(), mcpsession.Key{Ref: mcpsession.Ref{byte(i), byte(i >> 8), byte(i >> 16)}, Name: "log"}, event, hour); err != nil {
				b.Error(err)
			}
		}
	})
	b.Run("ReadNothingNew", func(b *testing.B) {
		b.ReportAllocs()
		key := mcpsession.Key{Name: "log"}
		at, err := broker.Append(b.Context(), key, event, hour)
		if err != nil {
			b.Fatal(err)
		}
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := broker.Read(b.Context(), key, at); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
