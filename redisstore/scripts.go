package redisstore

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// The sources say what each script takes and returns. They declare every key
// they touch, all of one slot, and take the time from the server alone. A server
// that lost its script cache is sent the source again by [redis.Script.Run].
var (
	//go:embed scripts/record.lua
	recordSource string
	//go:embed scripts/record_write.lua
	recordWriteSource string
	//go:embed scripts/create.lua
	createSource string
	//go:embed scripts/touch.lua
	touchSource string
	//go:embed scripts/update.lua
	updateSource string
	//go:embed scripts/share.lua
	shareSource string
	//go:embed scripts/delete.lua
	deleteSource string
)

type scripts struct{ create, touch, update, share, delete *redis.Script }

func loadScripts() scripts {
	return scripts{
		create: redis.NewScript(recordSource + recordWriteSource + createSource),
		touch:  redis.NewScript(recordSource + touchSource),
		update: redis.NewScript(recordSource + recordWriteSource + updateSource),
		share:  redis.NewScript(recordSource + shareSource),
		delete: redis.NewScript(recordSource + recordWriteSource + deleteSource),
	}
}

// answer is what every script returns.
type answer struct {
	outcome string
	value   string
	time    time.Time
}

// The outcomes; scripts/record.lua says what they mean.
const (
	done    = "done"
	absent  = "absent"
	exists  = "exists"
	differs = "differs"
)

// run runs a script on the session that id names. An error means that the
// outcome is not known.
func (s *Store) run(ctx context.Context, script *redis.Script, id mcpsession.ID, args ...any) (answer, error) {
	ref := id.Ref()
	args = append([]any{ref.String(), encodeDigest(id.Digest())}, args...)
	reply, err := script.Run(ctx, s.client, []string{s.keys.session(ref), s.keys.index(bucketOf(ref))}, args...).Slice()
	if err != nil {
		return answer{}, storageError(err)
	}
	if len(reply) == 4 {
		about, _ := reply[0].(string)
		outcome, isText := reply[1].(string)
		value, isValue := reply[2].(string)
		millisecond, isTime := reply[3].(int64)
		// The ref shows that this is the reply to this call (see decode).
		if about == ref.String() && isText && isValue && isTime {
			return answer{outcome, value, millis(millisecond)}, nil
		}
	}
	return answer{}, storageError(errors.New("a script's reply is not to what was asked"))
}

// unexpected is for an outcome that the script cannot have.
func (a answer) unexpected() error { return fmt.Errorf("unexpected outcome %q of a script", a.outcome) }
