package handle_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/memstore"
)

func newStore(t *testing.T) *memstore.Store {
	t.Helper()
	store, err := memstore.New(mcpsession.DefaultLimits(), 100)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func newSessions(store mcpsession.SessionStore) *handle.Sessions {
	return handle.New(store, handle.Options{Begin: "create_cart", Limits: mcpsession.DefaultLimits()})
}

// modern is the context of a request of 2026-07-28.
func modern(ctx context.Context) context.Context {
	return mcpserver.WithRequestProtocolInfo(ctx, &mcpserver.RequestProtocolInfo{
		Modern: true, ProtocolVersion: mcp.ProtocolVersion20260728,
		ClientInfo: &mcp.Implementation{Name: "tester", Version: "7"},
	})
}

func begin(t *testing.T, ctx context.Context, s *handle.Sessions) *mcpsession.Live {
	t.Helper()
	live, err := s.Begin(ctx, mcpsession.Session{})
	if err != nil {
		t.Fatal(err)
	}
	return live
}

// whose is a tool that answers the session of its call.
func whose(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	live, ok := mcpsession.FromContext(ctx)
	if !ok {
		return nil, errors.New("no session")
	}
	n, _, err := mcpsession.Get[int](live, "n")
	if err != nil {
		return nil, err
	}
	if err := live.Set(ctx, "n", n+1); err != nil {
		return nil, err
	}
	return mcp.NewToolResultText(fmt.Sprint(live, " ", n)), nil
}

// call calls the tool with a session argument, JSON or none.
func call(t *testing.T, ctx context.Context, s *handle.Sessions, argument string) (text string, isError bool) {
	t.Helper()
	_, handler := s.Tool(mcp.NewTool("whose"), whose)
	var request mcp.CallToolRequest
	if argument != "" {
		if err := json.Unmarshal([]byte(`{"session":`+argument+`}`), &request.Params.Arguments); err != nil {
			t.Fatal(err)
		}
	}
	result, err := handler(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	return result.Content[0].(mcp.TextContent).Text, result.IsError
}

func quoted(live *mcpsession.Live) string { return fmt.Sprintf("%q", live.ID().Token()) }

func TestAToolFindsTheSessionOfTheHandle(t *testing.T) {
	store := newStore(t)
	a, b := newSessions(store), newSessions(store) // two replicas
	ctx := modern(t.Context())
	one, two := begin(t, ctx, a), begin(t, ctx, a)
	for i, step := range []struct {
		replica *handle.Sessions
		live    *mcpsession.Live
		want    int
	}{{a, one, 0}, {b, one, 1}, {b, two, 0}, {a, one, 2}} {
		want := fmt.Sprint(step.live, " ", step.want)
		if got, isError := call(t, ctx, step.replica, quoted(step.live)); got != want || isError {
			t.Errorf("call %d answers %q, want %q", i, got, want)
		}
	}
	if s := one.Session(); s.Client.Name != "tester" || s.Client.ProtocolVersion != mcp.ProtocolVersion20260728 {
		t.Errorf("the session's client is %+v", s.Client)
	}
}

func TestALegacyClientUsesItsOwnSessionOrAHandle(t *testing.T) {
	store := newStore(t)
	s := newSessions(store)
	id := mcpsession.NewSessionID()
	stored, err := store.Create(t.Context(), id, mcpsession.Session{Client: mcpsession.Client{Name: "old"}})
	if err != nil {
		t.Fatal(err)
	}
	own := mcpsession.NewLive(store, id, stored)
	ctx := mcpsession.NewContext(t.Context(), own)
	other := begin(t, ctx, s)
	if other.Session().Client.Name != "old" {
		t.Errorf("the session that it began has the client %+v", other.Session().Client)
	}
	for argument, want := range map[string]*mcpsession.Live{"": own, `""`: own, `null`: own, quoted(other): other} {
		if got, isError := call(t, ctx, s, argument); !strings.HasPrefix(got, want.String()+" ") || isError {
			t.Errorf("with the argument %s it reaches %q, want %s", argument, got, want)
		}
	}
	shared, err := own.Share(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := call(t, modern(t.Context()), s, fmt.Sprintf("%q", shared.Token())); !strings.HasPrefix(got, own.String()+" ") {
		t.Errorf("a modern client who was given the handle reaches %q, want %s", got, own)
	}
}

func TestWhatOpensNothingIsAnsweredAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		s := newSessions(store)
		ctx := mcpsession.WithPrincipal(modern(t.Context()), "ada")
		expired := begin(t, ctx, s)
		time.Sleep(26 * time.Hour)
		ended, foreign := begin(t, ctx, s), begin(t, mcpsession.WithPrincipal(ctx, "bob"), s)
		if err := ended.End(ctx); err != nil {
			t.Fatal(err)
		}
		own := mcpsession.NewSessionID() // of a legacy client
		if _, err := store.Create(ctx, own, mcpsession.Session{Owner: "ada"}); err != nil {
			t.Fatal(err)
		}
		nobodys := begin(t, modern(t.Context()), s)
		var want string
		for what, argument := range map[string]string{
			"expired": quoted(expired), "ended": quoted(ended), "foreign": quoted(foreign), "nobody's": quoted(nobodys),
			"unknown":          fmt.Sprintf("%q", mcpsession.NewHandle().Token()),
			"malformed":        `"basket 7"`,
			"an id":            fmt.Sprintf("%q", own.Token()),
			"a public name":    fmt.Sprintf("%q", own.Ref().String()),
			"a handle unmade":  fmt.Sprintf("%q", own.Handle().Token()),
			"of wrong letters": `"` + strings.Repeat("ü", 22) + `"`,
		} {
			got, isError := call(t, ctx, s, argument)
			if want == "" {
				want = got
			}
			if got != want || !isError || !strings.Contains(got, "create_cart") {
				t.Errorf("a handle that is %s is answered %q, and others %q", what, got, want)
			}
		}
		if got, _ := call(t, mcpsession.WithPrincipal(ctx, "bob"), s, quoted(foreign)); !strings.HasSuffix(got, " 0") {
			t.Errorf("its owner is answered %q", got)
		}
	})
}

