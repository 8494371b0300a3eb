package transport

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/redistest"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// wantUnavailable fails the test unless every request to an endpoint is answered
// that it cannot be served now, and that the client should come again.
func wantUnavailable(t *testing.T, s *mcptest.Session, url string) {
	t.Helper()
	var all sync.WaitGroup
	check := func(what string, status int, header http.Header) {
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			t.Errorf("%s is answered %d with Retry-After %q, want 503", what, status, header.Get("Retry-After"))
		}
	}
	for what, body := range map[string]string{
		"a call":         mcptest.CallText("1", "whoami", `{}`),
		"a ping":         mcptest.RequestText("2", "ping", ""),
		"a notification": `{"jsonrpc":"2.0","method":"notifications/x"}`,
		"a response":     `{"jsonrpc":"2.0","id":"x","result":{}}`,
	} {
		all.Go(func() {
			a, err := s.TryPost(t.Context(), url, body)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
			check(what, a.Status, a.Header)
		})
	}
	all.Go(func() {
		fresh := &mcptest.Session{T: t, Version: latest}
		a, err := fresh.TryPost(t.Context(), url, mcptest.RequestText("1", "initialize",
			`{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}`))
		if err != nil {
			t.Errorf("initialize: %v", err)
			return
		}
		check("initialize", a.Status, a.Header)
	})
	all.Go(func() {
		_, a, err := s.Dial(t.Context(), url, "")
		if err != nil {
			t.Errorf("GET: %v", err)
			return
		}
		check("GET", a.Status, a.Header)
	})
	all.Go(func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, url, nil)
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Mcp-Session-Id", s.Token)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Errorf("DELETE: %v", err)
			return
		}
		response.Body.Close()
		check("DELETE", response.StatusCode, response.Header)
	})
	all.Wait()
}

// wantAvailable returns an error unless a session works, and one that ends the
// wait if it does not exist any more.
func wantAvailable(s *mcptest.Session, url string) error {
	a, err := s.TryPost(s.T.Context(), url, mcptest.CallText(`"available"`, "whoami", `{}`))
	switch {
	case err != nil:
		return err
	case a.Status == http.StatusServiceUnavailable:
		return errors.New("still 503")
	case a.Status != http.StatusOK:
		return poll.Stop(fmt.Errorf("%d %s", a.Status, a.Body))
	}
	return nil
}

func TestAnOutageOfRedisEndsNoSessionAndNoStream(t *testing.T) {
	t.Parallel()
	for _, outage := range []struct {
		name       string
		begin, end func(*redistest.Server)
	}{
		{"killed", (*redistest.Server).Kill, (*redistest.Server).Restart},
		{"frozen", (*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(outage.name, func(t *testing.T) {
			t.Parallel()
			f := startOn(t, redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always"))
			// Not f.Begin: a server that was started again is gone before the test's
			// first cleanups.
			s, other := mcptest.Begin(t, f.A, latest, mcptest.NoCapabilities), mcptest.Begin(t, f.B, v20250618, mcptest.NoCapabilities)
			n := &notices{f: f, by: mcptest.Begin(t, f.A, latest, mcptest.NoCapabilities), to: s}
			first, second, others := s.Listen(f.A, ""), s.Listen(f.C, ""), other.Listen(f.B, "")
			n.sendFrom(f.B)
			messages := collect(t, soon, 1, nil, first, second)

			kept := s.Post(f.B, mcptest.CallText("101", "slow", `{"ms":11000}`))
			reports := s.Post(f.C, mcptest.CallText("102", "multi_notify", `{"n":8,"gapms":700}`))
			moved := s.Post(f.C, mcptest.CallText("103", "slow", `{"ms":11000}`))
			lost := s.Post(f.B, mcptest.CallText("104", "slow", `{"ms":4000}`))
			movedID, lostID := primed(t, moved.Stream), primed(t, lost.Stream)
			moved.Stream.Break()
			lost.Stream.Break() // its answer comes during the outage, and nobody listens
			resumed := s.Listen(f.A, movedID)
			primed(t, resumed)

			outage.begin(f.Redis)
			began := time.Now()
			var all sync.WaitGroup
			for _, url := range []string{f.A, f.B, f.C} {
				all.Go(func() { wantUnavailable(t, s, url) })
				all.Go(func() { wantUnavailable(t, other, url) })
			}
			all.Wait()
			time.Sleep(time.Until(began.Add(6 * time.Second))) // so long that replicas are missed
			for name, stream := range map[string]*mcptest.Stream{
				"the delivering": first, "the idle": second, "another session's": others,
				"a call's": kept.Stream, "a resumed": resumed,
			} {
				select {
				case <-stream.Ended():
					t.Errorf("%s stream ends in the outage", name)
				default:
				}
			}
			outage.end(f.Redis)
			for _, url := range []string{f.A, f.B, f.C} {
				for _, one := range []*mcptest.Session{s, other, n.by} {
					if err := poll.Until(soon, func() error { return wantAvailable(one, url) }); err != nil {
						t.Errorf("after the outage, on %s: %v", f.Name(url), err)
					}
				}
			}
			for range 3 {
				n.sendFrom(f.A)
				n.sendFrom(f.B)
				n.sendFrom(f.C)
			}
			messages = collect(t, late, n.count(), messages, first, second)
			n.want(t, messages)
			theirs, _ := byKind(t, collect(t, late, len(n.broadcasts), nil, others))
			if !slices.Equal(theirs, n.broadcasts) {
				t.Errorf("another session gets the broadcasts %v, sent were %v", theirs, n.broadcasts)
			}

			final, before := reports.Final("102")
			wantProgress(t, before, 1, 8)
			for _, end := range []struct {
				what, want string
				message    func() mcptest.Message
			}{
				{"the call whose stream stayed open", "done B", func() mcptest.Message { m, _ := kept.Final("101"); return m }},
				{"the call that reported", "multi done C", func() mcptest.Message { return final }},
				{"the call that was resumed before", "done C", func() mcptest.Message { m, _ := resumed.Until("103"); return m }},
				{"the call that ended in the outage", "done B", func() mcptest.Message { m, _ := s.Listen(f.A, lostID).Until("104"); return m }},
			} {
				if m := end.message(); m.Text(t) != end.want {
					t.Errorf("%s ends with %s", end.what, m.Raw)
				}
			}
			first.Quiet(50 * time.Millisecond)
			second.Quiet(10 * time.Millisecond)
			if status := s.Delete(f.B); status != http.StatusOK {
				t.Errorf("DELETE is answered %d", status)
			}
			first.WantEnd()
			second.WantEnd()
			for _, url := range []string{f.A, f.B, f.C} {
				if a := s.Post(url, mcptest.RequestText("9", "ping", "")); a.Status != http.StatusNotFound {
					t.Errorf("after DELETE, %s answers %d", f.Name(url), a.Status)
				}
			}
		})
	}
}
