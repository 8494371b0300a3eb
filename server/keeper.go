package server

import (
	"context"
	"time"

	"github.com/mcpsession/mcpsession"
)

// keepAtMost bounds how rarely an open stream touches its session, which is also
// how long it may go on when the session's end was not heard of.
const keepAtMost = time.Minute

// keeper keeps a session alive while a stream of it is open.
type keeper struct {
	store mcpsession.SessionStore
	id    mcpsession.ID
	every time.Duration
	last  time.Time
}

func newKeeper(store mcpsession.SessionStore, live *mcpsession.Live, session mcpsession.Session) *keeper {
	return &keeper{store: store, id: live.ID(), every: min(session.IdleTimeout/3, keepAtMost), last: time.Now()}
}

// touch uses the session, if it is time. ErrNotFound says that it ended.
func (k *keeper) touch(ctx context.Context) error {
	if time.Since(k.last) < k.every {
		return nil
	}
	_, err := k.store.Get(ctx, k.id)
	if err == nil {
		k.last = time.Now()
	}
	return err
}
