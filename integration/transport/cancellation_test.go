package transport

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

func cancellation(id string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s,"reason":"changed my mind"}}`, id)
}

func TestACancellationOnOneReplicaStopsTheCallOnAnother(t *testing.T) {
	// Fleets of its own, since the replicas count what all sessions cancel.
	onOwnFleets(t, nil, func(t *testing.T, f *fleet) {
		cancelled := 0
		wantCount := func(what string) {
			t.Helper()
			counting := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
			eventually(t, func() error {
				if got := counting.Call(f.B, "cancel_count", "{}"); got != fmt.Sprint(cancelled) {
					return fmt.Errorf("%s: B counts %s cancelled calls, want %d", what, got, cancelled)
				}
				return nil
			})
			if f.Redis != nil {
				for _, url := range []string{f.A, f.C} {
					if got := counting.Call(url, "cancel_count", "{}"); got != "0" {
						t.Errorf("%s: %s counts %s cancelled calls", what, f.Name(url), got)
					}
				}
			}
		}
		var calling sync.WaitGroup
		for _, version := range versions {
			for _, at := range []string{f.C, f.A, f.B} {
				s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
				cancelled++
				calling.Go(func() {
					call, err := s.TryPost(t.Context(), f.B, mcptest.CallText("9", "slow", `{"ms":60000}`))
					if err != nil || call.Stream == nil {
						t.Errorf("%v: %+v", err, call)
						return
					}
					wantAccepted(s, at, cancellation("9"))
					<-call.Stream.Ended()
					call.Stream.WantEnd()
					if all := call.Stream.Arrived(); len(all) > 0 { // basic/utilities/cancellation
						t.Errorf("%s: a cancelled call is answered %s", version, all[0].Raw)
					}
				})
			}
		}
		calling.Wait()
		wantCount("each on a replica")

		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		// Before the answer becomes a stream, and with an id that is a string.
		answered := make(chan *mcptest.Answer, 1)
		go func() {
			a, err := s.TryPost(t.Context(), f.B, mcptest.CallText(`"early"`, "slow", `{"ms":60000}`))
			if err != nil {
				t.Error(err)
			}
			answered <- a
		}()
		eventually(t, func() error {
			wantAccepted(s, f.C, cancellation(`"early"`)) // of nothing, at first
			select {
			case a := <-answered:
				if a == nil || len(a.Body) > 0 || a.Stream != nil && len(a.Stream.Arrived()) > 0 {
					t.Errorf("a call that was cancelled at once is answered %+v", a)
				}
				return nil
			default:
				return fmt.Errorf("the call goes on")
			}
		})
		cancelled++
		wantCount("at once")

		// What cancels nothing.
		stranger := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		call, err := s.TryPost(t.Context(), f.B, mcptest.CallText("77", "slow", `{"ms":2500}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{f.A, f.B, f.C} {
			wantAccepted(stranger, at, cancellation("77")) // its own has that id
			wantAccepted(s, at, cancellation(`"77"`))
			wantAccepted(s, at, cancellation("78"))
			wantAccepted(s, at, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{}}`)
			wantAccepted(s, at, `{"jsonrpc":"2.0","method":"notifications/cancelled"}`)
		}
		if final, _ := call.Final("77"); final.Text(t) != "done "+f.Name(f.B) {
			t.Errorf("a call that others tried to cancel is answered %s", final.Raw)
		}
		wantAccepted(s, f.C, cancellation("77")) // it is over
		wantCount("cancelled by others")
		if a := s.Post(f.C, mcptest.RequestText("1", "ping", "")); a.Status != http.StatusOK {
			t.Errorf("afterwards the session is answered %d", a.Status)
		}
	})
}

func TestACancelledCallStopsAsking(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.AllCapabilities) // whose cleanup sees that no question is left
		for _, q := range questions {
			asked, call, id := q.ask(s, f.B)
			wantAccepted(s, f.C, cancellation(id))
			if m := call.Stream.NextOf("notifications/cancelled"); m.Param("requestId") != string(asked.ID) {
				t.Errorf("withdrawn is %s, asked was %s", m.Raw, asked.ID)
			}
			call.Stream.WantEnd()
			wantAccepted(s, f.A, q.response(asked.ID, "late"))
		}
	})
}
