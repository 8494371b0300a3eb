package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// call serves the requests of a legacy POST. It returns when they are answered,
// also when the client is gone: a lost connection cancels nothing (2025-11-25,
// basic/transports, Sending Messages to the Server, 6). Or it returns when a
// handler closed the stream, and the calls go on without it.
func (h *Handler) call(w http.ResponseWriter, r *http.Request, live *mcpsession.Live, requests []message, batch bool) {
	session := live.Session()
	ctx := context.WithoutCancel(r.Context())
	a := &reply{
		h: h, w: w, ctx: ctx, batch: batch,
		live:   live,
		resume: true,
		prime:  takesPriming(session),
	}
	for _, m := range requests {
		a.requests = append(a.requests, m.ID)
	}
	a.begin()
	for i := range requests {
		h.running.Add(1)
		h.workers.run(func() {
			defer h.running.Done()
			h.run(ctx, a, live, &requests[i], r.Header)
			a.settled()
		})
	}
	<-a.done
}

// takesPriming: the parsers of older clients fail on an event without data.
func takesPriming(s mcpsession.Session) bool {
	return s.Client.ProtocolVersion >= mcp.ProtocolVersion20251125
}

// run serves one request of a session and answers it, unless its client
// cancelled it.
func (h *Handler) run(ctx context.Context, a *reply, live *mcpsession.Live, m *message, header http.Header) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer h.calls.add(live.ID().Ref(), m.ID, cancel)()
	s := newClientSession(ctx, h, live, a, header)
	text := h.dispatch(mcpsession.NewContext(ctx, live), s, m)
	if errors.Is(context.Cause(ctx), errCancelled) {
		text = nil
	}
	a.answer(text)
}

// dispatch has MCPServer handle a request, and returns the response once
// everything that the handler sent before is on its way.
func (h *Handler) dispatch(ctx context.Context, s *clientSession, m *message) (text []byte) {
	defer func() {
		if p := recover(); p != nil {
			h.logger.Error("a handler panicked", "method", m.Method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			_ = s.finish()
			text = errorFor(m.ID, mcp.INTERNAL_ERROR, "the request could not be handled")
		}
	}()
	ctx = mcpsession.WithPrincipal(mcpsession.WithDecorator(ctx, h.announce), s.principal)
	before := h.tap.sent.Load()
	response := h.handle(h.mcp.WithContext(ctx, s), s, m)
	h.published(ctx, before)
	if err := s.finish(); err != nil {
		h.logger.Error("session store failed", "action", m.Method, "error", err)
		return errorFor(m.ID, mcp.INTERNAL_ERROR, m.Method+" could not be done: "+err.Error())
	}
	switch response := response.(type) {
	case mcp.JSONRPCResponse:
		if listened, ok := response.Result.(mcp.SubscriptionsListenResult); ok {
			listened.EnsureResultMeta().SetSubscriptionID(m.ID) // all its digits
		}
		text, err := encodeResult(m.ID, response.Result)
		if err != nil { // the application put something into the result that is no JSON
			h.logger.Error("an answer cannot be written", "method", m.Method, "error", err)
			return errorFor(m.ID, mcp.INTERNAL_ERROR, "the answer cannot be written as JSON: "+err.Error())
		}
		return text
	case mcp.JSONRPCError:
		response.ID = requestID(m.ID)
		if s.errorCode != 0 {
			response.Error.Code = s.errorCode
		}
		if s.errorData != nil {
			response.Error.Data = s.errorData
		}
		return encode(response)
	}
	return nil // a notification has no answer
}

// handle has MCPServer handle a message. Where the application has replaced our
// hooks, its own may see the head of a call before they see the call.
func (h *Handler) handle(ctx context.Context, s *clientSession, m *message) mcp.JSONRPCMessage {
	call, ok := h.takeApart(m)
	if ok {
		s.call = call
		if response := h.mcp.HandleMessage(ctx, call.head); call.taken {
			return response
		}
		// It was refused before the hooks ran, or the application replaced them.
		s.call = nil
	}
	return h.mcp.HandleMessage(ctx, s.text(m))
}

// text is what MCPServer is given of a message: in the modern era nothing but
// what was checked, since it reads a member that is there twice in another way.
func (s *clientSession) text(m *message) json.RawMessage {
	if s.live != nil || !m.isRequest() {
		return m.raw
	}
	return encode(struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  string          `json:"method"`
		Params  json.RawMessage `json:"params,omitempty"`
	}{m.Version, m.ID, m.Method, m.Params})
}

// cancelled takes in a client's notifications/cancelled: the call may run on any
// replica.
func (h *Handler) cancelled(ctx context.Context, ref mcpsession.Ref, m *message) error {
	var params struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if json.Unmarshal(m.Params, &params) != nil || checkID(params.RequestID) != nil || h.calls.cancel(ref, params.RequestID) {
		return nil
	}
	return h.control(ctx, controlEvent{Ref: ref, Request: params.RequestID})
}
