package redisstore

import (
	"fmt"
	"strings"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// storageError turns an error of the client into one of the contract's. The
// caller's own context error stays visible through it.
func storageError(err error) error {
	if redis.HasErrorPrefix(err, "OOM") {
		return fmt.Errorf("%w: the Redis server is at its maxmemory: raise it, or wait until sessions end: %w", mcpsession.ErrFull, err)
	}
	return fmt.Errorf("%w: %w", mcpsession.ErrUnavailable, err)
}

// isRefusal reports whether the server answered in a way that waiting will not
// change: wrong credentials, missing permissions, or a cluster's node.
func isRefusal(err error) bool {
	for _, prefix := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "ERR"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return strings.Contains(err.Error(), "x509:") || strings.Contains(err.Error(), "tls:")
}
