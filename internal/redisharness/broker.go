package redisharness

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/mcpsession/mcpsession/storetest"
	"github.com/redis/go-redis/v9"
)

// NewBrokerStorage is [NewStorage] for brokers.
func NewBrokerStorage(t *testing.T, options redis.Options) storetest.BrokerStorage {
	options.ContextTimeoutEnabled = true
	options.DialerRetries = 1
	direct := redis.NewClient(&options)
	t.Cleanup(func() { direct.Close() })
	s := &storage{direct: direct, prefix: "test:" + rand.Text()[:8]}
	networks := make(map[mcpsession.Broker]*network)
	killed := make(map[*network]bool)
	all := func(do func(*network, bool)) func() {
		for _, n := range s.networks {
			do(n, true)
		}
		return func() {
			for _, n := range s.networks {
				if !killed[n] {
					do(n, false)
				}
			}
		}
	}
	return storetest.BrokerStorage{
		Open: func(t *testing.T) mcpsession.Broker {
			t.Helper()
			store := s.open(t, options, mcpsession.DefaultLimits()).(*redisstore.Store)
			broker, err := redisstore.NewBroker(t.Context(), store)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { broker.Close() })
			networks[broker] = s.networks[len(s.networks)-1]
			return broker
		},
		Outage:      func(*testing.T) func() { return all((*network).fail) },
		LoseReply:   func(_ *testing.T, nth int, during func()) { s.networks[0].loseReply(nth, during) },
		LoseWakeups: func(*testing.T) func() { return all((*network).deafen) },
		Kill: func(_ *testing.T, broker mcpsession.Broker) {
			killed[networks[broker]] = true
			networks[broker].fail(true)
		},
		Always: s.always,
		AtRest: s.brokerAtRest,
	}
}

// remembered is for how long a broker remembers who changed something, and where
// a log ended that was dropped.
const remembered = time.Minute

// brokerAtRest checks that the keys are those of the live logs and cells, of
// replicas, and of what is remembered for a while.
func (s *storage) brokerAtRest(ctx context.Context, live []mcpsession.Key) error {
	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}
	missing := make(map[string]bool)
	for _, key := range live {
		missing[liveName(key)] = true
	}
	for _, key := range keys {
		slot, rest, _ := strings.Cut(strings.TrimPrefix(key, s.prefix+":"), ":")
		kind, name, _ := strings.Cut(rest, ":")
		ttl, err := s.direct.PTTL(ctx, key).Result()
		if err != nil {
			return err
		}
		empty := false
		if kind == "l" {
			n, err := s.direct.XLen(ctx, key).Result()
			if err != nil {
				return err
			}
			empty = n == 0
		}
		if slot == "{fleet}" {
			name = ":" + name
		}
		switch {
		case ttl == -2: // it has just ended
		case slot == "r" || (kind == "w" || empty) && ttl <= remembered:
		case (kind == "l" || kind == "c") && missing[name]:
			delete(missing, name)
		default:
			return fmt.Errorf("key %s should not exist, and does for %v", key, ttl)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("there is no log or cell for %v", missing)
	}
	return nil
}

// liveName is what the names of the keys of a log or cell end with.
func liveName(key mcpsession.Key) string {
	if key.Ref == (mcpsession.Ref{}) {
		return ":" + key.Name
	}
	return key.Ref.String() + ":" + key.Name
}
