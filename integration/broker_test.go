package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/internal/redisharness"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/mcpsession/mcpsession/storetest"
	"github.com/redis/go-redis/v9"
)

// The contract that redisstore.Broker keeps on an emulated server, kept on a real
// one.
func TestBrokerContractOnRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	storetest.RunBroker(t, storetest.BrokerHarness{
		RealTime: true,
		TTL:      4 * time.Second, // twice the least, since other tests run meanwhile
		New: func(t *testing.T) storetest.BrokerStorage {
			return redisharness.NewBrokerStorage(t, redis.Options{Addr: server.Addr()})
		},
	})
}

// openBroker opens a broker as a replica does.
func openBroker(t testing.TB, store *redisstore.Store) *redisstore.Broker {
	t.Helper()
	broker, err := redisstore.NewBroker(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	return broker
}

var keepAll = mcpsession.Retention{Events: 100_000, For: time.Hour}

// Three replicas, 200 logs: everybody hears of everything, once, in order, and
// soon.
func TestManyLogsAndWatchersOnThreeReplicas(t *testing.T) {
	server := redistest.Start(t)
	const logs, appenders, each = 200, 20, 100
	var brokers []*redisstore.Broker
	for range 3 {
		brokers = append(brokers, openBroker(t, open(t, server.URL(), nil)))
	}
	keys := make([]mcpsession.Key, logs)
	for i := range keys {
		keys[i] = mcpsession.Key{Ref: mcpsession.NewSessionID().Ref(), Name: "log"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	var mu sync.Mutex
	var latencies []time.Duration
	var reads int
	seen := make(map[string]int) // by event
	var ready, watchers sync.WaitGroup
	for _, b := range brokers {
		for i, key := range keys {
			ready.Add(1)
			watchers.Go(func() {
				woken := make(chan struct{}, 1)
				defer b.Watch(key, woken)()
				want := appenders * each / logs
				var after mcpsession.Position
				for n, began := 0, false; n < want; began = true {
					select {
					case <-woken:
					case <-ctx.Done():
						t.Errorf("log %d: %d events of %d were heard of", i, n, want)
						return
					}
					now := time.Now()
					page, err := b.Read(ctx, key, after)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					reads++
					for _, e := range page.Events {
						var by, number int
						var sent int64
						if _, err := fmt.Sscan(string(e.Data), &by, &number, &sent); err != nil {
							t.Error(err)
						}
						seen[fmt.Sprint(by, " ", number)]++
						latencies = append(latencies, now.Sub(time.Unix(0, sent)))
						after = e.Position
						n++
					}
					mu.Unlock()
					if !began {
						ready.Done()
					}
				}
			})
		}
	}
	ready.Wait()

	var sending sync.WaitGroup
	for by := range appenders {
		sending.Go(func() {
			for number := range each {
				key := keys[(by*logs/appenders+number)%logs]
				event := fmt.Append(nil, by, " ", number, " ", time.Now().UnixNano())
				if _, err := brokers[(by+number)%3].Append(ctx, key, event, keepAll); err != nil {
					t.Error(err)
				}
				time.Sleep(30 * time.Millisecond)
			}
		})
	}
	sending.Wait()
	watchers.Wait()
	if len(seen) != appenders*each {
		t.Errorf("%d events were seen, want %d", len(seen), appenders*each)
	}
	for event, n := range seen {
		if n != 3 {
			t.Errorf("event %s was seen %d times on 3 replicas", event, n)
		}
	}
	slices.Sort(latencies)
	at := func(share float64) time.Duration { return latencies[int(share*float64(len(latencies)-1))] }
	t.Logf("from before Append until awake: median %v, p99 %v, most %v; %d wake-ups for %d events on each of 3 replicas",
		at(0.5), at(0.99), at(1), reads, appenders*each)
}

func TestAWatcherCostsLittle(t *testing.T) {
	server := redistest.Start(t)
	b := openBroker(t, open(t, server.URL(), nil))
	const n = 5000
	woken := make([]chan struct{}, n)
	stops := make([]func(), n)
	keys := make([]mcpsession.Key, n)
	for i := range keys {
		keys[i] = mcpsession.Key{Ref: mcpsession.NewSessionID().Ref(), Name: "mailbox"}
		woken[i] = make(chan struct{}, 1)
	}
	heap := func() (bytes uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	began := time.Now()
	for i := range keys {
		stops[i] = b.Watch(keys[i], woken[i])
	}
	called := time.Since(began)
	for i := range woken {
		select {
		case <-woken[i]:
		case <-time.After(10 * time.Second):
			t.Fatalf("watcher %d of %d was not woken", i, n)
		}
	}
	t.Logf("%d watchers: %d bytes each, %d goroutines; Watch took %v for all, %v until all were subscribed",
		n, (heap()-before)/n, runtime.NumGoroutine()-goroutines, called, time.Since(began))
	if each := (heap() - before) / n; each > 1500 {
		t.Errorf("a watcher takes %d bytes", each)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 10 {
		t.Errorf("%d watchers take %d goroutines", n, more)
	}
	// A broken connection wakes everybody.
	client := server.Client()
	if err := client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	for i := range woken {
		select {
		case <-woken[i]:
		case <-time.After(10 * time.Second):
			t.Fatalf("watcher %d of %d was not woken after the connection broke", i, n)
		}
	}
	t.Logf("%v after the connection broke all were subscribed again", time.Since(began))
	for _, stop := range stops {
		stop()
	}
	if err := poll.Until(10*time.Second, func() error {
		channels, err := client.PubSubChannels(t.Context(), "mcps:{*").Result()
		if err == nil && len(channels) > 0 {
			err = fmt.Errorf("%d subscriptions are left", len(channels))
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestAFullRedisIsAnOutageForBrokersThatWrite(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory-policy", "noeviction")
	b := openBroker(t, open(t, server.URL(), nil))
	log, cell := mcpsession.Key{Name: "log"}, mcpsession.Key{Name: "cell"}
	if _, err := b.Append(t.Context(), log, []byte("event"), keepAll); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Swap(t.Context(), cell, nil, []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	client := server.Client()
	if err := client.Set(t.Context(), "filler", strings.Repeat("x", 4<<20), time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "3mb").Err(); err != nil {
		t.Fatal(err)
	}
	_, errAppend := b.Append(t.Context(), log, []byte("event"), keepAll)
	_, errSwap := b.Swap(t.Context(), cell, []byte("value"), []byte("next"), time.Hour)
	for name, err := range map[string]error{"Append": errAppend, "Swap": errSwap} {
		if !errors.Is(err, mcpsession.ErrUnavailable) || !errors.Is(err, mcpsession.ErrFull) {
			t.Errorf("%s: %v, want ErrUnavailable that is ErrFull", name, err)
		}
	}
	if page, err := b.Read(t.Context(), log, 0); err != nil || page.Len != 1 {
		t.Errorf("Read: %+v, %v", page, err)
	}
	if value, err := b.Swap(t.Context(), cell, []byte("other"), []byte("next"), time.Hour); err != nil || string(value) != "value" {
		t.Errorf("Swap from a wrong value: %q, %v", value, err)
	}
	if value, err := b.Swap(t.Context(), cell, []byte("value"), nil, 0); err != nil || value != nil {
		t.Errorf("Swap that removes: %q, %v", value, err)
	}
	if err := b.Drop(t.Context(), log, cell); err != nil {
		t.Errorf("Drop: %v", err)
	}
}

func TestAUserWithoutTheRightToSubscribeIsToldAtOnce(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	if err := client.Do(t.Context(), "ACL", "SETUSER", "narrow", "on", ">secret", "~*", "+@all", "resetchannels").Err(); err != nil {
		t.Fatal(err)
	}
	store := open(t, strings.Replace(server.URL(), "redis://", "redis://narrow:secret@", 1), nil)
	_, err := redisstore.NewBroker(t.Context(), store)
	if err == nil || !strings.Contains(err.Error(), "NOPERM") || strings.Contains(err.Error(), "secret") {
		t.Errorf("NewBroker: %v", err)
	}
}

// On a cluster the keys of a call lie in one slot, and wake-ups reach the
// replicas whichever node they listen to.
func TestBrokersOnACluster(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	var nodes []*redistest.Server
	var addresses []string
	for i := range 3 {
		node := redistest.Start(t, "--cluster-enabled", "yes")
		nodes, addresses = append(nodes, node), append(addresses, node.Addr())
		if err := node.Client().ClusterAddSlotsRange(ctx, i*16384/3, (i+1)*16384/3-1).Err(); err != nil {
			t.Fatal(err)
		}
		host, port, _ := strings.Cut(nodes[0].Addr(), ":")
		if err := node.Client().ClusterMeet(ctx, host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range nodes {
		client := node.Client()
		if err := poll.Until(20*time.Second, func() error {
			info, err := client.ClusterInfo(ctx).Result()
			if err == nil && (!strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_known_nodes:3")) {
				err = errors.New(info)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	var brokers []*redisstore.Broker
	for range 3 {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses, ContextTimeoutEnabled: true})
		t.Cleanup(func() { client.Close() })
		store, err := redisstore.New(ctx, client, redisstore.Options{Limits: mcpsession.DefaultLimits()})
		if err != nil {
			t.Fatal(err)
		}
		brokers = append(brokers, openBroker(t, store))
	}
	for i := range 30 {
		ref := mcpsession.NewSessionID().Ref()
		if i%10 == 0 {
			ref = mcpsession.Ref{}
		}
		log, cell := mcpsession.Key{Ref: ref, Name: "log"}, mcpsession.Key{Ref: ref, Name: "cell"}
		var woken []chan struct{}
		for _, b := range brokers {
			w := make(chan struct{}, 1)
			t.Cleanup(b.Watch(log, w))
			woken = append(woken, w)
		}
		wakes := func(what string) {
			t.Helper()
			for j, w := range woken {
				select {
				case <-w:
				case <-time.After(10 * time.Second):
					t.Fatalf("key %d: broker %d is not woken by %s", i, j, what)
				}
			}
		}
		wakes("Watch")
		if _, err := brokers[i%3].Append(ctx, log, []byte("event"), keepAll); err != nil {
			t.Fatal(err)
		}
		wakes("Append")
		if page, err := brokers[(i+1)%3].Read(ctx, log, 0); err != nil || len(page.Events) != 1 {
			t.Fatalf("Read: %+v, %v", page, err)
		}
		if value, err := brokers[i%3].Swap(ctx, cell, nil, []byte("a"), time.Hour); err != nil || string(value) != "a" {
			t.Fatalf("Swap: %q, %v", value, err)
		}
		if err := brokers[(i+2)%3].Drop(ctx, log, cell); err != nil {
			t.Fatal(err)
		}
		wakes("Drop")
	}
	for _, b := range brokers {
		if alive, err := brokers[0].Alive(ctx, b.Replica()); err != nil || !alive {
			t.Errorf("Alive: %t, %v", alive, err)
		}
	}
}

// A server that is frozen breaks no connection.
func TestBrokersOutliveAServerThatStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	var log bytes.Buffer
	b := openBroker(t, open(t, server.URL(), slog.New(slog.NewTextHandler(&log, nil))))
	other := openBroker(t, open(t, server.URL(), nil))
	key := mcpsession.Key{Name: "log"}
	woken := make(chan struct{}, 1)
	stop := b.Watch(key, woken)
	defer stop()
	<-woken
	server.Pause()
	time.Sleep(5 * time.Second)
	server.Resume()
	event := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := other.Append(ctx, key, []byte("event"), keepAll)
		return err
	}
	if err := poll.Until(20*time.Second, event); err != nil {
		t.Fatal(err)
	}
	select {
	case <-woken:
	case <-time.After(20 * time.Second):
		t.Error("not woken after the server went on")
	}
	if err := poll.Until(10*time.Second, func() error {
		alive, err := other.Alive(t.Context(), b.Replica())
		if err == nil && !alive {
			err = errors.New("not alive")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := b.Close(); err != nil { // so that nobody writes to the log any more
		t.Error(err)
	}
	if !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the outage was not told:\n%s", &log)
	}
}
