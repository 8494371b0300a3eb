// Package poll waits for something to become true, with a bound.
package poll

import (
	"errors"
	"fmt"
	"time"
)

// Every is the pause between two attempts.
const Every = 10 * time.Millisecond

// Until calls try until it returns nil, for at most timeout, and then returns
// the last attempt's error. An attempt that is under way is not interrupted:
// what try does must have a bound of its own. An error wrapped by Stop ends
// the wait at once.
func Until(timeout time.Duration, try func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := try()
		if err == nil {
			return nil
		}
		var stop stopError
		if errors.As(err, &stop) {
			return stop.error
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %w", timeout, err)
		}
		time.Sleep(Every)
	}
}

// Stop marks an error as final: Until returns it without another attempt.
func Stop(err error) error { return stopError{err} }

type stopError struct{ error }

func (e stopError) Unwrap() error { return e.error }
