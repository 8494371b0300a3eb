package redisstore

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/mcpsession/mcpsession"
)

// touchedSize bounds the memory of recent touches, at about 150 bytes each.
const touchedSize = 1 << 16

// touched remembers which sessions this replica touched within the last
// sixteenth of their idle timeout. Each touch gives a session a sixteenth more
// than its idle timeout, so until that is used up a read need not write: a plain
// GET keeps the promise. A session it does not know is simply touched.
type touched struct {
	recent *lru.Cache[mcpsession.Ref, touch]
}

type touch struct {
	local  time.Time // when the touch was sent, by this process's monotonic clock
	server time.Time // when it was done, by the server's clock
	slack  time.Duration
}

func newTouched() (touched, error) {
	recent, err := lru.New[mcpsession.Ref, touch](touchedSize)
	return touched{recent}, err
}

// remember notes a touch that was sent at local and done at server.
func (t touched) remember(ref mcpsession.Ref, local, server time.Time, idle time.Duration) {
	t.recent.Add(ref, touch{local: local, server: server, slack: slack(idle)})
}

func (t touched) forget(ref mcpsession.Ref) { t.recent.Remove(ref) }

// now reports whether ref was touched recently enough, and what the server's
// clock says now, as far as can be told from here.
func (t touched) now(ref mcpsession.Ref) (server time.Time, recent bool) {
	last, ok := t.recent.Get(ref)
	if !ok {
		return time.Time{}, false
	}
	ago := time.Since(last.local)
	return last.server.Add(ago.Truncate(time.Millisecond)), ago < last.slack
}
