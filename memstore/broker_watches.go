package memstore

import (
	"github.com/mcpsession/mcpsession"
	"github.com/puzpuzpuz/xsync/v4"
)

// watches are who is to be woken, by key. They too are locked by Compute, under
// which nothing is done that waits.
type watches struct {
	byKey *xsync.Map[mcpsession.Key, map[*watch]struct{}]
}

type watch struct{ woken chan<- struct{} }

func (w *watch) wake() {
	select {
	case w.woken <- struct{}{}:
	default: // nobody receives, or one that will has not yet
	}
}

func newWatches() watches {
	return watches{byKey: xsync.NewMap[mcpsession.Key, map[*watch]struct{}]()}
}

// begin wakes the watcher once, when it is sure to be found by whoever makes a
// change from then on: one made shortly before may have found no watch to wake.
func (all watches) begin(key mcpsession.Key, woken chan<- struct{}) (stop func()) {
	w := &watch{woken}
	all.byKey.Compute(key, func(of map[*watch]struct{}, loaded bool) (map[*watch]struct{}, xsync.ComputeOp) {
		if loaded {
			of[w] = struct{}{}
			return of, xsync.CancelOp
		}
		return map[*watch]struct{}{w: {}}, xsync.UpdateOp
	})
	w.wake()
	return func() {
		all.byKey.Compute(key, func(of map[*watch]struct{}, loaded bool) (map[*watch]struct{}, xsync.ComputeOp) {
			delete(of, w)
			if loaded && len(of) == 0 {
				return nil, xsync.DeleteOp
			}
			return of, xsync.CancelOp
		})
	}
}

// wake is called after a change was made, so that a watcher who looks then sees
// it.
func (all watches) wake(key mcpsession.Key) {
	if _, watched := all.byKey.Load(key); !watched {
		return
	}
	all.byKey.Compute(key, func(of map[*watch]struct{}, _ bool) (map[*watch]struct{}, xsync.ComputeOp) {
		for w := range of {
			w.wake()
		}
		return of, xsync.CancelOp
	})
}

func (all watches) wakeAll() {
	for key := range all.byKey.All() {
		all.wake(key)
	}
}
