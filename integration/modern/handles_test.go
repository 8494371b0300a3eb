package modern

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// as sends a call as a user, and returns the text of its result and whether that
// is an error.
func as(c *mcptest.Modern, user, url, tool, arguments string) (text string, isError bool) {
	c.T.Helper()
	r := c.NewCall("1", tool, arguments)
	if user != "" {
		r.Header.Set("X-Test-User", user)
	}
	m := c.Send(url, r).Only()
	return m.Text(c.T), strings.Contains(string(m.Result), `"isError":true`)
}

// naming are the arguments of a call with a handle.
func naming(handle string) string { return fmt.Sprintf(`{"session":%q}`, handle) }

// publicName is the part of a handle that logs and tools show.
func publicName(handle string) string { return handle[1:23] }

func TestAHandleNamesOneSessionOnEveryReplicaInBothEras(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		s := mcptest.Begin(t, f.B, legacy, mcptest.NoCapabilities)
		handle, other := c.Call(f.A, "begin_session", "{}"), s.Call(f.B, "begin_session", "{}")
		for i, step := range []struct {
			by  caller
			url string
		}{{c, f.B}, {s, f.C}, {c, f.A}, {s, f.A}, {c, f.C}} {
			for _, h := range []string{handle, other} {
				want := fmt.Sprint(publicName(h), " ", i+1, " ", f.Name(step.url))
				if got := step.by.Call(step.url, "count", naming(h)); got != want {
					t.Errorf("call %d counts %q, want %q", i, got, want)
				}
			}
		}
		// The legacy client's own session is another one.
		if got := s.Call(f.A, "count", "{}"); !strings.HasSuffix(got, " 1 A") {
			t.Errorf("its own session counts %q", got)
		}
	})
}

func TestCallsAtOnceOnAllReplicasAllCount(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		const each = 10
		c := mcptest.NewModern(t)
		handle := c.Call(f.A, "begin_session", "{}")
		var all sync.WaitGroup
		for _, url := range f.URLs() {
			for range each {
				all.Go(func() {
					if _, isError := as(c, "", url, "count", naming(handle)); isError {
						t.Errorf("a call on %s is an error", f.Name(url))
					}
				})
			}
		}
		all.Wait()
		if got, want := c.Call(f.B, "count", naming(handle)), fmt.Sprint(publicName(handle), " ", 3*each+1, " "); !strings.HasPrefix(got, want) {
			t.Errorf("after %d calls it counts %q", 3*each, got)
		}
	})
}

func TestHandlesThatOpenNothingAreAnsweredAlike(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		s := mcptest.Begin(t, f.A, legacy, mcptest.NoCapabilities)
		foreign, _ := as(c, "ada", f.A, "begin_session", "{}")
		nobodys, ended := c.Call(f.B, "begin_session", "{}"), c.Call(f.C, "begin_session", "{}")
		if got := c.Call(f.A, "end_session", naming(ended)); got != "ended" {
			t.Errorf("end_session answers %q", got)
		}
		valid := c.Call(f.A, "begin_session", "{}")
		forged := valid[:23] + foreign[23:] // somebody saw the public name
		want, _ := as(c, "bob", f.A, "count", naming("basket 7"))
		if !strings.Contains(want, "begin_session") {
			t.Errorf("a handle that is none is answered %q", want)
		}
		for what, handle := range map[string]string{
			"somebody else's": foreign, "nobody's": nobodys, "ended": ended, "forged": forged, "an Mcp-Session-Id": s.Token,
			"a public name": publicName(valid), "unknown": "h" + strings.Repeat("A", 43) + "A",
		} {
			for _, url := range f.URLs() {
				if got, isError := as(c, "bob", url, "count", naming(handle)); got != want || !isError {
					t.Errorf("a handle that is %s is answered %q on %s", what, got, f.Name(url))
				}
			}
		}
		if got := s.Call(f.C, "count", naming(foreign)); got != want {
			t.Errorf("to a legacy client, a foreign handle is answered %q", got)
		}
		if got, isError := as(c, "ada", f.B, "count", naming(foreign)); isError || !strings.HasPrefix(got, publicName(foreign)+" 1 ") {
			t.Errorf("its owner is answered %q", got)
		}
		if got, isError := as(c, "", f.B, "count", "{}"); !isError || !strings.Contains(got, "begin_session") {
			t.Errorf("a call without a handle is answered %q", got)
		}
	})
}

