package transport

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

func TestASessionBegunOnOneReplicaIsServedByAll(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			if tools := toolNames(s, f.B); !tools["whoami"] {
				t.Errorf("%s: begun on A, B lists %v", version, tools)
			}
			if got := s.Call(f.C, "slow", `{"ms":1}`); got != "done "+f.Name(f.C) {
				t.Errorf("%s: begun on A, a call on C answers %q", version, got)
			}
		}
	})
}

// toolNames are the tools that a replica lists.
func toolNames(s *mcptest.Session, url string) map[string]bool {
	s.T.Helper()
	a, _ := s.Request(url, "tools/list", "")
	var result struct{ Tools []struct{ Name string } }
	if m := a.Only(); m.Error != nil || json.Unmarshal(m.Result, &result) != nil {
		s.T.Fatalf("tools/list is answered %s", m.Raw)
	}
	names := make(map[string]bool)
	for _, tool := range result.Tools {
		names[tool.Name] = true
	}
	return names
}

// identity is what whoami answers.
type identity struct {
	Replica, Session, Client, Level, Pv, Xhdr string
	Elicitation, Sampling                     bool
}

func whoami(s *mcptest.Session, url string) identity {
	s.T.Helper()
	var who identity
	if text := s.Call(url, "whoami", "{}"); json.Unmarshal([]byte(text), &who) != nil {
		s.T.Fatalf("whoami answers %s", text)
	}
	return who
}

func TestHandlersOnEveryReplicaSeeWhatTheClientSaid(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			for _, capable := range []struct {
				declared              string
				elicitation, sampling bool
			}{
				{mcptest.NoCapabilities, false, false},
				{`{"sampling":{}}`, false, true},
				{mcptest.AllCapabilities, true, true},
			} {
				s := f.Begin(t, f.A, version, capable.declared)
				setLevel(s, f.B, "warning")
				for i, url := range []string{f.A, f.B, f.C} {
					s.Header = http.Header{"X-Test": {fmt.Sprint("header ", i)}}
					want := identity{
						Replica: f.Name(url), Session: s.Token, Client: "mcptest", Level: "warning", Pv: version,
						Xhdr: fmt.Sprint("header ", i), Elicitation: capable.elicitation, Sampling: capable.sampling,
					}
					if got := whoami(s, url); got != want {
						t.Errorf("declaring %s, on %s the handler sees\n%+v, want\n%+v", capable.declared, f.Name(url), got, want)
					}
				}
			}
		}
	})
}

func setLevel(s *mcptest.Session, url, level string) {
	s.T.Helper()
	a, _ := s.Request(url, "logging/setLevel", fmt.Sprintf(`{"level":%q}`, level))
	if m := a.Only(); m.Error != nil {
		s.T.Fatalf("logging/setLevel is answered %s", m.Raw)
	}
}

func TestALogLevelSetOnOneReplicaHoldsOnAll(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		get := s.Listen(f.B, "")
		other := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		wantLogged := func(s *mcptest.Session, url, level string, want bool) {
			t.Helper()
			a, id := s.Start(url, "log_emit", fmt.Sprintf(`{"level":%q}`, level))
			final, before := a.Final(id)
			if final.Text(t) != "log err=<nil>" {
				t.Errorf("log_emit answers %s", final.Raw)
			}
			switch {
			case !want && len(before) > 0:
				t.Errorf("a message of level %s arrives on %s: %s", level, f.Name(url), before[0].Raw)
			case want && (len(before) != 1 || before[0].Method != "notifications/message" ||
				before[0].Param("level") != fmt.Sprintf("%q", level) || before[0].Param("logger") != `"x"`):
				t.Errorf("for a message of level %s on %s arrives %v", level, f.Name(url), before)
			}
		}
		wantLogged(s, f.C, "debug", false) // what holds until the client says otherwise
		wantLogged(s, f.C, "info", true)
		setLevel(s, f.A, "error")
		for _, url := range []string{f.B, f.C, f.A} {
			wantLogged(s, url, "warning", false)
			wantLogged(s, url, "error", true)
			wantLogged(s, url, "critical", true)
		}
		setLevel(s, f.B, "debug")
		for _, url := range []string{f.C, f.A, f.B} {
			wantLogged(s, url, "debug", true)
		}
		wantLogged(other, f.B, "debug", false)
		get.Quiet(100 * time.Millisecond) // each on the stream of its request
	})
}

