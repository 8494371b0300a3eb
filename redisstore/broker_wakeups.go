package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// quiet is after how much silence the server is asked for a sign of life,
	// and silent after how much more than that the connection is given up: one
	// whose peer is gone without a word reports nothing for many minutes.
	quiet  = 3 * time.Second
	silent = 9 * time.Second

	// The pauses between attempts to connect.
	minPause, maxPause = 50 * time.Millisecond, time.Second

	// channelsAtOnce bounds what one command subscribes to.
	channelsAtOnce = 1000
)

// wakeups passes on the messages that say that a key changed. All watchers share
// one connection and two goroutines: one receives, one subscribes. The client
// connects again by itself when the connection breaks, and then subscribes to
// everything; the server confirms each subscription, and each confirmation wakes
// the watchers, since what was said before it was not heard. That is also how a
// new watcher learns that from now on nothing escapes it.
//
// The client's own Channel would drop messages when its reader is slow, and does
// not notice a connection on which nothing comes back.
type wakeups struct {
	client redis.UniversalClient
	own    string // a channel that is always subscribed to
	logger *slog.Logger
	work   chan struct{} // there are changed topics
	heard  atomic.Int64  // when something was received last, in Unix nanoseconds

	mu      sync.Mutex
	pubsub  *redis.PubSub
	topics  map[string]*topic
	changed []*topic // those that may have to be subscribed to, or no longer
}

// topic is a channel that somebody watches, or did until just now.
type topic struct {
	channel   string
	watchers  []chan<- struct{}
	queued    bool // it is among the changed
	sent      bool // SUBSCRIBE was sent
	confirmed bool // and confirmed at least once
}

// newWakeups connects. It tells an error that would otherwise come up later
// again and again, such as want of the right to subscribe.
func newWakeups(ctx context.Context, client redis.UniversalClient, own string, logger *slog.Logger) (*wakeups, error) {
	w := &wakeups{
		client: client,
		own:    own,
		logger: logger,
		work:   make(chan struct{}, 1),
		pubsub: client.Subscribe(ctx, own),
		topics: make(map[string]*topic),
	}
	if _, err := w.pubsub.ReceiveTimeout(ctx, silent); err != nil {
		return nil, errors.Join(err, w.pubsub.Close())
	}
	w.heard.Store(time.Now().UnixNano())
	return w, nil
}

// watch returns at once.
func (w *wakeups) watch(channel string, woken chan<- struct{}) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.topics[channel]
	if t == nil {
		t = &topic{channel: channel}
		w.topics[channel] = t
	}
	t.watchers = append(t.watchers, woken)
	if t.confirmed {
		wake(woken) // else the confirmation will
	}
	if !t.sent {
		w.queue(t)
	}
	return func() { w.unwatch(t, woken) }
}

func (w *wakeups) unwatch(t *topic, woken chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(t.watchers, woken); i >= 0 {
		t.watchers = slices.Delete(t.watchers, i, i+1)
	}
	if len(t.watchers) == 0 {
		w.queue(t)
	}
}

func (w *wakeups) queue(t *topic) {
	if t.queued {
		return
	}
	t.queued = true
	w.changed = append(w.changed, t)
	wake(w.work)
}

// wake sends without waiting. A receiver that has not taken the last one yet is
// awake as soon as it does.
func wake(woken chan<- struct{}) {
	select {
	case woken <- struct{}{}:
	default:
	}
}

// receive wakes watchers until ctx ends.
func (w *wakeups) receive(ctx context.Context) {
	failing, pause := false, minPause
	for {
		pubsub := w.connection()
		message, err := pubsub.Receive(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			w.heard.Store(time.Now().UnixNano())
			w.pass(message)
			if failing {
				w.logger.Info("changes made by other replicas are heard of at once again")
			}
			failing, pause = false, minPause
			continue
		case pubsub != w.connection(): // it was given up
			continue
		case !failing:
			w.logger.Error("the connection to Redis is lost: changes made by other replicas are heard of late; retrying", "error", err)
			failing = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// pass wakes those whom a message concerns.
func (w *wakeups) pass(message any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var t *topic
	switch m := message.(type) {
	case *redis.Message:
		t = w.topics[m.Channel]
	case *redis.Subscription:
		// It may be the confirmation of an earlier subscription to the channel.
		// Then there is another to come.
		if t = w.topics[m.Channel]; t != nil && m.Kind == "subscribe" {
			t.confirmed = true
		}
	}
	if t == nil {
		return
	}
	for _, woken := range t.watchers {
		wake(woken)
	}
}

// keep subscribes to what is watched until ctx ends, and sees to it that the
// connection works.
func (w *wakeups) keep(ctx context.Context) {
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			w.connection().Close() // which ends receive
			return
		case <-w.work:
			w.subscribe(ctx)
		case <-tick.C:
			w.check(ctx)
		}
	}
}

func (w *wakeups) connection() *redis.PubSub {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pubsub
}

// subscribe sends what is to be sent for the changed topics. When that fails,
// the client does it with the next connection.
func (w *wakeups) subscribe(ctx context.Context) {
	var begin, end []string
	w.mu.Lock()
	for _, t := range w.changed {
		t.queued = false
		switch {
		case len(t.watchers) > 0 && !t.sent:
			t.sent = true
			begin = append(begin, t.channel)
		case len(t.watchers) == 0:
			delete(w.topics, t.channel)
			if t.sent {
				end = append(end, t.channel)
			}
		}
	}
	w.changed = nil
	w.mu.Unlock()

	pubsub := w.connection()
	for channels := range slices.Chunk(end, channelsAtOnce) {
		_ = pubsub.Unsubscribe(ctx, channels...)
	}
	for channels := range slices.Chunk(begin, channelsAtOnce) {
		_ = pubsub.Subscribe(ctx, channels...)
	}
}

// check replaces a connection on which nothing comes back.
func (w *wakeups) check(ctx context.Context) {
	silence := time.Since(time.Unix(0, w.heard.Load()))
	if silence < quiet {
		return
	}
	if silence < quiet+silent {
		_ = w.connection().Ping(ctx)
		return
	}
	channels := []string{w.own}
	old := w.connection()
	fresh := w.client.Subscribe(ctx) // does not connect yet
	w.mu.Lock()
	for channel, t := range w.topics {
		if t.sent {
			channels = append(channels, channel)
		}
	}
	w.pubsub = fresh
	w.mu.Unlock()
	w.heard.Store(time.Now().UnixNano())
	_ = old.Close()
	for some := range slices.Chunk(channels, channelsAtOnce) {
		_ = fresh.Subscribe(ctx, some...)
	}
}
