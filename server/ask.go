package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// A request from server to client has an id that no other in the fleet has, and
// while it is asked, a cell of its session with that name. The client's answer,
// on whichever replica it arrives, is put into the cell if nobody answered
// before; there the replica that asked finds it.
const askPrefix = "ask:"

// asked is what the cell holds until there is an answer, which is JSON.
var asked = []byte("?")

// recheck is how often a replica looks without a wake-up.
const recheck = 2 * time.Second

// ErrNoAnswer: the client did not answer in time what it was asked.
var ErrNoAnswer = errors.New("the client did not answer")

// response is a client's response.
type response struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  *responseError  `json:"error,omitempty"`
}

type responseError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// ask sends a request to the client of a session, and waits for its answer.
func (h *Handler) ask(ctx context.Context, ref mcpsession.Ref, method string, params any, send func(context.Context, []byte) error) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.answerTimeout, fmt.Errorf("%w %s within %v", ErrNoAnswer, method, h.answerTimeout))
	defer cancel()
	id := askPrefix + rand.Text()
	cell := mcpsession.Key{Ref: ref, Name: id}
	if _, err := h.broker.Swap(ctx, cell, nil, asked, h.answerTimeout+time.Minute); err != nil {
		return nil, fmt.Errorf("ask the client for %s: %w", method, err)
	}
	defer func() {
		after, cancel := h.afterwards(ctx)
		defer cancel()
		if err := h.broker.Drop(after, cell); err != nil {
			h.logger.Warn("a request to a client stays until it expires", "session", ref, "error", err)
		}
	}()
	woken := make(chan struct{}, 1)
	defer h.broker.Watch(cell, woken)()

	err := send(ctx, encode(request{JSONRPC: mcp.JSONRPC_VERSION, ID: id, Method: method, Params: params}))
	if err != nil {
		return nil, fmt.Errorf("ask the client for %s: %w", method, err)
	}
	a, err := h.await(ctx, cell, woken)
	switch {
	case err != nil:
		h.withdraw(ctx, id, send)
		return nil, fmt.Errorf("ask the client for %s: %w", method, err)
	case a.Error != nil:
		return nil, fmt.Errorf("the client refused %s: %s (code %d)", method, a.Error.Message, a.Error.Code)
	}
	return a.Result, nil
}

type request struct {
	JSONRPC string `json:"jsonrpc"`
	ID      string `json:"id"`
	Method  string `json:"method"`
	Params  any    `json:"params,omitempty"`
}

// await reads the cell until it holds an answer.
func (h *Handler) await(ctx context.Context, cell mcpsession.Key, woken <-chan struct{}) (response, error) {
	ticker := time.NewTicker(recheck)
	defer ticker.Stop()
	for {
		text, err := h.broker.Swap(ctx, cell, nil, nil, 0)
		switch {
		case ctx.Err() != nil:
			return response{}, context.Cause(ctx)
		case err != nil:
			// An outage: the answer may still come, and ctx bounds the wait.
		case text == nil:
			return response{}, fmt.Errorf("%w: the question is no longer kept", ErrNoAnswer)
		case !bytes.Equal(text, asked):
			var a response
			if err := json.Unmarshal(text, &a); err != nil {
				return response{}, fmt.Errorf("decode the client's answer: %w", err)
			}
			return a, nil
		}
		select {
		case <-woken:
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// withdraw tells the client that nobody waits for its answer any more.
func (h *Handler) withdraw(ctx context.Context, id string, send func(context.Context, []byte) error) {
	after, cancel := h.afterwards(ctx)
	defer cancel()
	text := notification(string(mcp.MethodNotificationCancelled), map[string]any{"requestId": id, "reason": "nobody waits for the answer any more"})
	if err := send(after, text); err != nil {
		h.logger.Warn("a client was not told that its answer is no longer needed", "error", err)
	}
}

// answered takes in a client's response. One that nothing waits for, for
// whatever reason, is forgotten: clients take an error for the end of their
// session.
func (h *Handler) answered(ctx context.Context, ref mcpsession.Ref, m *message) error {
	var id string
	if json.Unmarshal(m.ID, &id) != nil || !strings.HasPrefix(id, askPrefix) {
		return nil
	}
	cell := mcpsession.Key{Ref: ref, Name: id}
	if cell.Validate() != nil {
		return nil
	}
	a := response{Result: m.Result}
	if m.Error != nil {
		a.Result, a.Error = nil, new(responseError)
		if json.Unmarshal(m.Error, a.Error) != nil {
			a.Error.Message = "its error is malformed"
		}
	}
	_, err := h.broker.Swap(ctx, cell, asked, encode(a), h.answerTimeout+time.Minute)
	return err
}