func TestADeletedSessionEndsOnEveryReplica(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		kept := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		streams := []*mcptest.Stream{s.Listen(f.A, ""), s.Listen(f.B, "")}
		call, id := s.Start(f.B, "slow", `{"ms":60000}`) // becomes a stream, after a second
		keptStream := kept.Listen(f.B, "")

		began := time.Now()
		if status := s.Delete(f.C); status != http.StatusOK {
			t.Fatalf("DELETE is answered %d", status)
		}
		for _, url := range []string{f.A, f.B, f.C} {
			wantNotFound(t, f, url, s)
		}
		for _, stream := range streams {
			stream.WantEnd()
		}
		if final, _ := call.Final(id); final.Error == nil {
			t.Errorf("the call that ran is answered %s", final.Raw)
		}
		call.Stream.WantEnd()
		if took := time.Since(began); took > soon {
			t.Errorf("that took %v", took)
		}
		if got := kept.Call(f.A, "notify_session", fmt.Sprintf(`{"sid":%q}`, kept.Token)); got != "err=<nil>" {
			t.Errorf("another session is answered %q", got)
		}
		keptStream.NextOf("notifications/test_specific")
	})
}

// wantNotFound asks a replica for a session in every way there is.
func wantNotFound(t *testing.T, f *fleet, url string, s *mcptest.Session) {
	t.Helper()
	want := func(method string, status int, body string) {
		t.Helper()
		var answer struct{ Error *struct{ Message string } }
		if status != http.StatusNotFound || json.Unmarshal([]byte(body), &answer) != nil || answer.Error == nil {
			t.Errorf("%s on %s is answered %d: %s", method, f.Name(url), status, body)
		}
	}
	for _, body := range []string{
		mcptest.RequestText("1", "ping", ""),
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":"ask:1","result":{}}`,
	} {
		a := s.Post(url, body)
		want("POST "+body, a.Status, string(a.Body))
	}
	_, status, body := s.TryListen(url, "")
	want("GET", status, body)
	if status := s.Delete(url); status != http.StatusNotFound {
		t.Errorf("DELETE on %s is answered %d", f.Name(url), status)
	}
}

func TestIDsThatOpenNothingAreNotFound(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		another := mcpsession.NewSessionID().Token()
		secret := len(another) - 22
		for what, token := range map[string]string{
			"never issued":              another,
			"the ref of a session":      ref(t, s).String(),
			"with a secret of its own":  s.Token[:secret] + another[secret:],
			"with the secret of a live": another[:secret] + s.Token[secret:],
			"a handle":                  mcpsession.NewHandle().Token(),
			"malformed":                 "session-1",
			"longer":                    s.Token + "A",
			"very long":                 strings.Repeat("s", 4000),
			"shorter":                   s.Token[:len(s.Token)-1],
		} {
			t.Run(what, func(t *testing.T) {
				for _, url := range []string{f.A, f.B, f.C} {
					wantNotFound(t, f, url, &mcptest.Session{T: t, Token: token, Version: latest})
				}
			})
		}
		none := &mcptest.Session{T: t}
		if a := none.Post(f.B, mcptest.RequestText("1", "ping", "")); a.Status != http.StatusBadRequest {
			t.Errorf("a request without an id is answered %d: %s", a.Status, a.Body)
		}
		s.Call(f.B, "whoami", "{}") // is none the worse for it
	})
}

func TestASessionInUseDoesNotExpireAndOthersDo(t *testing.T) {
	const idle = 3 * time.Second
	onOwnFleets(t, []string{"SESSION_IDLE_TIMEOUT=" + idle.String()}, func(t *testing.T, f *fleet) {
		unused := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		listens := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		works := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		busy := f.Begin(t, f.A, latest, mcptest.NoCapabilities)

		var used sync.WaitGroup
		used.Go(func() {
			for stream, end := listens.Listen(f.A, ""), time.Now().Add(3*idle); time.Now().Before(end); {
				stream.Quiet(idle / 4)
			}
		})
		used.Go(func() { works.Call(f.B, "slow", fmt.Sprintf(`{"ms":%d}`, (3*idle).Milliseconds())) })
		used.Go(func() {
			for end := time.Now().Add(3 * idle); time.Now().Before(end); time.Sleep(idle / 4) {
				busy.Call(f.B, "whoami", "{}")
			}
		})
		used.Wait()
		for what, s := range map[string]*mcptest.Session{"with a stream on A": listens, "with a call on B": works, "busy on B": busy} {
			for _, url := range []string{f.C, f.A} {
				if a := s.Post(url, mcptest.RequestText("1", "ping", "")); a.Status != http.StatusOK {
					t.Errorf("after three times its idle timeout the session %s is answered %d by %s: %s", what, a.Status, f.Name(url), a.Body)
				}
			}
		}
		for _, url := range []string{f.B, f.A, f.C} {
			wantNotFound(t, f, url, unused)
		}
	})
}

