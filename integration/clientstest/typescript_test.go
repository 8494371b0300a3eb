//go:build long

package clientstest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/replica"
	"github.com/mcpsession/mcpsession/integration/internal/repo"
)

// typeScript is a client in a process of its own; see driver.mjs.
type typeScript struct {
	t       *testing.T
	id      string
	version string // of the protocol
	closed  chan string
	heard   updates
	stdin   io.Writer
	mu      sync.Mutex
	last    int
	pending map[int]chan reply
}

type reply struct {
	ID     int
	Result json.RawMessage
	Error  string
}

// startTypeScript starts a client of a major version, perhaps with a mode of
// version negotiation.
func startTypeScript(t *testing.T, version, url string, mode ...string) client {
	t.Helper()
	root, err := repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(root, "scripts", "clients.sh")).Output()
	if err != nil {
		t.Fatalf("scripts/clients.sh: %v", err)
	}
	modules := filepath.Join(strings.TrimSpace(string(out)), "node_modules")
	dir := t.TempDir() // where the driver finds the packages
	driver, err := os.ReadFile(filepath.Join(root, "integration", "clientstest", "driver.mjs"))
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "driver.mjs"), driver, 0o600), os.Symlink(modules, filepath.Join(dir, "node_modules")))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(modules, "node", "bin", "node"), append([]string{filepath.Join(dir, "driver.mjs"), version, url}, mode...)...)
	cmd.Env = replica.Environ()
	c := &typeScript{t: t, pending: make(map[int]chan reply), closed: make(chan string, 100)}
	log := &strings.Builder{}
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.stdin = stdin
	var told []string // what it said of errors; read after it ended
	read := make(chan struct{})
	go func() {
		defer close(read)
		told = c.read(stdout)
	}()
	t.Cleanup(func() {
		cancel()
		<-read
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the client said:\n%s\n%s", strings.Join(told, "\n"), log)
		}
	})
	var connected struct{ Session, Protocol string }
	raw, err := c.do(t.Context(), "connect", nil)
	if err == nil {
		err = json.Unmarshal(raw, &connected)
	}
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	c.id, c.version = connected.Session, connected.Protocol
	return c
}

func (c *typeScript) read(stdout io.Reader) (told []string) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var line struct {
			reply
			Trouble      string
			Closed       string
			Notification struct {
				Method string
				Params struct{ URI string }
			}
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			told = append(told, lines.Text())
			continue
		}
		switch {
		case line.ID != 0:
			c.mu.Lock()
			answer := c.pending[line.ID]
			delete(c.pending, line.ID)
			c.mu.Unlock()
			answer <- line.reply
		case line.Closed != "":
			c.closed <- line.Closed
		case line.Notification.Method == "notifications/resources/updated":
			c.heard.add(line.Notification.Params.URI)
		default:
			told = append(told, lines.Text())
		}
	}
	return told
}

// do runs a command of the driver.
func (c *typeScript) do(ctx context.Context, name string, args map[string]any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	answer := make(chan reply, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.pending[id] = answer
	line := map[string]any{"id": id, "do": name}
	for key, value := range args {
		line[key] = value
	}
	text, err := json.Marshal(line)
	if err == nil {
		_, err = c.stdin.Write(append(text, '\n'))
	}
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		if a.Error != "" {
			return nil, errors.New(a.Error)
		}
		return a.Result, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", name, ctx.Err())
	}
}

func (c *typeScript) session() string   { return c.id }
func (c *typeScript) updates() *updates { return &c.heard }

func (c *typeScript) list(ctx context.Context) (names []string, err error) {
	raw, err := c.do(ctx, "list", nil)
	if err == nil {
		err = json.Unmarshal(raw, &names)
	}
	return names, err
}

func (c *typeScript) call(ctx context.Context, tool string, args map[string]any) (string, func() int, error) {
	var result struct {
		Text     string
		Progress int
	}
	raw, err := c.do(ctx, "call", map[string]any{"tool": tool, "args": args})
	if err == nil {
		err = json.Unmarshal(raw, &result)
	}
	return result.Text, func() int { return result.Progress }, err
}

func (c *typeScript) protocol() string { return c.version }

func (c *typeScript) subscribe(ctx context.Context, uri string) error {
	command := "subscribe"
	if c.version >= modern {
		command = "listen"
	}
	_, err := c.do(ctx, command, map[string]any{"uri": uri})
	return err
}

func (c *typeScript) terminate(ctx context.Context) error {
	_, err := c.do(ctx, "terminate", nil)
	return err
}