func TestACallWithoutASessionIsToldWhatToCall(t *testing.T) {
	s := newSessions(newStore(t))
	for argument, want := range map[string]string{"": "create_cart", `null`: "create_cart", `7`: "must be a string", `{}`: "must be a string"} {
		if got, isError := call(t, modern(t.Context()), s, argument); !isError || !strings.Contains(got, want) {
			t.Errorf("the argument %s is answered %q, want %q", argument, got, want)
		}
	}
}

// failing is a store with one error.
type failing struct {
	mcpsession.SessionStore
	err error
}

func (f failing) Get(context.Context, mcpsession.ID) (mcpsession.Session, error) {
	return mcpsession.Session{}, fmt.Errorf("get: %w: dial 10.0.0.7:6379", f.err)
}

func TestAnOutageIsNotAMissingSession(t *testing.T) {
	for _, err := range []error{mcpsession.ErrUnavailable, mcpsession.ErrUnsupportedVersion, context.DeadlineExceeded} {
		var log bytes.Buffer
		s := handle.New(failing{newStore(t), err}, handle.Options{Begin: "create_cart", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		got, isError := call(t, modern(t.Context()), s, fmt.Sprintf("%q", mcpsession.NewHandle().Token()))
		if !isError || !strings.Contains(got, "not lost") || strings.Contains(got, "create_cart") || strings.Contains(got, "10.0.0.7") {
			t.Errorf("%v is answered %q", err, got)
		}
		if !strings.Contains(log.String(), "10.0.0.7") || !strings.Contains(log.String(), "whose") {
			t.Errorf("%v is logged as %q", err, log.String())
		}
	}
}

func TestTheArgumentIsDescribedInAnySchema(t *testing.T) {
	s := newSessions(newStore(t))
	shared := mcp.NewTool("add", mcp.WithString("item", mcp.Required()))
	for name, tool := range map[string]mcp.Tool{
		"built":   shared,
		"empty":   {Name: "add"},
		"raw":     mcp.NewToolWithRawSchema("add", "", json.RawMessage(`{"type":"object","properties":{"item":{"type":"string"}},"required":["item"],"$defs":{"x":{}}}`)),
		"raw {}":  mcp.NewToolWithRawSchema("add", "", json.RawMessage(`{"type":"object"}`)),
		"raw bad": mcp.NewToolWithRawSchema("add", "", json.RawMessage(`7`)),
	} {
		before, err := json.Marshal(tool)
		if err != nil {
			t.Fatal(err)
		}
		changed, _ := s.Tool(tool, whose)
		if after, _ := json.Marshal(tool); string(after) != string(before) {
			t.Errorf("%s: the tool that was given is changed to %s", name, after)
		}
		text, err := json.Marshal(changed)
		if err != nil {
			t.Fatal(err)
		}
		if name == "raw bad" {
			if string(text) != string(before) {
				t.Errorf("a schema that is none becomes %s", text)
			}
			continue
		}
		var got struct {
			InputSchema struct {
				Properties map[string]struct{ Type, Description string }
				Required   []string
			}
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		session := got.InputSchema.Properties["session"]
		for _, want := range []string{"create_cart", "unused for 1 day", "7 days after it was created"} {
			if session.Type != "string" || !strings.Contains(session.Description, want) {
				t.Errorf("%s: the argument is %+v, want a string and %q", name, session, want)
			}
		}
		if strings.Contains(string(before), "item") {
			if got.InputSchema.Properties["item"].Type != "string" || !reflect.DeepEqual(got.InputSchema.Required, []string{"item"}) {
				t.Errorf("%s: what was there is now %s", name, text)
			}
		}
	}
}

func TestTheLifetimeIsSpoken(t *testing.T) {
	for want, limits := range map[string]mcpsession.Limits{
		"":                                      {},
		"unused for 90 seconds, and at the lat": {IdleTimeout: 90 * time.Second, MaxLifetime: time.Hour},
		"latest 1 hour after":                   {IdleTimeout: 90 * time.Second, MaxLifetime: time.Hour},
		"1.5s":                                  {IdleTimeout: 1500 * time.Millisecond, MaxLifetime: time.Hour},
	} {
		got := handle.New(newStore(t), handle.Options{Begin: "b", Limits: limits}).Lifetime()
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%v is spoken %q, want %q", limits, got, want)
		}
	}
}
