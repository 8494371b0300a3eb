package redisstore

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/mcpsession/mcpsession"
)

// touchedSize bounds the memory of recent touches, at about 150 bytes each.
const touchedSize = 1 << 16

// touched remembers which sessions this replica touched within the last
// sixteenth of their idle timeout, or the last minute if that is shorter. Each
// touch gives a session a sixteenth more than its idle timeout, so until that is
// used up a read need not write: a plain GET keeps the promise. The minute bounds
// for how long a touch is relied on that a failover, or a restore from an older
// snapshot, has undone. A session it does not know is simply touched.
type touched struct {
	recent *lru.Cache[mcpsession.Ref, touch]
}

// maxWindow bounds how long a touch is relied on.
const maxWindow = time.Minute

type touch struct {
	sent     time.Time // before the touch was done, by this process's clock
	received time.Time // after it
	server   time.Time // when it was done, by the server's clock
	window   time.Duration
}

func newTouched() (touched, error) {
	recent, err := lru.New[mcpsession.Ref, touch](touchedSize)
	return touched{recent}, err
}

// remember notes a touch that was sent at the given time, done at server, and
// just acknowledged.
func (t touched) remember(ref mcpsession.Ref, sent, server time.Time, idle time.Duration) {
	t.recent.Add(ref, touch{sent: sent, received: time.Now(), server: server, window: min(slack(idle), maxWindow)})
}

func (t touched) forget(ref mcpsession.Ref) { t.recent.Remove(ref) }

// now reports whether ref was touched recently enough, and what the server's
// clock says now, as far as can be told from here, and never more.
func (t touched) now(ref mcpsession.Ref) (server time.Time, recent bool) {
	last, ok := t.recent.Get(ref)
	if !ok {
		return time.Time{}, false
	}
	// The monotonic clock stands still while the machine is suspended.
	ago := max(time.Since(last.sent), time.Now().Round(0).Sub(last.sent.Round(0)))
	return last.server.Add(time.Since(last.received).Truncate(time.Millisecond)), ago < last.window
}
