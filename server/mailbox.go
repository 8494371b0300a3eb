package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpsession/mcpsession"
)

// mailboxKeep bounds a session's mailbox: what waits for a client that holds no
// stream.
var mailboxKeep = mcpsession.Retention{Events: 1000, For: 24 * time.Hour}

func mailboxKey(ref mcpsession.Ref) mcpsession.Key {
	return mcpsession.Key{Ref: ref, Name: "mailbox"}
}

func deliveryKey(ref mcpsession.Ref) mcpsession.Key {
	return mcpsession.Key{Ref: ref, Name: "delivery"}
}

// refresh, in a mailbox, is no message: it says that the session has changed in
// a way that its stream has to know.
var refresh = []byte("refresh")

// mail puts a message into a session's mailbox, from which its GET stream takes
// it, wherever that is, now or when it opens.
func (h *Handler) mail(ctx context.Context, ref mcpsession.Ref, text []byte) error {
	if _, err := h.broker.Append(ctx, mailboxKey(ref), text, mailboxKeep); err != nil {
		return fmt.Errorf("mail to session %s: %w", ref, err)
	}
	return nil
}

// Notify sends a notification to the client of a session, wherever its stream is
// held; if it holds none, its next one gets it. It does not wait for that, and
// nil does not say that the session exists. Of what nobody takes, the last 1000
// messages wait, for a day. Errors are those of a [mcpsession.Broker]. Safe for
// concurrent use.
func (h *Handler) Notify(ctx context.Context, ref mcpsession.Ref, method string, params map[string]any) error {
	return h.mail(ctx, ref, notification(method, params))
}

// Request asks the client of a session, on its GET stream, wherever that is held,
// and waits for the answer: "ping", say. Errors: [ErrNoAnswer] after
// Options.AnswerTimeout, the client's own error, or those of a
// [mcpsession.Broker]. Handlers ask the client whose call they serve by
// MCPServer's RequestElicitation, RequestSampling and RequestRoots instead. Safe
// for concurrent use.
func (h *Handler) Request(ctx context.Context, ref mcpsession.Ref, method string, params any) (json.RawMessage, error) {
	return h.ask(ctx, ref, method, params, func(ctx context.Context, text []byte) error {
		return h.mail(ctx, ref, text)
	})
}
