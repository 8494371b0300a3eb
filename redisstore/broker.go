package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// Broker is a [mcpsession.Broker] in Redis. A log is a stream, a cell a string,
// both in the slot of their session, and wake-ups are Pub/Sub messages, all of
// them over one connection. Every method that asks the server is one round trip.
//
// A log of a few small events takes about 4.5 kB of Redis's memory, most of it set
// aside for events to come. Of a log, up to 100 events more than asked for are
// kept, the number that Redis removes at once.
//
// Positions are the server's time. They grow for as long as a log exists, whatever
// its clock does, and for a minute after Drop. Only where a log ended by itself, or
// was lost in a failover with the events that had not reached the new master, can
// those of its successor be smaller, by as much as the clock was set back or the
// new master's is behind.
type Broker struct {
	client  redis.UniversalClient
	keys    keys
	scripts brokerScripts
	replica string
	changes changes
	calls   atomic.Uint64
	wakeups *wakeups

	stop    context.CancelFunc
	running sync.WaitGroup
	closing sync.Once
}

var _ mcpsession.Broker = (*Broker)(nil)

// NewBroker returns a broker on the server and under the prefix of store, and
// announces this process there as a new replica. ctx is for that alone. The Redis
// user needs the right to publish and subscribe to channels that begin with the
// prefix. The broker logs to the store's logger when it loses touch with the
// server. Close it before the store.
func NewBroker(ctx context.Context, store *Store) (*Broker, error) {
	b := &Broker{
		// Without batching: a caller who gives up may use the bytes that he passed
		// for something else, while they wait.
		client:  store.client.UniversalClient,
		keys:    store.keys,
		scripts: loadBrokerScripts(),
		replica: newReplicaName(),
	}
	if err := b.announce(ctx); err != nil {
		return nil, fmt.Errorf("open Redis broker: %w", brokerError(err))
	}
	// The connection for wake-ups always has this channel, which is no key's.
	// Since each replica's is another, a cluster's replicas connect to different
	// nodes: a go-redis client goes to the node of the first channel.
	wakeups, err := newWakeups(ctx, b.client, b.keys.replica(b.replica), store.logger)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open Redis broker: subscribe: %w", brokerError(err)), b.leave())
	}
	b.wakeups = wakeups
	running, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.running.Go(func() { wakeups.receive(running) })
	b.running.Go(func() { wakeups.keep(running) })
	b.running.Go(func() { b.stayAlive(running, store.logger) })
	return b, nil
}

// Close ends all watches, and tells the other replicas that this one is gone.
func (b *Broker) Close() (err error) {
	b.closing.Do(func() {
		b.stop()
		b.running.Wait()
		if err = b.leave(); err != nil {
			err = fmt.Errorf("close Redis broker: %w", err)
		}
	})
	return err
}

// Append implements [mcpsession.Broker].
func (b *Broker) Append(ctx context.Context, log mcpsession.Key, event []byte, keep mcpsession.Retention) (mcpsession.Position, error) {
	p, err := b.append(ctx, log, event, keep)
	if err != nil {
		return 0, fmt.Errorf("append to log %s: %w", keyText(log), err)
	}
	return p, nil
}

func (b *Broker) append(ctx context.Context, log mcpsession.Key, event []byte, keep mcpsession.Retention) (mcpsession.Position, error) {
	if err := errors.Join(log.Validate(), keep.Validate()); err != nil {
		return 0, err
	}
	if len(event) == 0 {
		return 0, fmt.Errorf("%w: the event is empty", mcpsession.ErrInvalid)
	}
	c := b.changes.begin()
	defer c.end()
	reply, err := b.run(ctx, b.scripts.append, []string{b.keys.log(log), b.keys.writer(log.Ref, c.writer)},
		c.number, keep.Events, milliseconds(keep.For), b.keys.channel(log), event)
	if err == nil && len(reply) == 1 {
		if p, ok := parsePosition(reply[0]); ok {
			c.answered()
			return p, nil
		}
	}
	return 0, brokerError(err)
}

// Read implements [mcpsession.Broker].
func (b *Broker) Read(ctx context.Context, log mcpsession.Key, after mcpsession.Position) (mcpsession.Page, error) {
	page, err := b.read(ctx, log, after)
	if err != nil {
		return mcpsession.Page{}, fmt.Errorf("read log %s: %w", keyText(log), err)
	}
	return page, nil
}

func (b *Broker) read(ctx context.Context, log mcpsession.Key, after mcpsession.Position) (page mcpsession.Page, err error) {
	if err := log.Validate(); err != nil {
		return page, err
	}
	reply, err := b.run(ctx, b.scripts.read, []string{b.keys.log(log)}, startAfter(after))
	if err != nil || len(reply) < 3 || len(reply)%2 == 0 {
		return page, brokerError(err)
	}
	length, isNumber := reply[0].(int64)
	if isNumber && length == 0 {
		return page, nil
	}
	var isFirst, isLast bool
	page.Len = int(length)
	page.First, isFirst = parsePosition(reply[1])
	page.Last, isLast = parsePosition(reply[2])
	if !isNumber || !isFirst || !isLast {
		return page, brokerError(nil)
	}
	for i := 3; i < len(reply); i += 2 {
		p, isPosition := parsePosition(reply[i])
		data, isText := reply[i+1].(string)
		if !isPosition || !isText {
			return page, brokerError(nil)
		}
		page.Events = append(page.Events, mcpsession.Event{Position: p, Data: []byte(data)})
	}
	return page, nil
}

