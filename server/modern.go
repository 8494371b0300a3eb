package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
)

// The modern era has no sessions on the wire: a request says all about itself
// (2026-07-28, basic/transports/streamable-http). What it needs is served as in
// the legacy era, but for records: a stream that breaks is not resumed, and its
// call is cancelled.

func isModern(r *http.Request) bool {
	return mcp.IsModernProtocol(r.Header.Get(mcp.HeaderProtocolVersion))
}

// isModernMessage: legacy requests, and those of versions that nobody knows, do
// not say a legacy version in _meta.
func isModernMessage(m *message) bool {
	version := metaVersion(m)
	return version != "" && (mcp.IsModernProtocol(version) || !mcp.IsValidProtocolVersion(version))
}

// metaVersion is what a request's _meta says of its protocol version, as
// MCPServer reads it. What is malformed says none.
func metaVersion(m *message) string {
	meta, ok := member(m.Params, "_meta")
	if ok && meta == nil {
		return ""
	}
	if value, ok2 := member(meta, mcp.MetaKeyProtocolVersion); ok && ok2 {
		if value == nil {
			return ""
		}
		if version, ok := plainText(value); ok {
			return version
		}
	}
	var params struct {
		Meta *mcp.Meta `json:"_meta"`
	}
	if json.Unmarshal(m.Params, &params) != nil {
		return ""
	}
	return params.Meta.ProtocolVersion()
}

// modern serves a POST of the modern era.
func (h *Handler) modern(w http.ResponseWriter, r *http.Request, m *message) {
	principal, ok := h.authenticate(w, r)
	if !ok {
		return
	}
	if code, text := h.checkModern(r, m); text != "" {
		writeJSON(w, http.StatusBadRequest, errorFor(m.ID, code, text))
		return
	}
	if version := r.Header.Get(mcp.HeaderProtocolVersion); m.isRequest() && !mcp.IsValidProtocolVersion(version) {
		refusal := mcp.UnsupportedProtocolVersionError{Version: version, Supported: mcp.ValidProtocolVersions}.JSONRPCError()
		refusal.ID = requestID(m.ID)
		writeJSON(w, http.StatusBadRequest, encode(refusal))
		return
	}
	if !m.isRequest() {
		// A client cancels by closing the response: its notification names a call
		// that is not among those of this request.
		w.WriteHeader(http.StatusAccepted)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	if m.Method == string(mcp.MethodSubscriptionsListen) {
		defer context.AfterFunc(h.streaming, cancel)()
	}
	a := &reply{h: h, w: w, ctx: ctx, requests: []json.RawMessage{m.ID}, status: httpStatus}
	a.begin()
	// MCPServer finds running calls by session and request id.
	s := &clientSession{h: h, ctx: ctx, reply: a, http: r.Header, principal: principal, id: "request " + rand.Text(), requestID: m.ID}
	defer h.listeners.remove(s)
	a.answer(h.dispatch(ctx, s, m))
}

// checkModern returns the JSON-RPC error that the headers of a request ask for,
// or no text.
func (h *Handler) checkModern(r *http.Request, m *message) (code int, text string) {
	header, meta := r.Header.Get(mcp.HeaderProtocolVersion), metaVersion(m)
	switch {
	case m.isResponse():
		return mcp.INVALID_REQUEST, "protocol version " + mcp.ProtocolVersion20260728 + " has no requests from server to client, so nothing was asked that this could answer"
	case m.Method == "":
		return mcp.INVALID_REQUEST, "the message has neither a method nor a result nor an error"
	case m.Version != mcp.JSONRPC_VERSION:
		return mcp.INVALID_REQUEST, "the message is not of JSON-RPC " + mcp.JSONRPC_VERSION
	case header == "":
		return mcp.HEADER_MISMATCH, "the " + mcp.HeaderProtocolVersion + " header is missing"
	case !m.isRequest():
		return 0, ""
	case meta == "":
		return mcp.INVALID_PARAMS, "_meta does not say " + mcp.MetaKeyProtocolVersion
	case header != meta:
		return mcp.HEADER_MISMATCH, "the " + mcp.HeaderProtocolVersion + " header says " + header + ", and _meta " + meta
	}
	for _, name := range []string{mcp.HeaderMethod, mcp.HeaderName} {
		if err := checkPlain(name, r.Header.Get(name)); err != nil {
			return mcp.HEADER_MISMATCH, err.Error()
		}
	}
	if err := mcp.ValidateStandardHeaders(r.Header.Get, meta, mcp.MCPMethod(m.Method), m.Params); err != nil {
		return mcp.HEADER_MISMATCH, err.Error()
	}
	if err := h.checkParamHeaders(r.Header, m); err != nil {
		return mcp.HEADER_MISMATCH, err.Error()
	}
	return 0, ""
}

// checkParamHeaders checks the arguments of a tool that travel in headers, too,
// once the standard headers are known to be right.
func (h *Handler) checkParamHeaders(header http.Header, m *message) error {
	if m.Method != string(mcp.MethodToolsCall) {
		return nil
	}
	name, _ := mcp.DecodeHeaderValue(header.Get(mcp.HeaderName)) // which is that in the body
	tool := h.mcp.GetTool(name)
	if tool == nil {
		return nil
	}
	params := m.Params
	if arguments, ok := member(params, "arguments"); ok && arguments == nil { // none is as good as empty
		params = json.RawMessage(`{"arguments":{}}`)
	}
	var notPlain error
	err := mcp.ValidateParamHeadersLookup(func(name string) (string, bool) {
		values := header.Values(name)
		if len(values) == 0 {
			return "", false
		}
		if err := checkPlain(name, values[0]); err != nil {
			notPlain = err
		}
		return values[0], true
	}, &tool.Tool, params)
	return errors.Join(notPlain, err)
}

// checkPlain: what is not plain ASCII travels in base64 (2026-07-28, basic/
// transports/streamable-http, Value Encoding).
func checkPlain(name, value string) error {
	for _, c := range []byte(value) {
		if c != '\t' && (c < ' ' || c > '~') {
			return mcp.HeaderMismatchError{Header: name, Reason: "what is not plain ASCII has to be sent in base64"}
		}
	}
	return nil
}

// refuseMethod answers a GET or DELETE, which the modern era does not have.
func (h *Handler) refuseMethod(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Allow", http.MethodPost)
	writeError(w, http.StatusMethodNotAllowed, "protocol version "+mcp.ProtocolVersion20260728+" has no "+r.Method+": send subscriptions/listen to listen")
}
