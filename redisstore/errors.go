package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// storageError turns an error of the client into one of the contract's. A
// caller who gave up says nothing about the storage; one whose deadline passed
// did not get its answer in time.
func storageError(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if redis.HasErrorPrefix(err, "OOM") {
		return fmt.Errorf("%w: the Redis server is at its maxmemory: raise it, or wait until sessions end: %w", mcpsession.ErrFull, err)
	}
	return fmt.Errorf("%w: %w", mcpsession.ErrUnavailable, err)
}

// isRefusal reports whether the server answered in a way that waiting will not
// change, such as to wrong credentials.
func isRefusal(err error) bool {
	for _, prefix := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "AUTH ", "invalid password", "DB index"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	var certificate *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &certificate) || errors.As(err, &header) || errors.As(err, &alert)
}
