package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxWait is how long a command waits for others, as long as there are fewer
	// than maxTrips round trips. It waits only while another one is under way, so
	// at most until that is answered, too.
	maxWait = 200 * time.Microsecond

	maxTogether = 128 // commands of one round trip, at most
	maxTrips    = 64  // round trips at once; more only wait for the same server
)

// batching is a client whose callers share round trips when there are many: most
// of what a small command costs, on both sides, is writing to and reading from
// its connection. A command that comes while no other is under way goes by
// itself, as without it.
//
// Each command has its own outcome, and each caller's context ends the wait for
// it, but not a command that is on its way.
//
// Only a client of one server batches: that of a cluster would have the callers
// of all its nodes wait for the slowest.
type batching struct {
	redis.UniversalClient
	alone bool // it does not batch

	mu      sync.Mutex
	trips   int // one for each carry that runs and each command that goes by itself
	waiting []*batched
	since   time.Time   // when the first of them came
	timer   *time.Timer // for when it has waited long enough
}

// batched is a command that waits for others.
type batched struct {
	ctx  context.Context
	cmd  redis.Cmder
	done chan struct{}
}

func newBatching(client redis.UniversalClient) *batching {
	_, one := client.(*redis.Client)
	b := &batching{UniversalClient: client, alone: !one}
	b.timer = time.AfterFunc(maxWait, b.hurry) // nobody waits yet
	return b
}

// Get is GET, in a round trip that others may share.
func (b *batching) Get(ctx context.Context, key string) *redis.StringCmd {
	cmd := redis.NewStringCmd(ctx, "get", key)
	if err := b.do(ctx, cmd); err != nil {
		cmd = redis.NewStringCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

// EvalSha is EVALSHA, in a round trip that others may share.
func (b *batching) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, "evalsha", sha1, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	cmd.SetFirstKeyPos(3)
	if err := b.do(ctx, cmd); err != nil {
		cmd = redis.NewCmd(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

// do executes a command, whose outcome it then has. An error means that ctx
// ended before, and that cmd must not be looked at.
func (b *batching) do(ctx context.Context, cmd redis.Cmder) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if b.alone {
		_ = b.Process(ctx, cmd) // the outcome is in cmd, too
		return nil
	}
	q := b.enter(ctx, cmd)
	if q == nil {
		_ = b.Process(ctx, cmd)
		b.leave()
		return nil
	}
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter returns nil if cmd goes to the server by itself; else it is done when
// what is returned says so.
func (b *batching) enter(ctx context.Context, cmd redis.Cmder) *batched {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trips == 0 {
		b.trips++
		return nil
	}
	if len(b.waiting) == 0 {
		b.since = time.Now()
		b.timer.Reset(maxWait)
	}
	q := &batched{ctx, cmd, make(chan struct{})}
	b.waiting = append(b.waiting, q)
	return q
}

// leave ends the round trip of a command that went by itself, or has it go on
// for those that wait.
func (b *batching) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 {
		go b.carry()
	} else {
		b.trips--
	}
}

// hurry makes another round trip if somebody waits for too long.
func (b *batching) hurry() {
	b.mu.Lock()
	late := len(b.waiting) > 0 && time.Since(b.since) >= maxWait && b.trips < maxTrips
	if late {
		b.trips++
	}
	b.mu.Unlock()
	if late {
		b.carry()
	}
}

// carry makes round trips for those that wait, until nobody does.
func (b *batching) carry() {
	for {
		together := b.nextBatch()
		if len(together) == 0 {
			return
		}
		// The client's own time limits end this.
		_, _ = b.Pipelined(context.Background(), func(p redis.Pipeliner) error {
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

// nextBatch takes those that waited longest out of the queue, but for those who
// gave up, or ends a round trip if nobody waits.
func (b *batching) nextBatch() (together []*batched) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for ; n < len(b.waiting) && len(together) < maxTogether; n++ {
		if q := b.waiting[n]; q.ctx.Err() == nil {
			together = append(together, q)
		}
	}
	b.waiting = b.waiting[n:]
	if len(together) == 0 {
		b.trips--
	}
	if len(b.waiting) > 0 {
		b.timer.Reset(maxWait)
	} else {
		b.waiting = nil
	}
	return together
}
