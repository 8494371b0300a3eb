package redisstore

import (
	_ "embed"

	"github.com/redis/go-redis/v9"
)

// The sources say what each script takes and returns. They declare every key
// they touch, all of one slot, and take the time from the server alone. A server
// that lost its script cache is sent the source again by [redis.Script.Run].
var (
	//go:embed scripts/record.lua
	recordSource string
	//go:embed scripts/create.lua
	createSource string
	//go:embed scripts/touch.lua
	touchSource string
	//go:embed scripts/update.lua
	updateSource string
	//go:embed scripts/delete.lua
	deleteSource string
)

type scripts struct{ create, touch, update, delete *redis.Script }

func loadScripts() scripts {
	load := func(source string) *redis.Script { return redis.NewScript(recordSource + source) }
	return scripts{
		create: load(createSource),
		touch:  load(touchSource),
		update: load(updateSource),
		delete: load(deleteSource),
	}
}
