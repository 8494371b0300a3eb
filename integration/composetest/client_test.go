//go:build compose

package composetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

const (
	// callTimeout bounds one call, so that no test hangs.
	callTimeout = 20 * time.Second

	protocolVersion = "2025-11-25"
)

// agent is a client of one session, which asks one thing at a time.
type agent struct {
	t      testing.TB
	client *client.Client
	server mcp.Implementation
	wire   *wire
}

// wire remembers which replicas answered, and how.
type wire struct {
	replica  string // the last one
	replicas map[string]bool
	statuses map[int]int
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		w.statuses[response.StatusCode]++
		if w.replica = response.Header.Get("X-Replica"); w.replica != "" {
			w.replicas[w.replica] = true
		}
	}
	return response, err
}

// connect begins a session through the balancer.
func connect(t testing.TB) *agent {
	t.Helper()
	w := &wire{replicas: map[string]bool{}, statuses: map[int]int{}}
	trans, err := transport.NewStreamableHTTP(baseURL(t)+"/mcp", transport.WithHTTPBasicClient(&http.Client{Transport: w}))
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{t: t, client: client.NewClient(trans), wire: w}
	if err := a.client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = protocolVersion
	hello.Params.ClientInfo = mcp.Implementation{Name: "compose-test", Version: "1"}
	answer, err := a.client.Initialize(ctx, hello)
	if err != nil {
		t.Fatalf("initialize: %v", err)
	}
	a.server = answer.ServerInfo
	return a
}

// try calls a tool and returns its structured content.
func (a *agent) try(tool string, arguments map[string]any) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(a.t.Context(), callTimeout)
	defer cancel()
	var request mcp.CallToolRequest
	request.Params.Name, request.Params.Arguments = tool, arguments
	answer, err := a.client.CallTool(ctx, request)
	if err != nil {
		return nil, err
	}
	if answer.IsError {
		text, err := json.Marshal(answer.Content)
		return nil, errors.Join(fmt.Errorf("%s", text), err)
	}
	content, ok := answer.StructuredContent.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s answers %v", tool, answer.StructuredContent)
	}
	return content, nil
}

// call calls a tool that must succeed.
func (a *agent) call(tool string, arguments map[string]any) map[string]any {
	a.t.Helper()
	content, err := a.try(tool, arguments)
	if err != nil {
		a.t.Fatalf("%s(%v): %v", tool, arguments, err)
	}
	return content
}

// onEach runs check until each of the three replicas answered its last request.
func (a *agent) onEach(check func()) {
	a.t.Helper()
	seen := map[string]bool{}
	for deadline := time.Now().Add(patience); len(seen) < 3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatalf("within %v only these replicas answered: %v", patience, seen)
		}
		check()
		seen[a.wire.replica] = true
	}
}

// load is clients that read from their sessions all the time.
type load struct {
	mu      sync.Mutex
	reads   int
	slowest time.Duration // a read, with its repetition if it failed at first
	failed  []error       // reads that failed at first
	lost    []error       // those of them that failed again at once
	gone    int           // answers 404: a session was taken for ended

	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startLoad(t testing.TB, clients int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	t.Cleanup(l.stop)
	for i := range clients {
		a := connect(t)
		directory := fmt.Sprintf("/home/agent/%d", i)
		a.call("set_working_directory", map[string]any{"directory": directory})
		read := func() error {
			content, err := a.try("get_session", nil)
			if err == nil && content["working_directory"] != directory {
				t.Errorf("a session's directory is %v, want %s", content["working_directory"], directory)
			}
			return err
		}
		l.done.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
				begin := time.Now()
				first := read()
				var second error
				if first != nil {
					second = read()
				}
				l.mu.Lock()
				l.reads++
				l.slowest = max(l.slowest, time.Since(begin))
				if first != nil {
					l.failed = append(l.failed, first)
				}
				if second != nil {
					l.lost = append(l.lost, second)
				}
				l.mu.Unlock()
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.gone += a.wire.statuses[http.StatusNotFound]
		})
	}
	return l
}

// stop ends the load and waits for it; then its figures are final.
func (l *load) stop() {
	l.cancel()
	l.done.Wait()
}

func (l *load) String() string {
	return fmt.Sprintf("%d reads, the slowest %v, failed at first %d: %v", l.reads, l.slowest.Round(time.Millisecond), len(l.failed), l.failed)
}
