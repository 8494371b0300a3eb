package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mcpsession/mcpsession"
)

// What replicas have to tell each other, and no client, goes through the control
// log: so much of it that it must not push broadcasts out of theirs.
var controlKey = mcpsession.Key{Name: "control"}

// controlKeep bounds the log. A replica that is out of touch for longer misses
// ends, whose streams then end when they next touch their session, and
// cancellations, whose calls then go on.
var controlKeep = mcpsession.Retention{Events: 10_000, For: 5 * time.Minute}

// controlEvent says that a session ended, or, with a request, that its client
// cancelled that.
type controlEvent struct {
	Ref     mcpsession.Ref  `json:"ref"`
	Request json.RawMessage `json:"request,omitempty"`
}

func (h *Handler) control(ctx context.Context, e controlEvent) error {
	if _, err := h.broker.Append(ctx, controlKey, encode(e), controlKeep); err != nil {
		return fmt.Errorf("tell the other replicas: %w", err)
	}
	return nil
}

// obey acts on what a replica, perhaps this one, told all.
func (h *Handler) obey(page mcpsession.Page) {
	for _, event := range page.Events {
		var e controlEvent
		if err := json.Unmarshal(event.Data, &e); err != nil {
			h.logger.Error("what another replica says is not understood", "error", err)
			continue
		}
		if e.Request != nil {
			h.calls.cancel(e.Ref, e.Request)
			continue
		}
		h.calls.end(e.Ref)
		h.streams.end(e.Ref)
	}
}