// Swap implements [mcpsession.Broker].
func (b *Broker) Swap(ctx context.Context, cell mcpsession.Key, old, next []byte, ttl time.Duration) ([]byte, error) {
	value, err := b.swap(ctx, cell, old, next, ttl)
	if err != nil {
		return nil, fmt.Errorf("swap cell %s: %w", keyText(cell), err)
	}
	return value, nil
}

func (b *Broker) swap(ctx context.Context, cell mcpsession.Key, old, next []byte, ttl time.Duration) ([]byte, error) {
	if err := cell.Validate(); err != nil {
		return nil, err
	}
	if next != nil && ttl < time.Millisecond {
		return nil, fmt.Errorf("%w: a cell that lives for %v does not live", mcpsession.ErrInvalid, ttl)
	}
	if old == nil && next == nil {
		return cellValue(b.run(ctx, b.scripts.cell, []string{b.keys.cell(cell)}))
	}
	c := b.changes.begin()
	defer c.end()
	value, err := cellValue(b.run(ctx, b.scripts.swap, []string{b.keys.cell(cell), b.keys.writer(cell.Ref, c.writer)},
		c.number, b.keys.channel(cell), milliseconds(ttl), old != nil, old, next != nil, next))
	if err == nil {
		c.answered()
	}
	return value, err
}

func cellValue(reply []any, err error) ([]byte, error) {
	if err != nil || len(reply) != 1 {
		return nil, brokerError(err)
	}
	switch value := reply[0].(type) {
	case nil:
		return nil, nil
	case string:
		return []byte(value), nil // not nil when empty
	}
	return nil, brokerError(nil)
}

// Drop implements [mcpsession.Broker].
func (b *Broker) Drop(ctx context.Context, keys ...mcpsession.Key) error {
	if len(keys) == 0 {
		return nil
	}
	var names []string
	var channels []any
	for _, key := range keys {
		if err := key.Validate(); err != nil {
			return fmt.Errorf("drop %s: %w", keyText(key), err)
		}
		if key.Ref != keys[0].Ref {
			return fmt.Errorf("drop %s: %w: %s is of another session", keyText(keys[0]), mcpsession.ErrInvalid, keyText(key))
		}
		names = append(names, b.keys.log(key), b.keys.cell(key))
		channels = append(channels, b.keys.channel(key))
	}
	if _, err := b.run(ctx, b.scripts.drop, names, channels...); err != nil {
		return fmt.Errorf("drop %s: %w", keyText(keys[0]), brokerError(err))
	}
	return nil
}

// Watch implements [mcpsession.Broker].
func (b *Broker) Watch(key mcpsession.Key, woken chan<- struct{}) (stop func()) {
	return b.wakeups.watch(b.keys.channel(key), woken)
}

// Replica implements [mcpsession.Broker].
func (b *Broker) Replica() string { return b.replica }

// keyText names a key in errors.
func keyText(key mcpsession.Key) string {
	if key.Ref == (mcpsession.Ref{}) {
		return strconv.Quote(key.Name)
	}
	return strconv.Quote(key.Name) + " of session " + key.Ref.String()
}

// parsePosition returns the position of the entry with a stream id,
// MILLISECOND-SEQUENCE. The first one of a millisecond has the sequence 0, but is
// after the PositionAt of that millisecond.
func parsePosition(reply any) (p mcpsession.Position, ok bool) {
	text, _ := reply.(string)
	before, after, _ := strings.Cut(text, "-")
	milli, errMilli := strconv.ParseUint(before, 10, 64)
	seq, errSeq := strconv.ParseUint(after, 10, 64)
	if errMilli != nil || errSeq != nil {
		return 0, false
	}
	p = mcpsession.NewPosition(milli, seq+1)
	return p, p.Milli() == milli && p.Seq() == seq+1
}

// startAfter returns where XRANGE has to start.
func startAfter(p mcpsession.Position) string {
	milli := strconv.FormatUint(p.Milli(), 10)
	if p.Seq() == 0 {
		return milli + "-0"
	}
	return "(" + milli + "-" + strconv.FormatUint(p.Seq()-1, 10)
}

// milliseconds rounds up, so that nothing ends early, as long as it makes a
// [time.Duration].
func milliseconds(d time.Duration) int64 {
	if d%time.Millisecond > 0 && d < math.MaxInt64-time.Millisecond {
		return d.Milliseconds() + 1
	}
	return d.Milliseconds()
}
