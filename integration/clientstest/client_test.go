//go:build long

package clientstest

import (
	"context"
	"sync"
	"testing"
	"time"
)

// patience bounds what takes seconds when replicas die.
const patience = 30 * time.Second

// client is a session of a client that nobody here wrote. It answers every
// question: an elicitation with the user name ann, sampling with a text that
// begins with "from", the roots with two.
type client interface {
	session() string
	list(ctx context.Context) ([]string, error)
	// call returns the text of a tool's result, and how often the client was told
	// of progress so far: go-sdk's may be told after it was given the result.
	call(ctx context.Context, tool string, args map[string]any) (text string, progress func() int, err error)
	subscribe(ctx context.Context, uri string) error
	terminate(ctx context.Context) error
	// updates are the resources that the client was told have changed.
	updates() *updates
}

// clients are all of them. connect gets the URL of an MCP endpoint. One that does
// not resume takes a connection that breaks for the end of its call.
var clients = []struct {
	name    string
	connect func(t *testing.T, url string) client
	resumes bool
}{
	{"TypeScript v1", func(t *testing.T, url string) client { return startTypeScript(t, "v1", url) }, true},
	{"TypeScript v2", func(t *testing.T, url string) client { return startTypeScript(t, "v2", url) }, true},
	{"mcp-go", connectMCPGo, false},
	{"go-sdk", func(t *testing.T, url string) client { return connectGoSDK(t, url, version) }, true},
}

// updates counts by URI.
type updates struct {
	mu  sync.Mutex
	got map[string]int
}

func (u *updates) add(uri string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.got == nil {
		u.got = make(map[string]int)
	}
	u.got[uri]++
}

func (u *updates) of(uri string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.got[uri]
}
