package tools_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession/project"
)

// validating makes mcp-go check arguments and results by the tools' own schemas.
var validating = []mcpserver.ServerOption{mcpserver.WithInputSchemaValidation(), mcpserver.WithOutputSchemaValidation()}

const fullConfig = `{
	"version": "1.2",
	"project": {"name": "Apollo", "id": "123E4567-E89B-12D3-A456-426614174000"},
	"auto_switch": true, "strict_mode": false, "dry_run": false,
	"description": "Moon",
	"created_at": "2026-01-02T15:04:05Z", "updated_at": "2026-02-03T00:00:00+01:00"
}`

func TestEveryToolAnswersWhatItsSchemaPromises(t *testing.T) {
	dir := checkout(t, fullConfig)
	e := serve(t, setup{finder: finder(t), options: validating})
	for era, begin := range map[string]func(*testing.T) (p peer, ref, handle string){
		"a legacy client without a handle": func(t *testing.T) (peer, string, string) {
			p := e.legacy(t)
			return p, p.ref(), ""
		},
		"a modern client with a handle": func(t *testing.T) (peer, string, string) {
			p := e.modern(t)
			created := p.done("create_session", `{}`)
			return p, created.field("session_id"), `"session":` + asJSON(created.field("session"))
		},
	} {
		t.Run(era, func(t *testing.T) {
			p, ref, handle := begin(t)
			config := filepath.Join(dir, ".codebase-mcp", "config.json")
			for _, step := range []struct{ tool, arguments, want string }{
				{"get_working_directory", ``,
					fmt.Sprintf(`{"session_id":%q, "is_set":false, "working_directory":""}`, ref)},
				{"set_working_directory", fmt.Sprintf(`"directory":%q`, dir),
					fmt.Sprintf(`{"session_id":%q, "working_directory":%q, "config_found":true, "config_path":%q,
						"project_info":{"name":"Apollo", "id":"123e4567-e89b-12d3-a456-426614174000"}}`, ref, dir, config)},
				{"find_project_config", ``,
					fmt.Sprintf(`{"found":true, "config_path":%q, "config":{"version":"1.2",
						"project":{"name":"Apollo", "id":"123e4567-e89b-12d3-a456-426614174000"},
						"auto_switch":true, "strict_mode":false, "dry_run":false, "description":"Moon",
						"created_at":"2026-01-02T15:04:05Z", "updated_at":"2026-02-03T00:00:00+01:00"}}`, config)},
				{"auto_switch_project", ``,
					fmt.Sprintf(`{"session_id":%q, "project_id":"123e4567-e89b-12d3-a456-426614174000", "decided_by":"config",
						"recorded":true, "dry_run":false, "skipped":["explicit: no project id was given"]}`, ref)},
				{"get_working_directory", ``,
					fmt.Sprintf(`{"session_id":%q, "is_set":true, "working_directory":%q, "config_path":%q,
						"project_id":"123e4567-e89b-12d3-a456-426614174000"}`, ref, dir, config)},
				{"set_value", `"key":"plan","value":{"steps":[1,null]}`, `{"key":"plan", "stored":true, "revision":4}`},
				{"get_value", `"key":"plan"`, `{"key":"plan", "found":true, "value":{"steps":[1,null]}}`},
				{"get_value", `"key":"other"`, `{"key":"other", "found":false}`},
				{"delete_value", `"key":"plan"`, `{"key":"plan", "deleted":true}`},
				{"delete_value", `"key":"plan"`, `{"key":"plan", "deleted":false}`},
				{"count_sessions", ``, fmt.Sprintf(`{"count":%d}`, e.count(t))},
				{"end_session", ``, fmt.Sprintf(`{"session_id":%q, "ended":true}`, ref)},
			} {
				p.done(step.tool, "{"+strings.Trim(step.arguments+","+handle, ",")+"}").is(step.want)
			}
		})
	}
}

