package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/redis/go-redis/v9"
)

var (
	keep = mcpsession.Retention{Events: 1000, For: time.Minute}
	log1 = mcpsession.Key{Name: "log"}
)

// brokerOn opens a broker of its own on a server. hooks see its commands.
func brokerOn(t *testing.T, options redis.Options, hooks ...redis.Hook) (*redisstore.Broker, *redis.Client) {
	t.Helper()
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(&options)
	t.Cleanup(func() { client.Close() })
	store, err := redisstore.New(t.Context(), client, defaults())
	if err != nil {
		t.Fatal(err)
	}
	broker, err := redisstore.NewBroker(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	for _, hook := range hooks {
		client.AddHook(hook)
	}
	return broker, client
}

func appendTo(t *testing.T, b *redisstore.Broker, log mcpsession.Key, event string, keep mcpsession.Retention) mcpsession.Position {
	t.Helper()
	p, err := b.Append(t.Context(), log, []byte(event), keep)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, b *redisstore.Broker, log mcpsession.Key, after mcpsession.Position) mcpsession.Page {
	t.Helper()
	page, err := b.Read(t.Context(), log, after)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

func swap(t *testing.T, b *redisstore.Broker, cell mcpsession.Key, old, next []byte) []byte {
	t.Helper()
	value, err := b.Swap(t.Context(), cell, old, next, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// again records the scripts that a client runs, to be run once more.
type again struct {
	mu   sync.Mutex
	sent [][]any
}

func (*again) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*again) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (a *again) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			a.mu.Lock()
			a.sent = append(a.sent, cmd.Args())
			a.mu.Unlock()
		}
		return next(ctx, cmd)
	}
}

