package modern

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

func TestEachRequestSaysWhoAsks(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		silent, able := mcptest.NewModern(t), mcptest.NewModern(t)
		able.Capabilities, able.LogLevel = mcptest.AllCapabilities, "warning"
		for range 2 {
			for i, url := range f.URLs() {
				for c, want := range map[*mcptest.Modern]identity{
					silent: {Client: "mcptest", Pv: "2026-07-28"},
					able:   {Client: "mcptest", Pv: "2026-07-28", Level: "warning", Elicitation: true, Sampling: true},
				} {
					r := c.NewCall("1", "whoami", "{}")
					r.Header.Set("X-Test", fmt.Sprint("header ", i))
					want.Replica, want.Xhdr = f.Name(url), fmt.Sprint("header ", i)
					if got := parseIdentity(t, c.Send(url, r).Only().Text(t)); got != want {
						t.Errorf("on %s the handler sees\n%+v, want\n%+v", f.Name(url), got, want)
					}
				}
			}
		}
	})
}

// knownIDs are what a client could send as Mcp-Session-Id: nothing, nonsense, a
// session that lives and one that has ended.
func knownIDs(t *testing.T, f *fleet.Fleet) (live *mcptest.Session, ids []string) {
	t.Helper()
	live = mcptest.Begin(t, f.A, legacy, mcptest.NoCapabilities)
	ended := mcptest.Begin(t, f.B, legacy, mcptest.NoCapabilities)
	ended.Delete(f.C)
	return live, []string{"", "nonsense", live.Token, ended.Token}
}

func TestASessionIDIsNeitherMintedNorRead(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		_, ids := knownIDs(t, f)
		for _, id := range ids {
			for _, url := range f.URLs() {
				for what, r := range map[string]*mcptest.ModernRequest{
					"a call":             c.NewCall("1", "whoami", "{}"),
					"a call that talks":  c.NewCall("1", "multi_notify", `{"n":1}`),
					"an unknown tool":    c.NewCall("1", "nobody_has_it", "{}"),
					"listening":          c.New("1", "subscriptions/listen", `{"notifications":{}}`),
					"server/discover":    c.New("1", "server/discover", ""),
					"a removed method":   c.New("1", "ping", ""),
					"what is not a list": c.New("1", "resources/templates/list", ""),
				} {
					if id != "" {
						r.Header.Set("Mcp-Session-Id", id)
					}
					a := c.Send(url, r)
					if got := a.Header.Values("Mcp-Session-Id"); len(got) > 0 {
						t.Errorf("%s with session id %.8q is answered with the session id %q", what, id, got)
					}
					final, _ := a.Final("1")
					if what == "a call" {
						if got := parseIdentity(t, final.Text(t)).Session; got != "" {
							t.Errorf("a modern call with session id %.8q has a session", id)
						}
					}
				}
			}
		}
	})
}

func TestGETAndDELETEAre405AndTouchNoSession(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		live, ids := knownIDs(t, f)
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			for _, id := range ids {
				for _, url := range f.URLs() {
					r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
					if err != nil {
						t.Fatal(err)
					}
					r.Header = http.Header{"Mcp-Protocol-Version": {"2026-07-28"}, "Accept": {"text/event-stream"}}
					if id != "" {
						r.Header.Set("Mcp-Session-Id", id)
					}
					response, err := http.DefaultClient.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					response.Body.Close()
					if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != http.MethodPost {
						t.Errorf("%s is answered %d, Allow %q", method, response.StatusCode, response.Header.Get("Allow"))
					}
				}
			}
		}
		if got := live.Call(f.C, "slow", `{"ms":1}`); got != "done "+f.Name(f.C) {
			t.Errorf("afterwards the session that lived answers %q", got)
		}
	})
}

func TestStreamsHaveNoEventIDs(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		uri := newResource()
		listening := c.Subscribe(f.A, "1", listenTo(uri))
		update(t, c, f.B, uri)
		wantUpdate(t, listening, uri)
		streams := map[string]*mcptest.Stream{"a subscription": listening.Stream}
		for what, call := range map[string]*mcptest.ModernRequest{
			"a call that talks":       c.NewCall("2", "multi_notify", `{"n":3,"gapms":10}`),
			"a call that takes long":  c.NewCall("2", "slow", `{"ms":1100}`),
			"a call that would leave": c.NewCall("2", "test_reconnection", `{}`),
		} {
			call.Header.Set("Last-Event-ID", "r.0.0") // there is nothing to resume
			a := c.Send(f.C, call)
			if a.Stream == nil { // it was quick
				continue
			}
			if final, _ := a.Final("2"); final.Error != nil {
				t.Errorf("%s is answered %s", what, final.Raw)
			}
			a.Stream.WantEnd()
			streams[what] = a.Stream
			for name, want := range map[string]string{"X-Accel-Buffering": "no", "Cache-Control": "no-cache"} {
				if got := a.Header.Get(name); got != want {
					t.Errorf("%s is answered with %s: %q", what, name, got)
				}
			}
		}
		if len(streams) < 3 {
			t.Errorf("of all calls, only %d answers are streams", len(streams))
		}
		for what, stream := range streams {
			if stream.LastID() != "" || stream.Primed() || stream.Retry() != "" {
				t.Errorf("the stream of %s has the event id %q, retry %q", what, stream.LastID(), stream.Retry())
			}
		}
	})
}

