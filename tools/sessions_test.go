package tools_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

func TestALegacyClientUsesItsOwnSession(t *testing.T) {
	e := serve(t, setup{})
	p := e.legacy(t)
	p.done("set_working_directory", `{"directory":"/mine"}`)
	p.done("set_value", `{"key":"k","value":"v"}`)
	if n := e.count(t); n != 1 {
		t.Fatalf("%d sessions are alive, want the client's own alone", n)
	}
	if s := e.stored(t, p.ref()); s.WorkingDirectory != "/mine" || string(s.Values["k"]) != `"v"` {
		t.Errorf("its session holds %+v", s)
	}
}

func TestClientsDoNotSeeEachOthersSessions(t *testing.T) {
	e := serve(t, setup{})
	ours, theirs := e.legacy(t), e.legacy(t)
	handle := theirs.done("create_session", `{}`).field("session")
	ours.done("set_working_directory", `{"directory":"/ours"}`)
	ours.done("auto_switch_project", `{"project_id":"ours"}`)
	ours.done("set_value", `{"key":"k","value":"ours"}`)

	for who, session := range map[string]string{"another legacy client": "", "a second session": fmt.Sprintf(`"session":%q`, handle)} {
		if s := theirs.done("get_session", "{"+session+"}"); s.field("working_directory") != "" || s.field("project_id") != "" ||
			strings.Contains(string(s.structured), `"k"`) {
			t.Errorf("%s sees %s", who, s.structured)
		}
		if got := theirs.done("get_value", with("get_value", session)); !strings.Contains(string(got.structured), `"found":false`) {
			t.Errorf("%s reads %s", who, got.structured)
		}
		theirs.done("delete_value", with("delete_value", session))
		theirs.done("set_working_directory", with("set_working_directory", session))
	}
	theirs.done("end_session", `{}`)
	ours.done("get_value", `{"key":"k"}`).is(`{"key":"k","found":true,"value":"ours"}`)
	if s := ours.done("get_session", `{}`); s.field("working_directory") != "/ours" || s.field("project_id") != "ours" {
		t.Errorf("what another client did changed this one's session to %s", s.structured)
	}
}

func TestASessionOfALegacyClientAndOneItCreatesAreTwo(t *testing.T) {
	e := serve(t, setup{})
	p := e.legacy(t)
	created := p.done("create_session", `{}`)
	if created.field("session_id") == p.ref() {
		t.Fatal("create_session answers the client's own session")
	}
	s := p.done("get_session", fmt.Sprintf(`{"session":%q}`, created.field("session")))
	if s.field("session_id") != created.field("session_id") || s.field("client_name") != "tester" || s.field("protocol_version") != "2025-11-25" {
		t.Errorf("the session it created is %s", s.structured)
	}
	// A handle in the call wins over the client's own session, and only there.
	p.done("set_working_directory", fmt.Sprintf(`{"directory":"/second","session":%q}`, created.field("session")))
	if own := e.stored(t, p.ref()); own.WorkingDirectory != "" {
		t.Errorf("a call with a handle set the own session's directory to %q", own.WorkingDirectory)
	}
}

func TestALegacyClientSharesItsSessionWithAModernOne(t *testing.T) {
	e := serve(t, setup{})
	legacy, modern := e.legacy(t), e.modern(t)
	legacy.done("set_working_directory", `{"directory":"/checkout"}`)
	shared := legacy.done("share_session", `{}`)
	handle := fmt.Sprintf(`{"session":%q}`, shared.field("session"))
	if shared.field("session_id") != legacy.ref() {
		t.Errorf("what is shared is %s, want session %s", shared.structured, legacy.ref())
	}
	modern.done("get_working_directory", handle).
		is(fmt.Sprintf(`{"session_id":%q, "is_set":true, "working_directory":"/checkout"}`, legacy.ref()))
	modern.done("set_value", fmt.Sprintf(`{"key":"k","value":1,"session":%q}`, shared.field("session")))
	legacy.done("get_value", `{"key":"k"}`).is(`{"key":"k", "found":true, "value":1}`)
	for name, again := range map[string]answer{
		"again":                    legacy.done("share_session", `{}`),
		"by the one who was given": modern.done("share_session", handle),
	} {
		if again.field("session") != shared.field("session") {
			t.Errorf("shared %s, the session has another handle", name)
		}
	}
	legacy.done("end_session", `{}`)
	if text := modern.refused("get_session", handle); text != noSession {
		t.Errorf("the handle of a session that ended is answered %q", text)
	}
}