// A request that a client gave up may be executed long after its repetition was,
// and after what came next.
func TestAChangeThatArrivesAgainLaterIsMadeOnce(t *testing.T) {
	m := miniredis.RunT(t)
	recorded := new(again)
	b, client := brokerOn(t, redis.Options{Addr: m.Addr()}, recorded)
	other, _ := brokerOn(t, redis.Options{Addr: m.Addr()})
	cell := mcpsession.Key{Name: "cell"}
	few := mcpsession.Retention{Events: 2, For: time.Minute}
	repeat := func() {
		t.Helper()
		for _, args := range recorded.sent {
			if err := client.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The first call of each script is sent in full; warm up.
	appendTo(t, other, log1, "warm", few)
	swap(t, other, cell, nil, []byte("warm"))
	swap(t, other, cell, []byte("warm"), nil)

	appendTo(t, b, log1, "once", few)
	swap(t, b, cell, nil, []byte("mine"))
	for range 200 { // the event is dropped meanwhile
		appendTo(t, other, log1, "other", few)
	}
	swap(t, other, cell, []byte("mine"), nil)
	before := read(t, other, log1, 0)
	repeat()
	if after := read(t, other, log1, 0); after.Last != before.Last {
		t.Errorf("an append that arrived twice is in the log again: %+v", after)
	}
	if got := swap(t, other, cell, nil, nil); got != nil {
		t.Errorf("a swap that arrived twice was made again: %q", got)
	}

	// The same when its writer has done other things since.
	appendTo(t, b, log1, "next", few)
	if got := swap(t, b, cell, []byte("not this"), []byte("refused")); got != nil {
		t.Errorf("a swap from a wrong value gave %q", got)
	}
	swap(t, other, cell, nil, []byte("not this"))
	before = read(t, other, log1, 0)
	repeat()
	if after := read(t, other, log1, 0); after.Last != before.Last {
		t.Errorf("an append that arrived twice, late, is in the log again: %+v", after)
	}
	if got := swap(t, other, cell, nil, nil); string(got) != "not this" {
		t.Errorf("a refused swap that arrived again was made: %q", got)
	}
	if err := other.Drop(t.Context(), log1, cell); err != nil {
		t.Fatal(err)
	}
	repeat()
	if page := read(t, other, log1, 0); page.Len != 0 {
		t.Errorf("an append that arrived again has revived a log: %+v", page)
	}
}

func TestAPageIsBoundedInBytesAndHasAnEvent(t *testing.T) {
	m := miniredis.RunT(t)
	b, _ := brokerOn(t, redis.Options{Addr: m.Addr()})
	var want []int
	for i, size := range []int{10, 2 << 20, 3 << 20, 10, 600 << 10, 600 << 10, 10} {
		appendTo(t, b, log1, strings.Repeat(string(rune('a'+i)), size), keep)
		want = append(want, size)
	}
	for range 250 {
		appendTo(t, b, log1, "small", keep)
	}
	var pages []int
	var after mcpsession.Position
	for n := 0; ; {
		page := read(t, b, log1, after)
		if len(page.Events) == 0 {
			if n != page.Len || page.Last != after {
				t.Errorf("read %d events to %v of %d to %v", n, after, page.Len, page.Last)
			}
			break
		}
		pages = append(pages, len(page.Events))
		for _, e := range page.Events {
			if e.Position <= after || n < len(want) && (len(e.Data) != want[n] || e.Data[0] != byte('a'+n)) {
				t.Errorf("event %d has %d bytes at %v after %v", n, len(e.Data), e.Position, after)
			}
			after = e.Position
			n++
		}
	}
	if got, want := fmt.Sprint(pages), "[2 1 3 100 100 51]"; got != want {
		t.Errorf("the pages have %s events, want %s", got, want)
	}
}

// Positions have room for a million events in a millisecond. A log whose ids ran
// ahead of the clock can get there.
func TestPositionsGrowWhateverTheClockDoes(t *testing.T) {
	m := miniredis.RunT(t)
	b, client := brokerOn(t, redis.Options{Addr: m.Addr()})
	ahead := uint64(time.Now().Add(time.Hour).UnixMilli())
	if err := client.XAdd(t.Context(), &redis.XAddArgs{
		Stream: "mcps:{fleet}:l:log", ID: fmt.Sprintf("%d-%d", ahead, 1<<20-4), Values: []string{"d", "ahead"},
	}).Err(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []mcpsession.Position{
		mcpsession.NewPosition(ahead, 1<<20-2),
		mcpsession.NewPosition(ahead, 1<<20-1),
		mcpsession.NewPosition(ahead+1, 1),
		mcpsession.NewPosition(ahead+1, 2),
	} {
		if got := appendTo(t, b, log1, "x", keep); got != want {
			t.Errorf("append %d is at %d.%d, want %d.%d", i, got.Milli(), got.Seq(), want.Milli(), want.Seq())
		}
	}
	last := read(t, b, log1, 0)
	if last.Len != 5 || len(last.Events) != 5 {
		t.Errorf("the log is %+v", last)
	}
	if err := b.Drop(t.Context(), log1); err != nil {
		t.Fatal(err)
	}
	if page := read(t, b, log1, 0); page.Len != 0 || page.First != 0 || page.Last != 0 {
		t.Errorf("after Drop the log is %+v", page)
	}
	if got := appendTo(t, b, log1, "anew", keep); got <= last.Last {
		t.Errorf("after Drop the position is %v, which is not after %v", got, last.Last)
	}
}

func TestAReplicaIsAliveUntilItIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := onMiniredis(t)
		b, _ := brokerOn(t, options)
		other, _ := brokerOn(t, options)
		alive := func(name string) bool {
			t.Helper()
			is, err := other.Alive(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return is
		}
		if b.Replica() == other.Replica() || alive("nobody") || alive("") {
			t.Errorf("replicas are %q and %q", b.Replica(), other.Replica())
		}
		for range 20 {
			if !alive(b.Replica()) || !alive(other.Replica()) {
				t.Error("a running replica is not alive")
			}
			time.Sleep(700 * time.Millisecond)
		}
		if err := errors.Join(b.Close(), b.Close()); err != nil {
			t.Error(err)
		}
		if alive(b.Replica()) || !alive(other.Replica()) {
			t.Error("a closed replica is alive, or another is not")
		}
	})
}

func TestOneSubscriptionServesAllWatchersOfAKey(t *testing.T) {
	m := miniredis.RunT(t)
	b, client := brokerOn(t, redis.Options{Addr: m.Addr()})
	channel := "mcps:{fleet}:n:log"
	subscribers := func() int64 {
		n, err := client.PubSubNumSub(t.Context(), channel).Result()
		if err != nil {
			t.Fatal(err)
		}
		return n[channel]
	}
	until := func(what string, condition func() bool) {
		t.Helper()
		for range 500 {
			if condition() {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("waited in vain until %s", what)
	}
	isWoken := func(woken chan struct{}) func() bool {
		return func() bool { return len(woken) == 1 }
	}
	first, second := make(chan struct{}, 1), make(chan struct{}, 1)
	for round := range 3 {
		stopFirst := b.Watch(log1, first)
		until("the subscription wakes the first watcher", isWoken(first))
		stopSecond := b.Watch(log1, second)
		if !isWoken(second)() {
			t.Error("a watcher of a key that is watched already is not woken at once")
		}
		<-first
		<-second
		for range 5 { // nobody receives: the wake-ups become one
			appendTo(t, b, log1, "x", keep)
		}
		until("the watchers are woken", func() bool { return isWoken(first)() && isWoken(second)() })
		time.Sleep(20 * time.Millisecond)
		<-first
		<-second
		stopFirst()
		appendTo(t, b, log1, "x", keep)
		until("the second watcher is woken", isWoken(second))
		if isWoken(first)() {
			t.Error("a stopped watcher was woken")
		}
		<-second
		if got := subscribers(); got != 1 {
			t.Errorf("round %d: %d subscriptions for two watchers", round, got)
		}
		stopSecond()
		until("the subscription is ended", func() bool { return subscribers() == 0 })
	}
}

func TestNilAndEmptyValuesDiffer(t *testing.T) {
	m := miniredis.RunT(t)
	b, _ := brokerOn(t, redis.Options{Addr: m.Addr()})
	cell := mcpsession.Key{Ref: mcpsession.NewSessionID().Ref(), Name: "cell"}
	empty := []byte{}
	for i, step := range []struct{ old, next, want []byte }{
		{nil, nil, nil},
		{empty, []byte("x"), nil},
		{nil, empty, empty},
		{nil, []byte("x"), empty},
		{nil, nil, empty},
		{empty, []byte("x"), []byte("x")},
		{empty, nil, []byte("x")},
		{[]byte("x"), empty, empty},
		{empty, nil, nil},
		{nil, nil, nil},
	} {
		got := swap(t, b, cell, step.old, step.next)
		if !bytes.Equal(got, step.want) || (got == nil) != (step.want == nil) {
			t.Errorf("step %d: %#v, want %#v", i, got, step.want)
		}
	}
}

func TestWhatIsNotStorableIsInvalid(t *testing.T) {
	m := miniredis.RunT(t)
	b, _ := brokerOn(t, redis.Options{Addr: m.Addr()})
	bad := mcpsession.Key{Name: "a b"}
	_, errAppend := b.Append(t.Context(), bad, []byte("x"), keep)
	_, errEmpty := b.Append(t.Context(), log1, nil, keep)
	_, errKeep := b.Append(t.Context(), log1, []byte("x"), mcpsession.Retention{Events: 1})
	_, errRead := b.Read(t.Context(), bad, 0)
	_, errSwap := b.Swap(t.Context(), bad, nil, nil, 0)
	_, errTTL := b.Swap(t.Context(), log1, nil, []byte("x"), time.Microsecond)
	errDrop := b.Drop(t.Context(), bad)
	errMixed := b.Drop(t.Context(), log1, mcpsession.Key{Ref: mcpsession.NewSessionID().Ref(), Name: "x"})
	for i, err := range []error{errAppend, errEmpty, errKeep, errRead, errSwap, errTTL, errDrop, errMixed} {
		if !errors.Is(err, mcpsession.ErrInvalid) {
			t.Errorf("case %d: %v", i, err)
		}
	}
	if err := b.Drop(t.Context()); err != nil {
		t.Errorf("Drop of nothing: %v", err)
	}
}

func TestABrokerWorksAfterTheServerForgotItsScripts(t *testing.T) {
	m := miniredis.RunT(t)
	b, client := brokerOn(t, redis.Options{Addr: m.Addr()})
	cell := mcpsession.Key{Name: "cell"}
	for range 2 {
		for _, call := range []func(){
			func() { appendTo(t, b, log1, "event", keep) },
			func() { read(t, b, log1, 0) },
			func() { swap(t, b, cell, nil, []byte("value")) },
			func() { swap(t, b, cell, nil, nil) },
			func() {
				if err := b.Drop(t.Context(), log1, cell); err != nil {
					t.Error(err)
				}
			},
		} {
			if err := client.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			call()
		}
	}
}