// levels are all log levels, the least severe first.
var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

func TestTheLevelOfTheRequestDecidesItsLogMessages(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t) // one client, and one connection to each replica
		listening := mcptest.NewModern(t)
		listening.LogLevel = "debug"
		stream := listening.Subscribe(f.A, "1", listenTo(newResource()))
		for asked := -1; asked < len(levels); asked++ {
			for logged, level := range levels {
				url := f.URLs()[logged%3]
				r := c.NewCall("2", "log_emit", fmt.Sprintf(`{"level":%q}`, level))
				name := "none"
				if asked >= 0 {
					name = levels[asked]
					r.Meta()[mcptest.MetaLogLevel] = name
				}
				a := c.Send(url, r)
				final, before := a.Final("2")
				if got := final.Text(t); got != "log err=<nil>" {
					t.Errorf("log_emit answers %q", got)
				}
				if asked < 0 || logged < asked {
					if len(before) > 0 || a.Stream != nil {
						t.Errorf("asking for %s, a message of level %s arrives: %v", name, level, before)
					}
					continue
				}
				if len(before) != 1 || before[0].Method != "notifications/message" ||
					before[0].Param("level") != fmt.Sprintf("%q", level) || before[0].Param("logger") != `"x"` {
					t.Errorf("asking for %s, for a message of level %s arrives %v", name, level, before)
				}
			}
		}
		stream.Quiet(quietly) // it has no messages of other requests
	})
}

func TestProgressAndLogMessagesComeCompleteAndInOrderBeforeTheResult(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		c.LogLevel = "info"
		uri := newResource()
		listening := c.Subscribe(f.B, `"apart"`, listenTo(uri))
		for _, size := range []struct{ n, gap int }{{1, 0}, {5, 20}, {2000, 0}} {
			for _, url := range f.URLs() {
				a, id := c.Start(url, "multi_notify", fmt.Sprintf(`{"n":%d,"gapms":%d,"log":true}`, size.n, size.gap))
				final, before := a.Final(id)
				a.Stream.WantEnd()
				if got := final.Text(t); got != "multi done "+f.Name(url) {
					t.Errorf("multi_notify answers %q", got)
				}
				wantBoth(t, before, size.n)
			}
		}
		listening.Quiet(quietly) // it takes none of it
		a, id := c.Start(f.C, "test_tool_with_logging", "{}")
		if _, before := a.Final(id); len(before) != 3 {
			t.Errorf("of three messages arrive %v", before)
		}
	})
}

// wantBoth wants n reports of progress in turn with n log messages.
func wantBoth(t *testing.T, messages []mcptest.Message, n int) {
	t.Helper()
	if len(messages) != 2*n {
		t.Errorf("%d of %d messages arrive before the result", len(messages), 2*n)
		return
	}
	for i, m := range messages {
		ok := m.Method == "notifications/progress" && m.Param("progress") == fmt.Sprint(i/2+1) && m.Param("total") == fmt.Sprint(n)
		if i%2 == 1 {
			ok = m.Method == "notifications/message" && m.Param("data") == fmt.Sprintf("%q", fmt.Sprint(i/2+1))
		}
		if !ok {
			t.Errorf("message %d of %d is %s", i+1, 2*n, m.Raw)
			return
		}
	}
}

func TestProgressBearsTheTokenOfItsRequest(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		for i, token := range []string{`"of this call"`, "7"} {
			url := f.URLs()[i+1]
			a := c.Send(url, c.New("1", "tools/call", fmt.Sprintf(`{"name":"test_tool_with_progress","arguments":{},"_meta":{"progressToken":%s}}`, token)))
			_, before := a.Final("1")
			if len(before) != 3 {
				t.Errorf("of three reports arrive %v", before)
			}
			for _, m := range before {
				if m.Method != "notifications/progress" || m.Param("progressToken") != token {
					t.Errorf("to a call with the token %s is reported %s", token, m.Raw)
				}
			}
		}
	})
}

func TestCallsWithOneIDKeepTheirMessagesApart(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		var calls sync.WaitGroup
		for i := range 12 {
			n, url := 20+i, f.URLs()[i%3]
			c := mcptest.NewModern(t)
			c.LogLevel = "info"
			call := c.NewCall("1", "multi_notify", fmt.Sprintf(`{"n":%d,"gapms":3,"log":true}`, n))
			calls.Go(func() {
				a, err := c.TrySend(t.Context(), url, call)
				if err != nil {
					t.Error(err)
					return
				}
				<-a.Stream.Ended()
				all := a.Stream.Arrived()
				if last := len(all) - 1; last < 0 || string(all[last].ID) != "1" {
					t.Errorf("a call of %d reports ends without an answer after %d", n, last)
					return
				}
				wantBoth(t, all[:len(all)-1], n)
			})
		}
		calls.Wait()
	})
}
