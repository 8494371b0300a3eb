package modern

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

func TestWhenAReplicaStopsItsSubscriptionsEndWithTheirResultAndItsCallsAreDone(t *testing.T) {
	fleet.RunOwn(t, nil, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		lists := c.Subscribe(f.A, "1", everyChange)
		watching := c.Subscribe(f.A, `"watching"`, listenTo("test://watched-resource"))
		update(t, c, f.A, "test://watched-resource")
		wantUpdate(t, watching, "test://watched-resource")
		call, id := c.Start(f.A, "slow", `{"ms":2500}`)
		if code := f.Replica(f.A).Stop(); code != 0 {
			t.Errorf("the replica ends with exit code %d", code)
		}
		lists.WantResult()
		watching.WantResult()
		if final, _ := call.Final(id); final.Text(t) != "done "+f.Name(f.A) {
			t.Errorf("a call that ran is answered %s", final.Raw)
		}
	})
}

// While changes are made on C all the time, the replicas stop one after the
// other, as in a deploy, and a client listens elsewhere whenever its stream ends.
func TestAClientThatListensAgainMissesNoLaterChange(t *testing.T) {
	t.Parallel()
	f := fleet.StartReplicas(t)
	c, writer := mcptest.NewModern(t), mcptest.NewModern(t)
	uris := make([]string, 5000)
	for i := range uris {
		uris[i] = fmt.Sprintf("test://template/%d/data", i)
	}
	// What is told from the acknowledgement on is everything from some change on,
	// and that is not later than the next one to be made.
	listen := func(url string, made *atomic.Int64) (s *mcptest.Subscription, next int) {
		t.Helper()
		s = c.Subscribe(url, fmt.Sprintf(`"at %s"`, f.Name(url)), listenTo(uris...))
		latest := int(made.Load()) + 1 // one may be under way
		m := s.Tagged()
		for next = 0; next < len(uris) && m.Param("uri") != fmt.Sprintf("%q", uris[next]); next++ {
		}
		if next > latest {
			t.Errorf("on %s the client is told first of change %d, and had been acknowledged before %d", f.Name(url), next, latest)
		}
		return s, next + 1
	}
	var made atomic.Int64 // whose calls were answered
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range uris {
			select {
			case <-stop:
				return
			default:
			}
			a, err := writer.TrySend(t.Context(), f.C, writer.NewCall(fmt.Sprint(i), "resource_update", fmt.Sprintf(`{"uri":%q}`, uris[i])))
			if err != nil || a.Status != 200 {
				t.Errorf("change %d: %+v, %v", i, a, err)
				return
			}
			made.Add(1)
			time.Sleep(2 * time.Millisecond) // so that there are enough
		}
		t.Error("the client needed too long")
	})
	defer writing.Wait()
	defer close(stop)
	s, next := listen(f.A, &made)
	for i := range 2 {
		for range 20 {
			wantUpdate(t, s, uris[next])
			next++
		}
		var stopping sync.WaitGroup
		stopping.Go(func() { f.Replicas[i].Stop() })
		for { // what it is told until its end has no gap
			m := s.Next()
			if m.Method == "" {
				if string(m.ID) != s.ID || len(m.Result) == 0 {
					t.Errorf("subscription %s ends with %s", s.ID, m.Raw)
				}
				s.WantEnd()
				break
			}
			if m.Param("uri") != fmt.Sprintf("%q", uris[next]) {
				t.Fatalf("after change %d, subscription %s gets %s", next-1, s.ID, m.Raw)
			}
			next++
		}
		s, next = listen(f.URLs()[i+1], &made)
		stopping.Wait()
	}
	for range 20 {
		wantUpdate(t, s, uris[next])
		next++
	}
}
