package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// connect connects a legacy client of mcp-go.
func connect(t *testing.T, url string) *client.Client {
	t.Helper()
	stream, err := transport.NewStreamableHTTP(url, transport.WithHTTPTimeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewClient(stream)
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_LEGACY_PROTOCOL_VERSION
	if _, err := c.Initialize(t.Context(), hello); err != nil {
		t.Fatal(err)
	}
	return c
}

// call calls a tool, with arguments as JSON, and returns its text.
func call(t *testing.T, c *client.Client, tool, arguments string) (text string, isError bool) {
	t.Helper()
	var request mcp.CallToolRequest
	request.Params.Name, request.Params.Arguments = tool, json.RawMessage(arguments)
	result, err := c.CallTool(t.Context(), request)
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	return mcp.GetTextFromContent(result.Content[0]), result.IsError
}

// openStream opens the GET stream of the client's session.
func openStream(t *testing.T, url string, c *client.Client) io.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Mcp-Session-Id", c.GetSessionId())
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET is answered %s", response.Status)
	}
	return response.Body
}

func TestServeAnswersClientsAndProbes(t *testing.T) {
	r := start(t)
	if host, port, err := net.SplitHostPort(r.addr); err != nil || host != "127.0.0.1" || port == "0" {
		t.Errorf("logs the address %q", r.addr)
	}
	if want := "http://" + r.addr + "/mcp"; r.url != want {
		t.Errorf("logs the URL %q, want %q", r.url, want)
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if status, body := r.get(path); status != http.StatusOK || body != want {
			t.Errorf("%s is answered %d %q, want 200 %q", path, status, body, want)
		}
	}
	if status, _ := r.get("/"); status != http.StatusNotFound {
		t.Errorf("another path is answered %d", status)
	}

	dir := t.TempDir()
	c := connect(t, r.url)
	call(t, c, "set_working_directory", fmt.Sprintf(`{"directory":%q}`, dir))
	if text, isError := call(t, c, "get_working_directory", `{}`); isError || !strings.Contains(text, dir) {
		t.Errorf("get_working_directory answers %s", text)
	}
	if text, isError := call(t, c, "set_working_directory", fmt.Sprintf(`{"directory":"%s/missing"}`, dir)); !isError || !strings.Contains(text, "does not exist") {
		t.Errorf("on loopback a missing directory is answered %s", text)
	}
}

func TestHealthcheckFindsTheServer(t *testing.T) {
	r := start(t)
	_, port, _ := net.SplitHostPort(r.addr)
	for _, addr := range []string{r.addr, "localhost:" + port, "0.0.0.0:" + port, ":" + port} {
		if got := run(t, []string{"LISTEN_ADDR=" + addr}, "healthcheck"); got.code != 0 || got.stdout+got.stderr != "" {
			t.Errorf("healthcheck of %s exits %d with %q", addr, got.code, got.stdout+got.stderr)
		}
	}
	r.signal(syscall.SIGTERM)
	r.wantExit(0)
	run(t, []string{"LISTEN_ADDR=" + r.addr}, "healthcheck").wantMistake(t, r.addr)
}

func TestTheVariablesTakeEffect(t *testing.T) {
	inside, outside := t.TempDir(), t.TempDir()
	r := start(t, "MCP_PATH=/agents", "WORKSPACE_ROOTS="+inside, "DEFAULT_PROJECT=main", "SESSION_MAX_SIZE=4096",
		"SESSION_IDLE_TIMEOUT=2h", "MAX_SESSIONS=2")
	if !strings.HasSuffix(r.url, "/agents") {
		t.Fatalf("the URL is %s", r.url)
	}
	c := connect(t, r.url)
	for _, test := range []struct{ tool, arguments, says string }{
		{"set_working_directory", fmt.Sprintf(`{"directory":%q}`, inside), inside},
		{"set_working_directory", fmt.Sprintf(`{"directory":%q}`, outside), "outside the allowed roots"},
		{"auto_switch_project", `{}`, `"project_id":"main"`},
		{"set_value", fmt.Sprintf(`{"key":"k","value":%q}`, strings.Repeat("x", 4096)), "4096 bytes"},
		{"create_session", `{}`, `"idle_timeout_seconds":7200`},
		{"create_session", `{}`, "as many sessions as it may"},
	} {
		if text, _ := call(t, c, test.tool, test.arguments); !strings.Contains(text, test.says) {
			t.Errorf("%s %.60s answers %s, want %q", test.tool, test.arguments, text, test.says)
		}
	}
}

func TestSIGTERMEndsTheProcessCleanlyDespiteAnOpenStream(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			r := start(t)
			stream := openStream(t, r.url, connect(t, r.url))
			begin := time.Now()
			r.signal(sig)
			if _, err := io.ReadAll(stream); err != nil {
				t.Errorf("the stream ends with %v", err)
			}
			r.wantExit(0)
			if took := time.Since(begin); took > patience {
				t.Errorf("ends after %v", took)
			}
			if log := r.log.String(); !strings.Contains(log, `"msg":"draining"`) || !strings.Contains(log, `"msg":"stopped"`) {
				t.Errorf("the log does not tell of the end:\n%s", log)
			}
		})
	}
}

func TestWhileDrainingTheServerIsNotReadyAndStillWorks(t *testing.T) {
	r := start(t, "DRAIN_DELAY=1h")
	c := connect(t, r.url)
	r.signal(syscall.SIGTERM)
	eventually(t, "readiness turns false", func() bool {
		status, _ := r.get("/readyz")
		return status == http.StatusServiceUnavailable
	})
	if _, body := r.get("/readyz"); body != "draining\n" {
		t.Errorf("/readyz answers %q", body)
	}
	if status, _ := r.get("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d", status)
	}
	if text, isError := call(t, c, "get_session", `{}`); isError {
		t.Errorf("a call while draining is answered %s", text)
	}
	call(t, connect(t, r.url), "get_session", `{}`) // new clients too

	eventually(t, "a second signal ends it at once", func() bool {
		_ = r.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-r.exited:
			return true
		default:
			return false
		}
	})
}

func TestTheServersLogHoldsNoSecret(t *testing.T) {
	r := start(t)
	c := connect(t, r.url)
	text, _ := call(t, c, "create_session", `{}`)
	var created struct{ Session string }
	if err := json.Unmarshal([]byte(text), &created); err != nil || created.Session == "" {
		t.Fatalf("create_session answers %s", text)
	}
	session := fmt.Sprintf(`{"session":%q}`, created.Session)
	call(t, c, "get_session", session)
	call(t, c, "end_session", session)
	call(t, c, "get_session", session)
	own := c.GetSessionId()
	if err := c.Close(); err != nil { // it sends DELETE
		t.Fatal(err)
	}
	r.signal(syscall.SIGTERM)
	r.wantExit(0)
	log := r.log.String()
	if !strings.Contains(log, "session began") || !strings.Contains(log, "session ended") {
		t.Errorf("the log tells nothing:\n%s", log)
	}
	for _, token := range []string{own, created.Session} {
		if len(token) < 40 || strings.Contains(log, token[23:]) {
			t.Errorf("the token %q is in the log:\n%s", token, log)
		}
	}
	for lines := bufio.NewScanner(strings.NewReader(log)); lines.Scan(); {
		if !json.Valid(lines.Bytes()) {
			t.Errorf("the log has a line that is not JSON: %s", lines.Text())
		}
	}
}