func TestSessionTimesAreToldExactly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// No network: a bubble's time stands still while one is read.
		e, handler := setup{options: validating}.build(t)
		p := connect(t, "http://localhost/mcp", mcp.ProtocolVersion20260728,
			transport.WithHTTPBasicClient(&http.Client{Transport: direct{handler}}))
		// Time is 2000-01-01T00:00:00Z.
		time.Sleep(90 * time.Minute)
		created := p.done("create_session", `{}`)
		handle := created.field("session")
		created.is(fmt.Sprintf(`{"session":%q, "session_id":%q, "idle_timeout_seconds":86400, "expires_at":%s}`,
			handle, created.field("session_id"), asJSON(time.Now().Add(7*24*time.Hour))))

		p.done("set_working_directory", fmt.Sprintf(`{"directory":"/checkout", "session":%q}`, handle))
		p.done("auto_switch_project", fmt.Sprintf(`{"project_id":"apollo", "session":%q}`, handle))
		p.done("set_value", fmt.Sprintf(`{"key":"z", "value":1, "session":%q}`, handle))
		p.done("set_value", fmt.Sprintf(`{"key":"a", "value":1, "session":%q}`, handle))
		time.Sleep(23 * time.Hour)
		now := time.Now()
		p.done("get_session", fmt.Sprintf(`{"session":%q}`, handle)).is(fmt.Sprintf(`{
			"session_id":%q, "working_directory":"/checkout", "project_id":"apollo",
			"client_name":"tester", "client_version":"7", "protocol_version":"2026-07-28",
			"value_keys":["a","z"], "created_at":%s, "last_used_at":%s, "idle_expires_at":%s, "expires_at":%s, "revision":5}`,
			created.field("session_id"), asJSON(now.Add(-23*time.Hour)), asJSON(now),
			asJSON(now.Add(24*time.Hour)), asJSON(now.Add(6*24*time.Hour+time.Hour))))

		time.Sleep(24*time.Hour + 24*time.Hour/16) // within which the store has to end it
		if n := e.count(t); n != 0 {
			t.Fatalf("%d sessions outlive their idle timeout", n)
		}
		if text := p.refused("get_session", fmt.Sprintf(`{"session":%q}`, handle)); !strings.Contains(text, "does not exist") {
			t.Errorf("an expired handle is answered %q", text)
		}
	})
}

// direct is a network without wires. Answers only arrive when complete.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	d.handler.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// The validator passes over a schema that does not compile, so each is seen to
// refuse something.
func TestEverySchemaRefusesWhatItDoesNotName(t *testing.T) {
	e := serve(t, setup{options: append(validating, mcpserver.WithToolHandlerMiddleware(spoil))})
	p := e.legacy(t)
	for _, tool := range names() {
		t.Run(tool, func(t *testing.T) {
			p := peer{t, p.Client}
			if text := p.refused(tool, with(tool, `"unheard_of":1`)); !strings.Contains(text, "input schema validation failed") {
				t.Errorf("an unknown argument is refused with %q, not by the input schema", text)
			}
			if text := p.refused(tool, with(tool, `"session":1`)); !strings.Contains(text, "input schema validation failed: /session") {
				t.Errorf("a numeric session is refused with %q, not by the input schema", text)
			}
			if text := p.refused(tool, with(tool, ``)); !strings.Contains(text, "output schema validation failed") {
				t.Errorf("an empty result is refused with %q, not by the output schema", text)
			}
		})
	}
}

// spoil replaces a tool's result by an empty one.
func spoil(mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultStructuredOnly(map[string]any{}), nil
	}
}

func TestAResultWithoutAConfigIsValidToo(t *testing.T) {
	dir := checkout(t, "")
	p := serve(t, setup{finder: finder(t, dir), options: validating, resolver: &project.Resolver{Default: "main"}}).legacy(t)
	p.done("set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir)).
		is(fmt.Sprintf(`{"session_id":%q, "working_directory":%q, "config_found":false}`, p.ref(), dir))
	p.done("find_project_config", `{}`).is(`{"found":false}`)
	p.done("auto_switch_project", `{}`).is(fmt.Sprintf(`{"session_id":%q, "project_id":"main", "decided_by":"default", "recorded":true, "dry_run":false,
		"skipped":["explicit: no project id was given", "config: the session has no project configuration",
			"active: no server to ask for the active project is configured"]}`, p.ref()))
}

// checkout is an existing directory, with a project config unless that is empty.
func checkout(t *testing.T, config string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if config == "" {
		return dir
	}
	path := filepath.Join(dir, ".codebase-mcp", "config.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
