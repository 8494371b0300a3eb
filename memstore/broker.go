package memstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/mcpsession/mcpsession"
)

// Broker is a [mcpsession.Broker] in memory, for a server of one process: the
// replica that it knows is itself. Every log and cell has a lock of its own,
// more or less, which nobody holds while he copies what was or will be kept.
type Broker struct {
	replica string

	// start is the origin of the broker's clock, which does not follow the wall
	// clock when that is set.
	start time.Time

	logs    *ending[eventLog]
	cells   *ending[cell]
	watches watches
	last    atomic.Uint64 // the last position given to any event
	closed  atomic.Bool
}

var _ mcpsession.Broker = (*Broker)(nil)

// cell is the value of a cell, never nil and never modified.
type cell []byte

// NewBroker returns a broker without logs and cells. Close it to give its memory
// back before they have ended.
func NewBroker() *Broker {
	b := &Broker{replica: rand.Text(), start: time.Now(), watches: newWatches()}
	b.logs, b.cells = newEnding[eventLog](b.now), newEnding[cell](b.now)
	return b
}

// Close drops all logs and cells and wakes all watchers. Methods called later
// return an error that wraps ErrUnavailable. Closing twice is no error.
func (b *Broker) Close() error {
	b.closed.Store(true)
	b.clear()
	b.watches.wakeAll()
	return nil
}

func (b *Broker) clear() {
	b.logs.clear()
	b.cells.clear()
}

// Append implements [mcpsession.Broker].
func (b *Broker) Append(ctx context.Context, log mcpsession.Key, event []byte, keep mcpsession.Retention) (mcpsession.Position, error) {
	fail := func(err error) (mcpsession.Position, error) {
		return 0, fmt.Errorf("append to log %s: %w", describe(log), err)
	}
	if err := b.usable(ctx, log); err != nil {
		return fail(err)
	}
	if err := keep.Validate(); err != nil {
		return fail(err)
	}
	if len(event) == 0 {
		return fail(fmt.Errorf("%w: the event is empty", mcpsession.ErrInvalid))
	}
	e := mcpsession.Event{Data: bytes.Clone(event)}
	b.logs.visit(log, func(l *eventLog) (*eventLog, time.Duration) {
		if l == nil {
			l = new(eventLog)
		}
		e.Position = b.nextPosition()
		l.add(e, keep.Events)
		return l, keep.For
	})
	if err := b.stillOpen(); err != nil {
		return fail(err)
	}
	b.watches.wake(log)
	return e.Position, nil
}

// Read implements [mcpsession.Broker].
func (b *Broker) Read(ctx context.Context, log mcpsession.Key, after mcpsession.Position) (mcpsession.Page, error) {
	if err := b.usable(ctx, log); err != nil {
		return mcpsession.Page{}, fmt.Errorf("read log %s: %w", describe(log), err)
	}
	var page mcpsession.Page
	b.logs.visit(log, func(l *eventLog) (*eventLog, time.Duration) {
		if l != nil {
			page = l.page(after)
		}
		return l, unchanged
	})
	for i, e := range page.Events {
		page.Events[i].Data = bytes.Clone(e.Data)
	}
	return page, nil
}

// Swap implements [mcpsession.Broker].
func (b *Broker) Swap(ctx context.Context, key mcpsession.Key, old, next []byte, ttl time.Duration) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("swap cell %s: %w", describe(key), err)
	}
	if err := b.usable(ctx, key); err != nil {
		return fail(err)
	}
	if next != nil && ttl < time.Millisecond {
		return fail(fmt.Errorf("%w: a cell that lasts %v keeps nothing", mcpsession.ErrInvalid, ttl))
	}
	var wanted, present *cell // nil for none
	if next != nil {
		wanted = (*cell)(new(bytes.Clone(next)))
	}
	swapped := false
	b.cells.visit(key, func(c *cell) (*cell, time.Duration) {
		if present = c; !c.is(old) {
			return c, unchanged
		}
		swapped, present = true, wanted
		return wanted, ttl
	})
	if err := b.stillOpen(); err != nil {
		return fail(err)
	}
	if swapped && (old != nil || next != nil) { // else it only read
		b.watches.wake(key)
	}
	if present == nil {
		return nil, nil
	}
	return bytes.Clone(*present), nil
}

