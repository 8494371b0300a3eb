package redisstore

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// What is said in scripts.go holds for these too. The Pub/Sub channels that they
// publish to need not be declared.
var (
	//go:embed scripts/once.lua
	onceSource string
	//go:embed scripts/append.lua
	appendSource string
	//go:embed scripts/swap.lua
	swapSource string
	//go:embed scripts/read.lua
	readSource string
	//go:embed scripts/cell.lua
	cellSource string
	//go:embed scripts/drop.lua
	dropSource string
)

type brokerScripts struct{ append, swap, read, cell, drop *redis.Script }

func loadBrokerScripts() brokerScripts {
	return brokerScripts{
		append: redis.NewScript(onceSource + appendSource),
		swap:   redis.NewScript(onceSource + swapSource),
		read:   redis.NewScript(readSource),
		cell:   redis.NewScript(cellSource),
		drop:   redis.NewScript(dropSource),
	}
}

// run runs a script and returns its reply. An error means that the outcome is
// not known.
func (b *Broker) run(ctx context.Context, script *redis.Script, keys []string, args ...any) ([]any, error) {
	// The number of the call shows that this is the reply to it (see decode).
	call := b.replica + "." + strconv.FormatUint(b.calls.Add(1), 10)
	reply, err := script.Run(ctx, b.client, keys, append([]any{call}, args...)...).Slice()
	if err != nil {
		return nil, err
	}
	if len(reply) == 0 || reply[0] != call {
		return nil, errReply
	}
	return reply[1:], nil
}

var errReply = errors.New("a script's reply is not to what was asked")

// brokerError is storageError for a broker, for which a full server is one that
// cannot be used. No error stands for a reply that makes no sense.
func brokerError(err error) error {
	if err == nil {
		err = errReply
	}
	if err = storageError(err); errors.Is(err, mcpsession.ErrFull) {
		return fmt.Errorf("%w: %w", mcpsession.ErrUnavailable, err)
	}
	return err
}
