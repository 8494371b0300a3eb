package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// answerTimeout bounds how long the end of input waits for running calls.
const answerTimeout = 30 * time.Second

// exchange is the input and output of a stdio client. It holds back the end of
// input until the requests that came before it have been answered, because
// mcp-go cancels at the end whatever still runs, and clients that pipe their
// messages in close the pipe at once.
type exchange struct {
	ctx context.Context
	in  io.Reader
	out io.Writer

	partial []byte // of a line of input; used by Read alone

	mu       sync.Mutex
	open     map[string]int // unanswered requests by id
	answered chan struct{}  // told when open becomes empty
}

func newExchange(ctx context.Context, in io.Reader, out io.Writer) *exchange {
	return &exchange{ctx: ctx, in: in, out: out, open: make(map[string]int), answered: make(chan struct{}, 1)}
}

// Read implements [io.Reader].
func (x *exchange) Read(p []byte) (int, error) {
	n, err := x.in.Read(p)
	x.partial = append(x.partial, p[:n]...)
	for {
		line, rest, whole := bytes.Cut(x.partial, []byte("\n"))
		if !whole {
			break
		}
		if id, isRequest := envelope(line); id != "" && isRequest {
			x.count(id, 1)
		}
		x.partial = rest
	}
	if err == io.EOF && n > 0 {
		return n, nil // the end comes with the next Read
	}
	if err == io.EOF {
		x.wait()
	}
	return n, err
}

// Write implements [io.Writer]. mcp-go writes one message at a time.
func (x *exchange) Write(p []byte) (int, error) {
	n, err := x.out.Write(p)
	if id, isRequest := envelope(p); id != "" && !isRequest {
		x.count(id, -1)
	}
	return n, err
}

func (x *exchange) count(id string, by int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.open[id] += by; x.open[id] <= 0 {
		delete(x.open, id)
	}
	if len(x.open) == 0 {
		select {
		case x.answered <- struct{}{}:
		default:
		}
	}
}

func (x *exchange) wait() {
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	for {
		x.mu.Lock()
		n := len(x.open)
		x.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-x.answered:
		case <-x.ctx.Done():
			return
		case <-timeout.C:
			return
		}
	}
}

// envelope returns the id of a JSON-RPC message, "" if it has none, and whether
// it is a request.
func envelope(message []byte) (id string, isRequest bool) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method *string         `json:"method"`
	}
	if json.Unmarshal(message, &m) != nil || string(m.ID) == "null" {
		return "", false
	}
	return string(m.ID), m.Method != nil
}
