// Package redisharness makes the storage on which the store contract is run
// against Redis, with a network between store and server that can fail.
package redisharness

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/mcpsession/mcpsession/storetest"
	"github.com/redis/go-redis/v9"
)

// NewStorage returns an empty storage under a prefix of its own on the server
// that options reach. Each store opened on it has its own client and network.
func NewStorage(t *testing.T, options redis.Options) storetest.Storage {
	options.ContextTimeoutEnabled = true
	options.DialerRetries = 1
	direct := redis.NewClient(&options)
	t.Cleanup(func() { direct.Close() })
	s := &storage{direct: direct, prefix: "test:" + rand.Text()[:8]}
	return storetest.Storage{
		Open: func(t *testing.T, limits mcpsession.Limits) mcpsession.SessionStore {
			return s.open(t, options, limits)
		},
		Outage: func(*testing.T) func() {
			for _, n := range s.networks {
				n.fail(true)
			}
			return func() {
				for _, n := range s.networks {
					n.fail(false)
				}
			}
		},
		LoseReply: func(_ *testing.T, nth int, during func()) { s.networks[0].loseReply(nth, during) },
		Upgrade:   s.upgrade,
		Always:    s.always,
		AtRest:    s.atRest,
	}
}

type storage struct {
	direct   *redis.Client // past all faults
	prefix   string
	networks []*network // one for each store, in order of opening
}

func (s *storage) open(t *testing.T, options redis.Options, limits mcpsession.Limits) mcpsession.SessionStore {
	t.Helper()
	n := newNetwork(options.Dialer)
	s.networks = append(s.networks, n)
	options.Dialer = n.dial
	client := redis.NewClient(&options)
	t.Cleanup(func() { client.Close() })
	store, err := redisstore.New(t.Context(), client, redisstore.Options{Limits: limits, Prefix: s.prefix})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// upgrade gives the session a schema version that no release has.
func (s *storage) upgrade(t *testing.T, ref mcpsession.Ref) func(*testing.T) {
	t.Helper()
	keys, err := s.keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if !strings.HasSuffix(key, ":s:"+ref.String()) {
			continue
		}
		_, rest, _ := strings.Cut(s.direct.Get(t.Context(), key).Val(), " ")
		newer := "999 " + rest
		if err := s.direct.SetArgs(t.Context(), key, newer, redis.SetArgs{KeepTTL: true}).Err(); err != nil {
			t.Fatal(err)
		}
		return func(t *testing.T) {
			if got := s.direct.Get(t.Context(), key).Val(); got != newer {
				t.Errorf("a value of a newer schema was changed to %q", got)
			}
		}
	}
	t.Fatalf("session %s is not stored", ref)
	return nil
}

func (s *storage) keys(ctx context.Context) ([]string, error) {
	var keys []string
	for it := s.direct.Scan(ctx, 0, s.prefix+":*", 1000).Iterator(); ; {
		if !it.Next(ctx) {
			return keys, it.Err()
		}
		keys = append(keys, it.Val())
	}
}

// always checks that every key has a TTL.
func (s *storage) always(ctx context.Context) error {
	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}
	for _, key := range keys {
		ttl, err := s.direct.PTTL(ctx, key).Result()
		if err != nil {
			return err
		}
		if ttl == -1 {
			return fmt.Errorf("key %s has no TTL", key)
		}
	}
	return nil
}

// atRest checks that the keys and the index are those of the live sessions.
func (s *storage) atRest(ctx context.Context, live []mcpsession.Ref) error {
	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}
	stored, indexed := make(map[string]time.Duration), make(map[string]time.Duration)
	for _, key := range keys {
		bucket, kind, _ := strings.Cut(strings.TrimPrefix(key, s.prefix+":"), ":")
		if ref, isSession := strings.CutPrefix(kind, "s:"); isSession {
			deadline, err := s.direct.PExpireTime(ctx, key).Result()
			if err != nil {
				return err
			}
			stored[bucket+ref] = deadline
			continue
		}
		members, err := s.direct.ZRangeWithScores(ctx, key, 0, -1).Result()
		if err != nil {
			return err
		}
		for _, m := range members {
			indexed[bucket+m.Member.(string)] = time.Duration(m.Score) * time.Millisecond
		}
	}
	// Some may have ended since they were read.
	now, err := s.direct.Time(ctx).Result()
	if err != nil {
		return err
	}
	ended := func(_ string, deadline time.Duration) bool { return deadline.Milliseconds() <= now.UnixMilli() }
	maps.DeleteFunc(stored, ended)
	maps.DeleteFunc(indexed, ended)
	if !maps.Equal(stored, indexed) {
		return fmt.Errorf("the sessions' deadlines are %v, those in the index %v", stored, indexed)
	}
	if len(stored) != len(live) {
		return fmt.Errorf("%d sessions are stored, %d should be alive", len(stored), len(live))
	}
	return nil
}
