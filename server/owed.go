package server

import (
	"bytes"
	"context"
	"time"
)

// owed is an event of a recorded answer that came while the broker was out of
// reach. The record gets it later, if the client did not get it at once, and the
// end in any case: whoever resumes the answer waits for that.
type owed struct {
	kind byte
	text []byte
}

// settle records what is owed. r.mu is held.
func (r *reply) settle(ctx context.Context) error {
	if len(r.owed) == 0 {
		return nil
	}
	// An attempt without a reply may have succeeded.
	for after := r.record.at; ; {
		page, err := r.record.broker.Read(ctx, r.record.key, after)
		if err != nil {
			return err
		}
		if len(page.Events) == 0 {
			break
		}
		for _, event := range page.Events {
			after = event.Position
			if first := r.owed; len(first) > 0 && event.Data[0] == first[0].kind && bytes.Equal(event.Data[1:], first[0].text) {
				r.owed, r.record.at = first[1:], event.Position
			}
		}
	}
	for len(r.owed) > 0 {
		if _, err := r.record.append(ctx, r.owed[0].kind, r.owed[0].text); err != nil {
			return err
		}
		r.owed = r.owed[1:]
	}
	return nil
}

// settled returns when nothing is owed any more, or nobody can come for it.
func (r *reply) settled() {
	for deadline := time.Now().Add(recordKeep.For); time.Now().Before(deadline); {
		if r.paid() {
			return
		}
		select {
		case <-time.After(fleetRetry):
		case <-r.h.life.Done():
			return
		}
	}
}

func (r *reply) paid() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == 0 && len(r.owed) > 0 {
		r.store("record an answer", r.settle)
	}
	return len(r.owed) == 0 || r.open > 0 // then the next message or the last answer sees to it
}
