package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// maxBody bounds a request body, in bytes.
const maxBody = 4 << 20

func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	messages, batch, err := parseMessages(body)
	if err != nil {
		writeRPCError(w, http.StatusBadRequest, mcp.PARSE_ERROR, "the request body is not a JSON-RPC message: "+err.Error())
		return
	}
	switch first := &messages[0]; {
	case isModern(r) || !batch && isModernMessage(first):
		if batch {
			writeError(w, http.StatusBadRequest, "protocol version "+mcp.ProtocolVersion20260728+" has no batches")
			return
		}
		h.modern(w, r, first)
	case !batch && first.Method == string(mcp.MethodInitialize) && first.isRequest():
		h.initialize(w, r, first)
	default:
		if live, ok := h.open(w, r); ok {
			h.receive(w, r, live, messages, batch)
		}
	}
}

// receive takes in the messages of a session.
func (h *Handler) receive(w http.ResponseWriter, r *http.Request, live *mcpsession.Live, messages []message, batch bool) {
	if batch && live.Session().Client.ProtocolVersion != mcp.ProtocolVersion20250326 {
		writeError(w, http.StatusBadRequest, "only protocol version "+mcp.ProtocolVersion20250326+" has batches")
		return
	}
	var requests []message
	for i := range messages {
		m := &messages[i]
		switch {
		case batch && isModernMessage(m):
			writeError(w, http.StatusBadRequest, "a batch has no messages of protocol version "+mcp.ProtocolVersion20260728)
			return
		case m.isRequest() && batch && m.Method == string(mcp.MethodInitialize):
			writeError(w, http.StatusBadRequest, "initialize cannot be part of a batch")
			return
		case m.isRequest():
			requests = append(requests, *m)
		case m.Method == "" && !m.isResponse():
			writeError(w, http.StatusBadRequest, "a message has neither a method nor a result nor an error")
			return
		}
	}
	ctx := context.WithoutCancel(r.Context())
	for i := range messages {
		if m := &messages[i]; !m.isRequest() {
			if err := h.takeIn(ctx, live, m, r.Header); err != nil {
				h.writeStoreError(w, "take in a message of", err)
				return
			}
		}
	}
	if len(requests) == 0 {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	h.call(w, r, live, requests, batch)
}

// takeIn takes in a message that is no request.
func (h *Handler) takeIn(ctx context.Context, live *mcpsession.Live, m *message, header http.Header) error {
	bounded, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	switch {
	case m.isResponse():
		return h.answered(bounded, live.ID().Ref(), m)
	case m.Method == string(mcp.MethodNotificationCancelled):
		return h.cancelled(bounded, live.ID().Ref(), m)
	}
	// A handler may ask the client, who may wait for this to be accepted first.
	h.running.Go(func() {
		s := newClientSession(ctx, h, live, nil, header)
		h.dispatch(mcpsession.NewContext(ctx, live), s, m)
	})
	return nil
}

// readBody returns the body of a POST, or writes why it is not accepted.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if !isJSON(r.Header.Get("Content-Type")) {
		writeError(w, http.StatusUnsupportedMediaType, "the Content-Type header must be application/json")
		return nil, false
	}
	if !acceptsBoth(r) {
		writeError(w, http.StatusNotAcceptable, "the Accept header must allow application/json and text/event-stream")
		return nil, false
	}
	var body []byte
	var err error
	if n := r.ContentLength; n > 0 && n <= 64<<10 { // not for what a client only announces
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	if err == nil {
		return body, true
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the request body is larger than %d MiB", maxBody>>20))
		return nil, false
	}
	writeError(w, http.StatusBadRequest, "the request body could not be read")
	return nil, false
}

func isJSON(contentType string) bool {
	if contentType == "application/json" { // as nearly all write it
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/json"
}

func acceptsBoth(r *http.Request) bool {
	if r.Header.Get("Accept") == "application/json, text/event-stream" { // as nearly all write it
		return true
	}
	return accepts(r, "application/json") && accepts(r, "text/event-stream")
}

// accepts reports whether the Accept header allows a media type. Clients that
// send none accept all.
func accepts(r *http.Request, media string) bool {
	values := r.Header.Values("Accept")
	if len(values) == 0 {
		return true
	}
	kind, _, _ := strings.Cut(media, "/")
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			name, _, _ := strings.Cut(part, ";")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case media, kind + "/*", "*/*":
				return true
			}
		}
	}
	return false
}
