package project

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

type toolHandler = server.ToolHandlerFunc

func answer(result *mcp.CallToolResult) toolHandler {
	return func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) { return result, nil }
}

func mcpHandler(tool string, handler toolHandler, options ...server.StreamableHTTPOption) http.Handler {
	s := server.NewMCPServer("other", "1", server.WithToolCapabilities(true))
	s.AddTool(mcp.NewTool(tool), handler)
	return server.NewStreamableHTTPServer(s, options...)
}

func serve(t *testing.T, handler http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL + "/mcp"
}

func ask(t *testing.T, url, tool string, timeout time.Duration) (string, error) {
	t.Helper()
	f, err := ActiveProject(url, tool)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return f(ctx)
}

const plenty = 20 * time.Second

func TestActiveProjectAsksServersOfBothEras(t *testing.T) {
	result := mcp.NewToolResultStructuredOnly(map[string]any{"project_id": "act"})
	for name, options := range map[string][]server.StreamableHTTPOption{
		"modern":               {server.WithStreamableHTTPProtocolVersions("2026-07-28")},
		"legacy":               {server.WithStreamableHTTPProtocolVersions("2025-11-25")},
		"legacy, with session": {server.WithStreamableHTTPProtocolVersions("2025-06-18", "2025-11-25"), server.WithStateful(true)},
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, mcpHandler(defaultActiveTool, answer(result), options...))
			if id, err := ask(t, url, "", plenty); err != nil || id != "act" {
				t.Errorf("%q, %v", id, err)
			}
		})
	}
	t.Run("by another tool's name", func(t *testing.T) {
		url := serve(t, mcpHandler("current", answer(result)))
		if id, err := ask(t, url, "current", plenty); err != nil || id != "act" {
			t.Errorf("%q, %v", id, err)
		}
		_, err := ask(t, url, "", plenty)
		wantError(t, err, defaultActiveTool)
	})
}

func TestActiveProjectReadsTheIDFromTheAnswer(t *testing.T) {
	structured := func(v any) *mcp.CallToolResult { return mcp.NewToolResultStructuredOnly(v) }
	type object = map[string]any
	for name, c := range map[string]struct {
		result *mcp.CallToolResult
		id     string
		says   string // the error, if there has to be one
	}{
		"project_id":                   {structured(object{"project_id": "a", "id": "b"}), "a", ""},
		"id":                           {structured(object{"id": "b", "name": "n"}), "b", ""},
		"project.id":                   {structured(object{"project": object{"id": "c"}}), "c", ""},
		"project.project_id":           {structured(object{"project": object{"project_id": "d"}}), "d", ""},
		"text that is JSON":            {mcp.NewToolResultText(` {"project_id": "e"} `), "e", ""},
		"structured content over text": {mcp.NewToolResultStructured(object{"id": "f"}, `{"id": "g"}`), "f", ""},
		"null means none":              {structured(object{"project_id": nil}), "", ""},
		"empty means none":             {structured(object{"id": ""}), "", ""},
		"project null means none":      {structured(object{"project": nil}), "", ""},
		"an error":                     {mcp.NewToolResultError(`{"id": "h"}`), "", "answered with an error"},
		"other text":                   {mcp.NewToolResultText("The project is i."), "", "no JSON object"},
		"another object":               {structured(object{"name": "j"}), "", "names no project"},
		"another object in project":    {structured(object{"project": object{"name": "k"}}), "", "names no project"},
		"a number":                     {structured(object{"id": 7}), "", "must be a string"},
		"a project that is a number":   {structured(object{"project": 7}), "", "must be an object"},
		"neither structured nor text":  {mcp.NewToolResultImage("", "aGk=", "image/png"), "", "no"},
		"more than a megabyte":         {structured(object{"id": strings.Repeat("x", maxAnswerBytes)}), "", "ask for the active project"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := ask(t, serve(t, mcpHandler(defaultActiveTool, answer(c.result))), "", plenty)
			if c.says != "" {
				wantError(t, err, c.says)
			} else if err != nil {
				t.Error(err)
			}
			if id != c.id {
				t.Errorf("id %.20q, want %q", id, c.id)
			}
		})
	}
}