func TestAModernClientGetsItsSessionWithItsDirectory(t *testing.T) {
	e := serve(t, setup{})
	p := e.modern(t)
	set := p.done("set_working_directory", `{"directory":"/checkout"}`)
	handle := set.field("session")
	set.is(fmt.Sprintf(`{"session_id":%q, "session":%q, "working_directory":"/checkout", "config_found":false}`,
		set.field("session_id"), handle))
	if n := e.count(t); n != 1 {
		t.Fatalf("%d sessions are alive, want 1", n)
	}
	p.done("get_working_directory", fmt.Sprintf(`{"session":%q}`, handle)).
		is(fmt.Sprintf(`{"session_id":%q, "is_set":true, "working_directory":"/checkout"}`, set.field("session_id")))
	if again := p.done("set_working_directory", fmt.Sprintf(`{"directory":"/other","session":%q}`, handle)); again.field("session") != "" {
		t.Errorf("a call with a handle is answered another: %s", again.structured)
	}
	if n := e.count(t); n != 1 {
		t.Errorf("moving the session on made %d of it", n)
	}
}

func TestAModernCallWithoutAHandleIsToldToCreateASession(t *testing.T) {
	e := serve(t, setup{})
	p := e.modern(t)
	for _, tool := range names() {
		if tool == "create_session" || tool == "set_working_directory" {
			continue
		}
		t.Run(tool, func(t *testing.T) {
			p := peer{t, p.Client}
			for _, arguments := range []string{with(tool, ``), with(tool, `"session":""`), with(tool, `"session":null`)} {
				if text := p.refused(tool, arguments); !strings.Contains(text, "create_session") {
					t.Errorf("%s is answered %q, which does not name create_session", arguments, text)
				}
			}
		})
	}
	if n := e.count(t); n != 0 {
		t.Errorf("calls that failed left %d sessions", n)
	}
}

func TestAModernCallNeverUsesAnyOtherSessionThanItsHandles(t *testing.T) {
	store := memory(t, mcpsession.DefaultLimits(), 100)
	id := mcpsession.NewSessionID()
	own, err := store.Create(t.Context(), id, mcpsession.Session{})
	if err != nil {
		t.Fatal(err)
	}
	// As of a transport that finds a session for every call.
	found := func(next mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
		return func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			return next(mcpsession.NewContext(ctx, mcpsession.NewLive(store, id, own)), request)
		}
	}
	e := serve(t, setup{store: store, options: []mcpserver.ServerOption{mcpserver.WithToolHandlerMiddleware(found)}})
	p := connect(t, e.url, mcp.ProtocolVersion20260728,
		transport.WithHTTPHeaders(map[string]string{"Mcp-Session-Id": id.Token()}))
	if text := p.refused("get_session", `{}`); !strings.Contains(text, "create_session") {
		t.Errorf("a call without a handle is answered %q", text)
	}
	if set := p.done("set_working_directory", `{"directory":"/checkout"}`); set.field("session_id") == own.Ref.String() {
		t.Errorf("a call without a handle set the directory of another session: %s", set.structured)
	}
}

func TestAHandleOpensTheSameSessionInEveryClient(t *testing.T) {
	e := serve(t, setup{})
	handle := e.modern(t).done("set_working_directory", `{"directory":"/shared"}`).field("session")
	for era, p := range map[string]peer{"legacy": e.legacy(t), "modern": e.modern(t)} {
		if got := p.done("get_working_directory", fmt.Sprintf(`{"session":%q}`, handle)).field("working_directory"); got != "/shared" {
			t.Errorf("a %s client finds %q under the handle", era, got)
		}
	}
}