func TestASessionThatIsNotUsedEndsOnEveryReplica(t *testing.T) {
	const idle = 2 * time.Second
	fleet.RunOwn(t, []string{"SESSION_IDLE_TIMEOUT=2s", "SESSION_MAX_LIFETIME=1h"}, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		handle := c.Call(f.A, "begin_session", "{}")
		for i := range 4 { // in use, it lives
			time.Sleep(idle / 4)
			if _, isError := as(c, "", f.URLs()[i%3], "count", naming(handle)); isError {
				t.Fatal("a session in use ended")
			}
		}
		time.Sleep(idle + idle/16 + 500*time.Millisecond)
		want, _ := as(c, "", f.A, "count", naming("basket 7"))
		for _, url := range f.URLs() {
			if got, isError := as(c, "", url, "count", naming(handle)); got != want || !isError {
				t.Errorf("an expired handle is answered %q on %s", got, f.Name(url))
			}
		}
	})
}

func TestALegacyClientSharesItsOwnSession(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		s := mcptest.Begin(t, f.A, legacy, mcptest.NoCapabilities)
		c := mcptest.NewModern(t)
		handle := s.Call(f.B, "share_session", "{}")
		if again := s.Call(f.C, "share_session", "{}"); again != handle {
			t.Error("shared again, the session has another handle")
		}
		for i, got := range []string{
			c.Call(f.C, "count", naming(handle)), s.Call(f.A, "count", "{}"),
			c.Call(f.A, "count", naming(handle)), s.Call(f.B, "count", naming(handle)),
		} {
			if want := fmt.Sprint(publicName(s.Token), " ", i+1, " "); !strings.HasPrefix(got, want) {
				t.Errorf("call %d counts %q, want %q", i, got, want)
			}
		}
		if status := s.Delete(f.C); status != http.StatusOK {
			t.Errorf("DELETE is answered %d", status)
		}
		for _, url := range f.URLs() {
			if _, isError := as(c, "", url, "count", naming(handle)); !isError {
				t.Errorf("the handle opens the session on %s after its end", f.Name(url))
			}
		}
	})
}

func TestNeitherKindOfCredentialIsAcceptedAsTheOther(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		own := mcptest.Begin(t, f.A, legacy, mcptest.NoCapabilities)
		for _, handle := range []string{c.Call(f.A, "begin_session", "{}"), own.Call(f.A, "share_session", "{}")} {
			s := &mcptest.Session{T: t, Token: handle, Version: legacy}
			for _, url := range f.URLs() {
				if a := s.Post(url, mcptest.CallText("1", "count", "{}")); a.Status != http.StatusNotFound {
					t.Errorf("a handle as Mcp-Session-Id is answered %d on %s: %s", a.Status, f.Name(url), a.Body)
				}
				if status := s.Delete(url); status != http.StatusNotFound {
					t.Errorf("DELETE of a handle is answered %d on %s", status, f.Name(url))
				}
			}
		}
	})
}

func TestNoHandleIsLogged(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := mcptest.NewModern(t)
		handle := c.Call(f.A, "begin_session", "{}")
		c.Call(f.B, "count", naming(handle))
		c.Call(f.C, "end_session", naming(handle))
		as(c, "", f.A, "count", naming(handle))
		for _, r := range f.Replicas {
			if strings.Contains(r.Log(), handle[23:]) {
				t.Error("a replica logged a handle")
			}
		}
	})
}