func TestActiveProjectRefusesWhatIsNoHTTPURL(t *testing.T) {
	for _, url := range []string{"", "localhost:8080", "/mcp", "ftp://host/mcp", "http://", "http://user:hunter2@host:port/", "ftp://user:hunter2@host/"} {
		_, err := ActiveProject(url, "")
		wantError(t, err, "URL")
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("error %q tells the password", err)
		}
	}
}

func TestActiveProjectSaysThatAServerIsUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, err := ask(t, s.URL, "", plenty)
	wantError(t, err, "refused")

	_, err = ask(t, serve(t, http.NotFoundHandler()), "", plenty)
	wantError(t, err, "ask for the active project")
}

// hanging passes requests on, except those that it never answers.
func hanging(t *testing.T, next http.Handler, hangs func(method string, body []byte) bool) (url string, hung func() []string) {
	t.Helper()
	var mu sync.Mutex
	var list []string
	end := make(chan struct{})
	url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if hangs(r.Method, body) {
			mu.Lock()
			list = append(list, r.Method)
			mu.Unlock()
			select {
			case <-r.Context().Done():
			case <-end:
			}
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { close(end) }) // before the server is closed
	return url, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return list
	}
}

func TestActiveProjectGivesUpOnAServerThatHangs(t *testing.T) {
	next := mcpHandler(defaultActiveTool, answer(mcp.NewToolResultStructuredOnly(map[string]any{"id": "act"})),
		server.WithStreamableHTTPProtocolVersions("2025-11-25"), server.WithStateful(true))
	for name, hangs := range map[string]func(string, []byte) bool{
		"from the start":   func(string, []byte) bool { return true },
		"at the handshake": func(_ string, body []byte) bool { return bytes.Contains(body, []byte(`"initialize"`)) },
		"at the call and the goodbye": func(method string, body []byte) bool {
			return method == http.MethodDelete || bytes.Contains(body, []byte(`"tools/call"`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, hung := hanging(t, next, hangs)
			start := time.Now()
			_, err := ask(t, url, "", 700*time.Millisecond)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want context.DeadlineExceeded", err)
			}
			// mcp-go by itself would wait five seconds for the goodbye.
			if took := time.Since(start); took > 4*time.Second {
				t.Errorf("gave up after %v", took)
			}
			if len(hung()) == 0 {
				t.Error("the server did not hang")
			}
		})
	}
	t.Run("only at the goodbye: the answer counts", func(t *testing.T) {
		url, hung := hanging(t, next, func(method string, _ []byte) bool { return method == http.MethodDelete })
		start := time.Now()
		id, err := ask(t, url, "", 2*time.Second)
		if err != nil || id != "act" {
			t.Errorf("%q, %v", id, err)
		}
		if took := time.Since(start); took > 4500*time.Millisecond {
			t.Errorf("took %v", took)
		}
		if got := hung(); len(got) != 1 {
			t.Errorf("hung at %q, want the goodbye", got)
		}
	})
	t.Run("only at the newer protocol's first request: the older one is used", func(t *testing.T) {
		url, hung := hanging(t, next, func(_ string, body []byte) bool { return bytes.Contains(body, []byte(`"server/discover"`)) })
		if id, err := ask(t, url, "", plenty); err != nil || id != "act" {
			t.Errorf("%q, %v", id, err)
		}
		if len(hung()) == 0 {
			t.Error("the server did not hang")
		}
	})
}

func TestAResolverWithAHangingServerFallsThrough(t *testing.T) {
	url, _ := hanging(t, http.NotFoundHandler(), func(string, []byte) bool { return true })
	f, err := ActiveProject(url, "")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	got, err := (&Resolver{Active: f, Default: "def"}).Resolve(t.Context(), "", nil)
	if err != nil || got.Source != SourceDefault || !errors.Is(got.ActiveErr, context.DeadlineExceeded) {
		t.Errorf("%+v, %v", got, err)
	}
	if took := time.Since(start); took < time.Second || took > 4*time.Second {
		t.Errorf("took %v, want about 1s", took)
	}
}