// What opens no session is told apart by nothing, so that an answer is no oracle.
func TestWhatIsNoHandleGetsOneAnswer(t *testing.T) {
	e := serve(t, setup{})
	own, modern := e.legacy(t), e.modern(t)
	ended := modern.done("create_session", `{}`).field("session")
	modern.done("end_session", fmt.Sprintf(`{"session":%q}`, ended))
	live := modern.done("create_session", `{}`).field("session")
	stranger := mcpsession.NewHandle().Token()
	alive := e.count(t)

	handles := map[string]string{
		"never issued":                    stranger,
		"ended":                           ended,
		"an Mcp-Session-Id":               own.GetSessionId(),
		"an Mcp-Session-Id, disguised":    "h" + own.GetSessionId()[1:],
		"of a wrong secret":               live[:23] + stranger[23:],
		"of a wrong ref":                  stranger[:23] + live[23:],
		"a session's public name":         own.ref(),
		"too short":                       live[:len(live)-1],
		"too long":                        live + "A",
		"huge":                            strings.Repeat("h", 5000),
		"a word":                          "mine",
		"with a line break":               live[:44] + "\n",
		"with a character of no alphabet": live[:44] + "!",
		"not ASCII":                       strings.Repeat("é", 20),
		"blank":                           " ",
		"with a key of the store":         "mcps:{1}:s:" + own.ref(),
	}
	for _, tool := range names() {
		if tool == "create_session" { // proved below
			continue
		}
		t.Run(tool, func(t *testing.T) {
			for what, handle := range handles {
				for era, p := range map[string]peer{"legacy": {t, own.Client}, "modern": {t, modern.Client}} {
					text := p.refused(tool, with(tool, `"session":`+asJSON(handle)))
					if text != noSession {
						t.Errorf("a %s client with a handle that is %s is told %q, want %q", era, what, text, noSession)
					}
				}
			}
		})
	}
	if text := own.refused("create_session", fmt.Sprintf(`{"session":%q}`, stranger)); text != noSession {
		t.Errorf("create_session with an unknown handle answers %q", text)
	}
	if n := e.count(t); n != alive {
		t.Errorf("%d sessions are alive after that, %d before", n, alive)
	}
	if s := e.stored(t, own.ref()); s.WorkingDirectory != "" || len(s.Values) != 0 {
		t.Errorf("calls with bad handles changed the caller's own session: %+v", s)
	}
}

const noSession = "This session does not exist: it ended, it was unused for too long, or the handle is mistyped. " +
	"Call create_session for a new one and pass its handle as `session`, or, if your client keeps its own MCP session, reconnect."

func TestEndSessionEndsAllThatASessionHeld(t *testing.T) {
	e := serve(t, setup{})
	p := e.modern(t)
	handle := `"session":` + asJSON(p.done("set_working_directory", `{"directory":"/checkout"}`).field("session"))
	p.done("set_value", with("set_value", handle))
	p.done("end_session", "{"+handle+"}")
	if n := e.count(t); n != 0 {
		t.Fatalf("%d sessions are alive after the end", n)
	}
	for _, tool := range names() {
		if text := p.refused(tool, with(tool, handle)); text != noSession {
			t.Errorf("%s on an ended session answers %q", tool, text)
		}
	}
	if n := e.count(t); n != 0 {
		t.Errorf("calls on an ended session made %d new ones", n)
	}
}

func TestALegacyClientThatEndsItsSessionHasToReconnect(t *testing.T) {
	e := serve(t, setup{})
	p := e.legacy(t)
	p.done("end_session", `{}`)
	if n := e.count(t); n != 0 {
		t.Fatalf("%d sessions are alive after the end", n)
	}
	if _, err := p.ListTools(t.Context(), mcp.ListToolsRequest{}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("the next message is answered %v, want 404", err)
	}
}
