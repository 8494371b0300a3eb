package modern

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// counting counts the calls of slow that were cancelled. Fleets of its own, since
// the replicas count those of all clients.
type counting struct {
	t *testing.T
	f *fleet.Fleet
	c *mcptest.Modern
}

func (n counting) on(url string) int {
	n.t.Helper()
	count, err := strconv.Atoi(n.c.Call(url, "cancel_count", "{}"))
	if err != nil {
		n.t.Fatal(err)
	}
	return count
}

// want waits until B has cancelled so many calls, and no other replica any.
func (n counting) want(what string, cancelled int) {
	n.t.Helper()
	fleet.Eventually(n.t, func() error {
		if got := n.on(n.f.B); got != cancelled {
			return fmt.Errorf("%s: B counts %d cancelled calls, want %d", what, got, cancelled)
		}
		return nil
	})
	if n.f.Redis == nil {
		return
	}
	for _, url := range []string{n.f.A, n.f.C} {
		if got := n.on(url); got != 0 {
			n.t.Errorf("%s: %s counts %d cancelled calls", what, n.f.Name(url), got)
		}
	}
}

func TestClosingTheResponseCancelsTheCallAndNothingElseDoes(t *testing.T) {
	fleet.RunOwn(t, nil, func(t *testing.T, f *fleet.Fleet) {
		n := counting{t, f, mcptest.NewModern(t)}
		c := mcptest.NewModern(t)

		ctx, hangUp := context.WithCancel(t.Context())
		if a, err := c.TrySend(ctx, f.B, c.NewCall("1", "slow", `{"ms":60000}`)); err != nil || a.Stream == nil {
			t.Fatalf("slow is answered %+v, %v", a, err)
		}
		n.want("before its stream was closed", 0)
		hangUp()
		n.want("when its stream was closed", 1)

		// Before there is an answer at all: a client may give up before its request
		// has arrived, so it tries until one was cancelled.
		for patience := 100 * time.Millisecond; n.on(f.B) == 1; patience *= 2 {
			if patience > fleet.Soon {
				t.Fatal("a call whose client hung up before the answer began is not cancelled")
			}
			ctx, cancel := context.WithTimeout(t.Context(), min(patience, 800*time.Millisecond))
			if a, err := c.TrySend(ctx, f.B, c.NewCall("1", "slow", `{"ms":60000}`)); err == nil {
				t.Logf("slow is answered before the client hangs up: %d", a.Status)
			}
			cancel()
			time.Sleep(patience)
		}
		cancelled := n.on(f.B)
		nothingElseCancels(t, f)
		n.want("after what cancels nothing", cancelled)
	})
}

// nothingElseCancels has two clients of each era run a call with the same id on
// B while others say on all replicas that it is cancelled.
func nothingElseCancels(t *testing.T, f *fleet.Fleet) {
	const id = "5"
	call := mcptest.CallText(id, "slow", `{"ms":3500}`)
	var running sync.WaitGroup
	started := make(chan struct{}, 4)
	wantDone := func(what string, a *mcptest.Answer, err error) {
		if started <- struct{}{}; err != nil || a.Stream == nil {
			t.Errorf("slow of a %s client is answered %+v, %v", what, a, err)
			return
		}
		<-a.Stream.Ended()
		all := a.Stream.Arrived()
		if len(all) != 1 || len(all[0].Result) == 0 || all[0].Text(t) != "done "+f.Name(f.B) {
			t.Errorf("the call of a %s client ends with %v", what, all)
		}
	}
	for range 2 {
		c, s := mcptest.NewModern(t), mcptest.Begin(t, f.A, legacy, mcptest.NoCapabilities)
		running.Go(func() {
			a, err := c.TrySend(t.Context(), f.B, c.NewCall(id, "slow", `{"ms":3500}`))
			wantDone("modern", a, err)
		})
		running.Go(func() {
			a, err := s.TryPost(t.Context(), f.B, call)
			wantDone("legacy", a, err)
		})
	}
	for range cap(started) { // their answers are streams
		<-started
	}
	other, stranger := mcptest.NewModern(t), mcptest.Begin(t, f.C, legacy, mcptest.NoCapabilities)
	notification := func(meta string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s%s}}`, id, meta)
	}
	header := http.Header{"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"notifications/cancelled"}}
	for _, url := range f.URLs() {
		for _, meta := range []string{"", `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`} {
			a, err := other.TryPost(t.Context(), url, header, notification(meta))
			if err != nil || a.Status != http.StatusAccepted || len(a.Body) > 0 {
				t.Errorf("on %s notifications/cancelled is answered %+v, %v", f.Name(url), a, err)
			}
		}
		if a := stranger.Post(url, notification("")); a.Status != http.StatusAccepted {
			t.Errorf("on %s a legacy notifications/cancelled is answered %d", f.Name(url), a.Status)
		}
	}
	running.Wait()
}
