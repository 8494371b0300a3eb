package integration

import (
	"bytes"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/redis/go-redis/v9"
)

// What a broker's calls cost beside a bare XADD, each with 50 callers on 50 logs
// or cells.
func BenchmarkBroker(b *testing.B) {
	const callers = 50
	server := redistest.Start(b)
	store, err := redisstore.Open(b.Context(), server.URL(), redisstore.Options{Limits: mcpsession.DefaultLimits()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	broker := openBroker(b, store)
	options, err := redis.ParseURL(server.URL())
	if err != nil {
		b.Fatal(err)
	}
	options.PoolSize = 256
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	b.Cleanup(func() { client.Close() })

	keys := make([]mcpsession.Key, callers)
	for i := range keys {
		keys[i] = mcpsession.Key{Ref: mcpsession.NewSessionID().Ref(), Name: "key"}
	}
	event := bytes.Repeat([]byte("x"), 200)
	keep := mcpsession.Retention{Events: 1000, For: time.Hour}
	for _, call := range []struct {
		name string
		make func(caller, n int) error
	}{
		{"XADD", func(caller, n int) error {
			return client.XAdd(b.Context(), &redis.XAddArgs{
				Stream: fmt.Sprint("bare", caller), MaxLen: 1000, Approx: true, Values: []any{"d", event},
			}).Err()
		}},
		{"Append", func(caller, n int) error {
			_, err := broker.Append(b.Context(), keys[caller], event, keep)
			return err
		}},
		{"Swap", func(caller, n int) error {
			var old []byte
			if n > 0 {
				old = fmt.Append(nil, n-1)
			}
			value, err := broker.Swap(b.Context(), keys[caller], old, fmt.Append(nil, n), time.Hour)
			if err == nil && string(value) != fmt.Sprint(n) {
				err = fmt.Errorf("cell is %q at %d", value, n)
			}
			return err
		}},
		{"SwapReads", func(caller, n int) error {
			_, err := broker.Swap(b.Context(), keys[caller], nil, nil, 0)
			return err
		}},
		{"ReadNothing", func(caller, n int) error {
			_, err := broker.Read(b.Context(), keys[caller], 1<<63)
			return err
		}},
		{"Read100", func(caller, n int) error {
			_, err := broker.Read(b.Context(), keys[caller], 0)
			return err
		}},
	} {
		b.Run(call.name, func(b *testing.B) {
			for _, key := range keys {
				if call.name == "Swap" {
					if err := broker.Drop(b.Context(), key); err != nil {
						b.Fatal(err)
					}
				}
				if call.name == "ReadNothing" {
					for range 120 {
						if _, err := broker.Append(b.Context(), key, event, keep); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.SetParallelism(callers / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			var next atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				caller := int(next.Add(1)-1) % callers
				for n := 0; pb.Next(); n++ {
					if err := call.make(caller, n); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
