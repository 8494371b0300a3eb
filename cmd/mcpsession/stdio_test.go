package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// piped is a program that serves on its standard input and output.
type piped struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

func startStdio(t *testing.T, env ...string) *piped {
	t.Helper()
	p := &piped{t: t, cmd: program(t, env, "stdio")}
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // it may have ended
	return p
}

// ask sends a request and returns the result.
func (p *piped) ask(id int, method, params string) string {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", id, method, params); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s is not answered: %v", method, err)
	}
	var response struct {
		ID     int
		Result json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &response); err != nil || response.ID != id || response.Result == nil {
		p.t.Fatalf("%s is answered %s", method, line)
	}
	return string(response.Result)
}

// wantEnd waits for the end of the process, which has nothing more to say.
func (p *piped) wantEnd() {
	p.t.Helper()
	rest, err := io.ReadAll(p.out)
	if err != nil || len(rest) != 0 {
		p.t.Errorf("standard output ends with %q, %v", rest, err)
	}
	err = p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		p.t.Errorf("exits %d: %s", exit.ExitCode(), &p.stderr)
	} else if err != nil {
		p.t.Error(err)
	}
}

func TestStdioServesOneClient(t *testing.T) {
	dir := t.TempDir()
	p := startStdio(t)
	hello := p.ask(1, "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tester","version":"7"}}`)
	if !strings.Contains(hello, `"name":"mcpsession"`) || !strings.Contains(hello, testVersion) || !strings.Contains(hello, `"instructions"`) {
		t.Errorf("initialize is answered %s", hello)
	}
	p.ask(2, "tools/call", fmt.Sprintf(`{"name":"set_working_directory","arguments":{"directory":%q}}`, dir))
	if got := p.ask(3, "tools/call", `{"name":"get_session","arguments":{}}`); !strings.Contains(got, dir) || !strings.Contains(got, "tester") {
		t.Errorf("get_session answers %s", got)
	}
	// The client shares this disk.
	if got := p.ask(4, "tools/call", `{"name":"set_working_directory","arguments":{"directory":"/no/such/directory"}}`); !strings.Contains(got, "does not exist") {
		t.Errorf("a missing directory is answered %s", got)
	}
	p.in.Close()
	p.wantEnd()
}

func TestStdioOfAModernClientUsesHandles(t *testing.T) {
	p := startStdio(t)
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"tester","version":"7"}}`
	tool := func(id int, name, arguments string) string {
		return p.ask(id, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s,%s}`, name, arguments, meta))
	}
	if got := tool(1, "get_session", `{}`); !strings.Contains(got, `"isError":true`) || !strings.Contains(got, "create_session") {
		t.Errorf("a call without a handle is answered %s", got)
	}
	var created struct {
		StructuredContent struct{ Session string }
	}
	if err := json.Unmarshal([]byte(tool(2, "create_session", `{}`)), &created); err != nil {
		t.Fatal(err)
	}
	if got := tool(3, "get_session", fmt.Sprintf(`{"session":%q}`, created.StructuredContent.Session)); !strings.Contains(got, `"client_name":"tester"`) {
		t.Errorf("a call with a handle is answered %s", got)
	}
	p.in.Close()
	p.wantEnd()
}

func TestSIGTERMEndsStdioCleanly(t *testing.T) {
	p := startStdio(t)
	p.ask(1, "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tester","version":"7"}}`)
	p.ask(2, "tools/call", `{"name":"get_session","arguments":{}}`)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.wantEnd()
}
