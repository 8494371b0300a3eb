package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// patience is how long a client waits for a plain answer before the response
// becomes a stream, which proxies keep open and other replicas can resume.
const patience = time.Second

// reply is the response to a POST with requests. It is one JSON document when
// they are answered soon and nothing is sent before; else an event stream, which
// in the legacy era is recorded.
type reply struct {
	h        *Handler
	w        http.ResponseWriter
	ctx      context.Context   // in the legacy era never cancelled: what the client missed is recorded
	requests []json.RawMessage // ids
	batch    bool

	// The legacy era only.
	live   *mcpsession.Live
	keeper *keeper // once this is a stream
	resume bool    // the stream is recorded
	prime  bool    // the client takes a priming event
	status func(answer []byte) int

	done chan struct{} // closed when nothing is written to w any more

	mu      sync.Mutex
	open    int         // requests not answered yet
	answers [][]byte    // while this is no stream
	sse     *sse        // once it is
	record  *record     // if it is recorded
	owed    []owed      // what could not be recorded when it was written
	timer   *time.Timer // of the upgrade, then of the heartbeats
}

func (r *reply) begin() {
	r.mu.Lock() // the timer may be faster
	defer r.mu.Unlock()
	r.open = len(r.requests)
	r.done = make(chan struct{})
	r.timer = time.AfterFunc(patience, r.tick)
}

// message sends a message on the stream. It is false when all is answered, and
// nothing can be sent any more.
func (r *reply) message(text []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == 0 {
		return false
	}
	r.upgrade()
	r.write(recordMessage, text)
	return true
}

// answer answers a request, or says that it needs no answer if text is nil.
func (r *reply) answer(text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	switch {
	case r.sse == nil:
		if text != nil {
			r.answers = append(r.answers, text)
		}
		if r.open == 0 {
			r.writeJSON()
		}
	case r.open > 0 && text != nil:
		r.write(recordMessage, text)
	case r.open == 0:
		kind := byte(recordLast)
		if text == nil {
			kind = recordEnd
		}
		r.write(kind, text)
	}
	if r.open == 0 {
		r.timer.Stop()
		r.leave()
	}
}

// leave ends the response. What comes later is only recorded.
func (r *reply) leave() {
	select {
	case <-r.done:
	default:
		close(r.done)
	}
}

// errLeft: the response has ended, though its requests are not answered.
var errLeft = errors.New("the stream was closed")

// close ends the response, whose client resumes it after the pause, if it is
// recorded. It reports whether it is.
func (r *reply) close(pause time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == 0 {
		return false
	}
	r.upgrade()
	if r.record == nil {
		return false
	}
	r.sse.retry(pause)
	r.sse.err = errLeft
	r.leave()
	return true
}

// writeJSON answers with one document.
func (r *reply) writeJSON() {
	if len(r.answers) == 0 { // all requests were cancelled
		r.w.WriteHeader(http.StatusAccepted)
		return
	}
	text, status := r.answers[0], http.StatusOK
	if r.batch {
		text = append(append([]byte{'['}, bytes.Join(r.answers, []byte{','})...), ']')
	} else if r.status != nil {
		status = r.status(text)
	}
	r.w.Header().Set("Content-Type", "application/json")
	r.w.WriteHeader(status)
	_, _ = r.w.Write(text) // the client may be gone
}

// upgrade makes the response a stream, whose record exists before its first byte.
func (r *reply) upgrade() {
	if r.sse != nil {
		return
	}
	if r.live != nil {
		r.keeper = newKeeper(r.h.store, r.live, r.live.Session())
	}
	var at mcpsession.Position
	if r.resume {
		r.store("begin a recorded answer", func(ctx context.Context) (err error) {
			r.record, at, err = beginRecord(ctx, r.h.broker, r.keeper.id.Ref(), r.requests)
			return err
		})
	}
	r.sse = newSSE(r.w)
	if r.record != nil && r.prime {
		r.sse.prime(recordEventID(r.record.name(), at))
	}
	for _, text := range r.answers { // of a batch
		r.write(recordMessage, text)
	}
	r.answers = nil
	r.timer.Reset(r.beat())
}

// write records an event, and sends it to the client if it still listens. While
// the broker is out of reach the client gets what it would get, without an id to
// resume from.
func (r *reply) write(kind byte, text []byte) {
	id := ""
	if r.record != nil {
		r.store("record an answer", func(ctx context.Context) error {
			if err := r.settle(ctx); err != nil {
				return err
			}
			at, err := r.record.append(ctx, kind, text)
			if err == nil {
				id = recordEventID(r.record.name(), at)
			}
			return err
		})
	}
	if text != nil {
		r.sse.event(id, text)
	}
	if r.record != nil && id == "" && (kind != recordMessage || r.sse.err != nil) {
		r.owed = append(r.owed, owed{kind, text})
	}
}

// tick upgrades the response when its time has come, and then keeps stream,
// record and session alive.
func (r *reply) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == 0 {
		return
	}
	if r.sse == nil {
		r.upgrade()
		return
	}
	r.sse.comment()
	if r.record != nil {
		r.store("keep a recorded answer", func(ctx context.Context) error { return r.record.beat(ctx, r.requests) })
	}
	if r.keeper != nil {
		r.store("keep a session", r.keeper.touch)
	}
	r.timer.Reset(r.beat())
}

func (r *reply) beat() time.Duration {
	if r.keeper == nil {
		return heartbeat
	}
	return min(heartbeat, r.keeper.every)
}

// store does something that the answer can do without.
func (r *reply) store(what string, do func(context.Context) error) {
	ctx, cancel := context.WithTimeout(r.ctx, storeTimeout)
	defer cancel()
	if err := do(ctx); err != nil {
		r.h.logger.Warn("could not "+what, "error", err)
	}
}

// httpStatus is the status that 2026-07-28 prescribes for an answer (basic/
// transports/streamable-http, Response Status Codes).
func httpStatus(answer []byte) int {
	var e struct {
		Error struct{ Code int }
	}
	if json.Unmarshal(answer, &e) != nil {
		return http.StatusOK
	}
	switch e.Error.Code {
	case mcp.METHOD_NOT_FOUND:
		return http.StatusNotFound
	case mcp.HEADER_MISMATCH, mcp.MISSING_REQUIRED_CLIENT_CAPABILITY, mcp.UNSUPPORTED_PROTOCOL_VERSION,
		mcp.INVALID_REQUEST, mcp.INVALID_PARAMS, mcp.PARSE_ERROR:
		return http.StatusBadRequest
	}
	return http.StatusOK
}