// is reports whether a cell, nil if there is none, has this value.
func (c *cell) is(value []byte) bool {
	if c == nil || value == nil {
		return c == nil && value == nil
	}
	return bytes.Equal(*c, value)
}

// Drop implements [mcpsession.Broker].
func (b *Broker) Drop(ctx context.Context, keys ...mcpsession.Key) error {
	if err := b.usable(ctx, keys...); err != nil {
		return fmt.Errorf("drop logs and cells: %w", err)
	}
	for _, key := range keys {
		if key.Ref != keys[0].Ref {
			return fmt.Errorf("drop %s: %w: %s is of another session", describe(keys[0]), mcpsession.ErrInvalid, describe(key))
		}
	}
	for _, key := range keys {
		b.logs.remove(key)
		b.cells.remove(key)
		b.watches.wake(key)
	}
	return nil
}

// Watch implements [mcpsession.Broker].
func (b *Broker) Watch(key mcpsession.Key, woken chan<- struct{}) (stop func()) {
	return b.watches.begin(key, woken)
}

// Replica implements [mcpsession.Broker].
func (b *Broker) Replica() string { return b.replica }

// Alive implements [mcpsession.Broker]. It knows only this replica.
func (b *Broker) Alive(ctx context.Context, replica string) (bool, error) {
	if err := b.usable(ctx); err != nil {
		return false, fmt.Errorf("look for replica %q: %w", replica, err)
	}
	return replica == b.replica, nil
}

// usable returns what stops a method that is called now.
func (b *Broker) usable(ctx context.Context, keys ...mcpsession.Key) error {
	if b.closed.Load() {
		return errBrokerClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, key := range keys {
		if err := key.Validate(); err != nil {
			return err
		}
	}
	return nil
}

var errBrokerClosed = fmt.Errorf("%w: the memory broker is closed", mcpsession.ErrUnavailable)

// stillOpen is for methods that may have stored something since Close has
// cleared everything.
func (b *Broker) stillOpen() error {
	if !b.closed.Load() {
		return nil
	}
	b.clear()
	return errBrokerClosed
}

func (b *Broker) now() time.Duration { return time.Since(b.start) }

// nextPosition returns one that no event has had, in any log: so positions grow
// over the end of a log without anything being remembered of it.
func (b *Broker) nextPosition() mcpsession.Position {
	now := mcpsession.NewPosition(uint64(b.start.Add(b.now()).UnixMilli()), 1)
	for {
		last := b.last.Load()
		next := max(uint64(now), last+1)
		if b.last.CompareAndSwap(last, next) {
			return mcpsession.Position(next)
		}
	}
}

func describe(key mcpsession.Key) string {
	if key.Ref.IsZero() {
		return key.Name
	}
	return fmt.Sprintf("%s of session %s", key.Name, key.Ref)
}

// A page is at most so many events, of so many bytes if there is more than one.
const (
	pageEvents = 1000
	pageBytes  = 1 << 20
)

// eventLog holds the events of a log in order. Their data is never modified.
type eventLog struct{ events []mcpsession.Event }

// add appends an event, and forgets those before the last keep.
func (l *eventLog) add(e mcpsession.Event, keep int) {
	l.events = append(l.events, e)
	if extra := len(l.events) - keep; extra > 0 {
		clear(l.events[:extra])     // frees their data now
		l.events = l.events[extra:] // and themselves when append needs room
	}
}

// page returns what Read does, but that the events' data is that of the log.
func (l *eventLog) page(after mcpsession.Position) mcpsession.Page {
	n := len(l.events)
	from, _ := slices.BinarySearchFunc(l.events, after, func(e mcpsession.Event, after mcpsession.Position) int {
		if e.Position <= after {
			return -1
		}
		return 1
	})
	to, size := from, 0
	for to < min(n, from+pageEvents) {
		if size += len(l.events[to].Data); size > pageBytes && to > from {
			break
		}
		to++
	}
	return mcpsession.Page{
		Events: slices.Clone(l.events[from:to]),
		First:  l.events[0].Position,
		Last:   l.events[n-1].Position,
		Len:    n,
	}
}