func TestStoppingAReplicaEndsNoSession(t *testing.T) {
	onOwnFleets(t, nil, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		idle := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
		get, onC := s.Listen(f.A, ""), idle.Listen(f.C, "")
		call, id := s.Start(f.A, "slow", `{"ms":3000}`)

		if err := syscall.Kill(f.Replica(f.A).Pid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		get.WantEnd()
		if final, _ := call.Final(id); final.Text(t) != "done A" {
			t.Errorf("the call that ran is answered %s", final.Raw)
		}
		call.Stream.WantEnd()
		if f.Redis == nil {
			onC.WantEnd()
		}
		select {
		case <-f.Replica(f.A).Done():
		case <-time.After(soon):
			t.Fatal("the replica does not stop")
		}
		if code := f.Replica(f.A).ExitCode(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if f.Redis == nil {
			return // sessions in memory end with their process
		}
		for _, url := range []string{f.B, f.C} {
			s.Call(url, "whoami", "{}")
			idle.Call(url, "whoami", "{}")
		}
		again := s.Listen(f.B, get.LastID())
		for _, one := range []*mcptest.Session{s, idle} {
			s.Call(f.C, "notify_session", fmt.Sprintf(`{"sid":%q}`, one.Token))
		}
		again.NextOf("notifications/test_specific")
		onC.NextOf("notifications/test_specific")
	})
}

func TestAnOutageOfTheStoreIsAPauseForEverySession(t *testing.T) {
	t.Parallel()
	f := startReplicas(t)
	s := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
	idle := f.Begin(t, f.B, latest, mcptest.NoCapabilities)
	get := s.Listen(f.C, "")
	f.Redis.Pause()
	var asked sync.WaitGroup
	for _, url := range []string{f.A, f.B, f.C} {
		for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
			asked.Go(func() {
				status, header, body := raw(t, method, url, s.Token)
				if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
					t.Errorf("%s on %s is answered %d, Retry-After %q: %s", method, f.Name(url), status, header.Get("Retry-After"), body)
				}
			})
		}
	}
	asked.Wait()
	f.Redis.Resume()
	for _, url := range []string{f.A, f.B, f.C} {
		for _, one := range []*mcptest.Session{s, idle} {
			eventually(t, func() error {
				if a := one.Post(url, mcptest.RequestText("1", "ping", "")); a.Status != http.StatusOK {
					return fmt.Errorf("after the outage %s answers %d: %s", f.Name(url), a.Status, a.Body)
				}
				return nil
			})
		}
	}
	eventually(t, func() error {
		if got := idle.Call(f.A, "notify_session", fmt.Sprintf(`{"sid":%q}`, s.Token)); got != "err=<nil>" {
			return fmt.Errorf("notify_session answers %q", got)
		}
		return nil
	})
	get.NextOf("notifications/test_specific") // the stream went on
}

// raw sends a request with any method, and returns all of the response.
func raw(t *testing.T, method, url, token string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(mcptest.RequestText("1", "ping", "")))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Content-Type":   {"application/json"},
		"Accept":         {"application/json, text/event-stream"},
		"Mcp-Session-Id": {token},
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
		return 0, nil, ""
	}
	defer response.Body.Close()
	var text strings.Builder
	if response.StatusCode != http.StatusOK { // else perhaps a stream
		_ = response.Write(&text)
	}
	return response.StatusCode, response.Header, text.String()
}

func TestEveryKeyInRedisEnds(t *testing.T) {
	t.Parallel()
	f := startReplicas(t)
	s := f.Begin(t, f.A, v20250618, mcptest.AllCapabilities)
	get := s.Listen(f.B, "")
	resumable, _ := s.Start(f.C, "multi_notify", `{"n":3,"gapms":10}`)
	question, id := s.Start(f.A, "roots", "{}")
	asked := question.Stream.NextOf("roots/list")
	s.Call(f.A, "broadcast", `{"n":1}`)
	get.NextOf("notifications/test_broadcast")
	s.Call(f.A, "add_session_tool", `{"name":"mine"}`)
	s.Request(f.A, "resources/subscribe", `{"uri":"test://watched-resource"}`)
	resumable.Stream.WantEnd()
	ended := f.Begin(t, f.A, latest, mcptest.NoCapabilities)
	ended.Listen(f.B, "")
	ended.Delete(f.C)

	keys, err := f.Keys("*")
	if err != nil || len(keys) < 8 {
		t.Fatalf("Redis holds only %v, %v", keys, err)
	}
	client := f.Redis.Client()
	for _, key := range keys {
		if ttl, err := client.PTTL(t.Context(), key).Result(); err != nil || ttl == -1 {
			t.Errorf("%s never ends (%v, %v)", key, ttl, err)
		}
	}
	s.Post(f.C, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"roots":[]}}`, asked.ID))
	question.Final(id)
}
