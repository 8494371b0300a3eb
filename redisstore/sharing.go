package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxWait is how long a command waits for others at most. It waits only while
	// another one is under way, so at most until that is answered, too.
	maxWait = 200 * time.Microsecond

	// maxTogether bounds the commands of one round trip.
	maxTogether = 128
)

// sharing is a client whose callers share round trips when there are many: most
// of what a small command costs, on both sides, is writing to and reading from
// its connection. A command that comes while no other is under way goes by
// itself, as without it.
//
// Each command has its own outcome, and each caller's context ends the wait for
// it, but not the command.
type sharing struct {
	redis.UniversalClient

	mu      sync.Mutex
	trips   int // under way
	waiting []*shared
	since   time.Time   // when the first of them came
	timer   *time.Timer // for when it has waited long enough
}

// shared is a command that waits for others.
type shared struct {
	cmd  redis.Cmder
	done chan struct{}
}

func newSharing(client redis.UniversalClient) *sharing {
	s := &sharing{UniversalClient: client}
	s.timer = time.AfterFunc(maxWait, s.hurry) // nobody waits yet
	return s
}

// Get is GET, in a round trip that may be shared.
func (s *sharing) Get(ctx context.Context, key string) *redis.StringCmd {
	cmd := redis.NewStringCmd(ctx, "get", key)
	if err := s.do(ctx, cmd); err != nil {
		cmd = redis.NewStringCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

// EvalSha is EVALSHA, in a round trip that may be shared.
func (s *sharing) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", sha1, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	cmd.SetFirstKeyPos(3)
	if err := s.do(ctx, cmd); err != nil {
		cmd = redis.NewCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

// do executes a command, whose outcome it then has. An error means that ctx
// ended before, and that cmd must not be looked at.
func (s *sharing) do(ctx context.Context, cmd redis.Cmder) error {
	q, alone := s.enter(cmd)
	if alone {
		_ = s.Process(ctx, cmd) // which is in cmd, too
		s.leave()
		return nil
	}
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter says whether cmd goes to the server by itself; else it is done when what
// is returned says so.
func (s *sharing) enter(cmd redis.Cmder) (q *shared, alone bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trips == 0 {
		s.trips++
		return nil, true
	}
	if len(s.waiting) == 0 {
		s.since = time.Now()
		s.timer.Reset(maxWait)
	}
	q = &shared{cmd, make(chan struct{})}
	s.waiting = append(s.waiting, q)
	return q, false
}

// leave ends a round trip, after which those that wait go on theirs.
func (s *sharing) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) > 0 {
		go s.carry()
	} else {
		s.trips--
	}
}

// hurry makes another round trip if somebody waits for too long.
func (s *sharing) hurry() {
	s.mu.Lock()
	late := len(s.waiting) > 0 && time.Since(s.since) >= maxWait
	if late {
		s.trips++
	}
	s.mu.Unlock()
	if late {
		s.carry()
	}
}

// carry makes round trips for those that wait, until nobody does.
func (s *sharing) carry() {
	for {
		together := s.take()
		if len(together) == 0 {
			return
		}
		// The client's own time limits end this.
		_, _ = s.Pipelined(context.Background(), func(p redis.Pipeliner) error {
			for _, q := range together {
				_ = p.Process(context.Background(), q.cmd)
			}
			return nil
		}) // the outcomes are in the commands
		for _, q := range together {
			close(q.done)
		}
	}
}

// take takes those that waited longest out of the queue, or ends a round trip if
// nobody waits.
func (s *sharing) take() (together []*shared) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.waiting), maxTogether)
	together, s.waiting = s.waiting[:n:n], s.waiting[n:]
	if n == 0 {
		s.trips--
	}
	if len(s.waiting) > 0 {
		s.timer.Reset(maxWait)
	} else {
		s.waiting = nil
	}
	return together
}
