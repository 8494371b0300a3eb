package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/server"
)

// pipe is a client's end of ServeStdio.
type pipe struct {
	t      *testing.T
	in     *io.PipeWriter
	out    *bufio.Reader
	cancel context.CancelFunc
	served chan error
	lastID int
}

// serveStdio is not for tests in parallel: mcp-go has one stdio session a process.
func serveStdio(t *testing.T, store mcpsession.SessionStore) *pipe {
	t.Helper()
	toServer, in := io.Pipe()
	out, fromServer := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	p := &pipe{t: t, in: in, out: bufio.NewReader(out), cancel: cancel, served: make(chan error, 1)}
	go func() {
		err := server.ServeStdio(ctx, newMCP(), store, toServer, fromServer)
		fromServer.Close()
		p.served <- err
	}()
	t.Cleanup(func() { cancel(); in.Close() })
	return p
}

func (p *pipe) write(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// ask sends a request with an id of its own, and returns the response to it.
func (p *pipe) ask(method, params string) string {
	p.t.Helper()
	p.lastID++
	p.write(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, p.lastID, method, params))
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s is not answered: %v", method, err)
	}
	var response struct{ ID int }
	if err := json.Unmarshal([]byte(line), &response); err != nil || response.ID != p.lastID {
		p.t.Fatalf("%s is answered %s", method, line)
	}
	return line
}

func (p *pipe) initialize() {
	p.t.Helper()
	p.ask("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tester","version":"7"}}`)
	p.write(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

func (p *pipe) whose() string {
	p.t.Helper()
	return toolText(p.t, strings.NewReader(p.ask("tools/call", `{"name":"whose"}`)))
}

// end waits for the server after its input or its context ended.
func (p *pipe) end() {
	p.t.Helper()
	select {
	case err := <-p.served:
		if err != nil {
			p.t.Errorf("ServeStdio: %v", err)
		}
	case <-time.After(patience):
		p.t.Fatal("ServeStdio does not return")
	}
}

func TestALegacyClientOnStdioHasOneSession(t *testing.T) {
	store := newSpy(t)
	p := serveStdio(t, store)
	p.initialize()
	if n := store.count(t); n != 0 {
		t.Errorf("%d sessions are alive before the first tool call", n)
	}
	first := p.whose()
	for range 3 {
		if got := p.whose(); got != first {
			t.Errorf("a later call has the session %s, the first had %s", got, first)
		}
	}
	ids := store.issued()
	if len(ids) != 1 || ids[0].Ref().String() != first {
		t.Fatalf("the sessions %v were begun, want one, %s", ids, first)
	}
	s, err := store.Get(t.Context(), ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if s.Client.Name != "tester" || s.Client.Version != "7" {
		t.Errorf("the session records the client %+v", s.Client)
	}
}

func TestAStdioSessionEndsWithItsProcess(t *testing.T) {
	for what, stop := range map[string]func(*pipe){
		"at the end of its input": func(p *pipe) { p.in.Close() },
		"when it is told to stop": func(p *pipe) { p.cancel() },
	} {
		t.Run(what, func(t *testing.T) {
			store := newSpy(t)
			p := serveStdio(t, store)
			p.initialize()
			p.whose()
			if n := store.count(t); n != 1 {
				t.Fatalf("%d sessions are alive, want 1", n)
			}
			stop(p)
			p.end()
			if n := store.count(t); n != 0 {
				t.Errorf("%d sessions outlive the process", n)
			}
		})
	}
}

func TestAStdioClientThatCallsNoToolLeavesNothing(t *testing.T) {
	store := newSpy(t)
	p := serveStdio(t, store)
	p.initialize()
	p.ask("tools/list", `{}`)
	p.in.Close()
	p.end()
	if ids := store.issued(); len(ids) != 0 {
		t.Errorf("the sessions %v were begun", ids)
	}
}

func TestAModernCallOnStdioHasNoSessionOfItsOwn(t *testing.T) {
	store := newSpy(t)
	p := serveStdio(t, store)
	params := `{"name":"whose","arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
		`"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"tester","version":"7"}}}`
	if got := toolText(t, strings.NewReader(p.ask("tools/call", params))); got != "nobody's" {
		t.Errorf("a modern call has the session %s", got)
	}
	p.in.Close()
	p.end()
	if ids := store.issued(); len(ids) != 0 {
		t.Errorf("the sessions %v were begun", ids)
	}
}

func TestAStdioSessionThatEndedIsReplaced(t *testing.T) {
	store := newSpy(t)
	p := serveStdio(t, store)
	p.initialize()
	first := p.whose()
	// As after a deadline: the store tells the two apart to nobody.
	if err := store.Delete(t.Context(), store.issued()[0]); err != nil {
		t.Fatal(err)
	}
	second := p.whose()
	if second == first || second != store.issued()[1].Ref().String() {
		t.Errorf("the calls after the end have the session %s, the first was %s", second, first)
	}
	if third := p.whose(); third != second {
		t.Errorf("the session was replaced again, %s by %s", second, third)
	}
	p.in.Close()
	p.end()
	if n := store.count(t); n != 0 {
		t.Errorf("%d sessions outlive the process", n)
	}
}

// unreadable is a store that fails to read, but would create, while it is down.
type unreadable struct {
	*spy
	down atomic.Bool
}

func (u *unreadable) Get(ctx context.Context, id mcpsession.ID) (mcpsession.Session, error) {
	if u.down.Load() {
		return mcpsession.Session{}, mcpsession.ErrUnavailable
	}
	return u.spy.Get(ctx, id)
}

func TestAnOutageOnStdioReplacesNoSession(t *testing.T) {
	store := &unreadable{spy: newSpy(t)}
	p := serveStdio(t, store)
	p.initialize()
	first := p.whose()
	store.down.Store(true)
	if got := p.ask("tools/call", `{"name":"whose"}`); !strings.Contains(got, "store unavailable") || strings.Contains(got, "not found") {
		t.Errorf("a call during an outage is answered %s", got)
	}
	store.down.Store(false)
	if got := p.whose(); got != first {
		t.Errorf("after the outage the session is %s, it was %s", got, first)
	}
}

func TestStdioAnswersWhatWasAskedBeforeTheInputEnded(t *testing.T) {
	p := serveStdio(t, newSpy(t))
	p.initialize()
	p.write(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"whose"}}`)
	p.in.Close()
	line, err := p.out.ReadString('\n')
	if err != nil || !strings.Contains(line, `"result"`) {
		t.Errorf("the call is answered %s (%v)", line, err)
	}
	p.end()
}
