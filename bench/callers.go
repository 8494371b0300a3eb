package main

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// An operation is one call of one caller. step counts that caller's calls.
type operation func(caller, step int) error

// work lets some callers repeat an operation for about d, each as fast as it
// can, and returns how many calls were made and how long that really took.
func work(callers int, d time.Duration, op operation) (calls int, took time.Duration, err error) {
	var stop atomic.Bool
	counts := make([]int, callers)
	errs := make([]error, callers)
	var group sync.WaitGroup
	began := time.Now()
	for caller := range callers {
		group.Go(func() {
			step := 0
			for ; !stop.Load(); step++ {
				if errs[caller] = op(caller, step); errs[caller] != nil {
					stop.Store(true)
					break
				}
			}
			counts[caller] = step
		})
	}
	time.AfterFunc(d, func() { stop.Store(true) })
	group.Wait()
	took = time.Since(began)
	for _, n := range counts {
		calls += n
	}
	return max(calls, 1), took, errors.Join(errs...)
}

// all calls do for 0 to n-1, spread over some callers.
func all(callers, n int, do func(i int) error) error {
	var next atomic.Int64
	errs := make([]error, callers)
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for errs[caller] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[caller] = do(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
