package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/internal/mcptest"
	"github.com/mcpsession/mcpsession/server"
)

// asking is a broker that remembers which questions to clients it kept. While it
// is deaf, it wakes nobody who waits for an answer.
type asking struct {
	mcpsession.Broker
	deaf bool

	mu   sync.Mutex
	keys []mcpsession.Key
}

func (b *asking) Swap(ctx context.Context, cell mcpsession.Key, old, next []byte, ttl time.Duration) ([]byte, error) {
	if strings.HasPrefix(cell.Name, "ask:") && old == nil && next != nil {
		b.mu.Lock()
		b.keys = append(b.keys, cell)
		b.mu.Unlock()
	}
	return b.Broker.Swap(ctx, cell, old, next, ttl)
}

func (b *asking) Watch(key mcpsession.Key, woken chan<- struct{}) (stop func()) {
	if b.deaf && strings.HasPrefix(key.Name, "ask:") {
		return func() {}
	}
	return b.Broker.Watch(key, woken)
}

// wantNothingLeft waits until none of n questions is kept any more.
func (b *asking) wantNothingLeft(t *testing.T, n int) {
	t.Helper()
	b.mu.Lock()
	keys := b.keys
	b.mu.Unlock()
	if len(keys) != n {
		t.Errorf("%d questions were kept, want %d", len(keys), n)
	}
	for _, key := range keys {
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			text, err := b.Broker.Swap(t.Context(), key, nil, nil, 0)
			if err == nil && text == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("of question %s is left %q, %v", key.Name, text, err)
				break
			}
		}
	}
}

// outcome is what a Request came to.
type outcome struct {
	result json.RawMessage
	err    error
}

// request has a replica ask, and does not wait.
func (r *replicas) request(ctx context.Context, t *testing.T, replica int, s *mcptest.Session, method string) <-chan outcome {
	t.Helper()
	ref, done := ref16(t, s), make(chan outcome, 1)
	go func() {
		result, err := r.handlers[replica].Request(ctx, ref, method, nil)
		done <- outcome{result, err}
	}()
	return done
}

// answer answers a question by a result, or by an error.
func answer(s *mcptest.Session, url string, asked mcptest.Message, member string) {
	s.T.Helper()
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s}`, asked.ID, member)
	if a := s.Post(url, body); a.Status != http.StatusAccepted {
		s.T.Errorf("%s is answered %d: %s", body, a.Status, a.Body)
	}
}

func TestARequestGoesToTheGETStreamAndIsAnsweredAnywhere(t *testing.T) {
	broker := &asking{Broker: newBroker(t)}
	r := startReplicasOn(t, broker, 3, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities) // ping needs none
	stream := s.Listen(r.urls[1], "")
	for i := range r.urls {
		done := r.request(t.Context(), t, 0, s, "ping")
		answer(s, r.urls[i], stream.NextOf("ping"), `"result":{}`)
		if o := <-done; string(o.result) != `{}` || o.err != nil {
			t.Errorf("answered on replica %d, ping comes to %s, %v", i, o.result, o.err)
		}
	}
	done := r.request(t.Context(), t, 2, s, "ping")
	answer(s, r.urls[0], stream.NextOf("ping"), `"error":{"code":-32601,"message":"what is that?"}`)
	if o := <-done; o.err == nil || !strings.Contains(o.err.Error(), "what is that?") {
		t.Errorf("refused, ping comes to %s, %v", o.result, o.err)
	}
	broker.wantNothingLeft(t, 4)
}

func TestARequestWaitsForAStream(t *testing.T) {
	broker := &asking{Broker: newBroker(t)}
	r := startReplicasOn(t, broker, 3, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	done := r.request(t.Context(), t, 0, s, "ping")
	select {
	case o := <-done:
		t.Fatalf("without a stream, ping comes to %s, %v", o.result, o.err)
	case <-time.After(100 * time.Millisecond):
	}
	answer(s, r.urls[2], s.Listen(r.urls[1], "").NextOf("ping"), `"result":{}`)
	if o := <-done; string(o.result) != `{}` || o.err != nil {
		t.Errorf("ping comes to %s, %v", o.result, o.err)
	}
	broker.wantNothingLeft(t, 1)
}

func TestARequestThatNobodyAnswersEnds(t *testing.T) {
	broker := &asking{Broker: newBroker(t)}
	r := startReplicasOn(t, broker, 2, server.Options{AnswerTimeout: 300 * time.Millisecond})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.AllCapabilities)
	stream := s.Listen(r.urls[1], "")
	done := r.request(t.Context(), t, 0, s, "ping")
	asked := stream.NextOf("ping")
	if o := <-done; !errors.Is(o.err, server.ErrNoAnswer) {
		t.Errorf("ping comes to %s, %v", o.result, o.err)
	}
	if m := stream.NextOf("notifications/cancelled"); m.Param("requestId") != string(asked.ID) {
		t.Errorf("the client is told %s", m.Raw)
	}
	answer(s, r.urls[1], asked, `"result":{}`) // too late, and no error

	ctx, cancel := context.WithCancel(t.Context())
	done = r.request(ctx, t, 0, s, "ping")
	stream.NextOf("ping")
	cancel()
	if o := <-done; !errors.Is(o.err, context.Canceled) {
		t.Errorf("given up, ping comes to %s, %v", o.result, o.err)
	}

	a, id := s.Start(r.urls[0], "ask", `{}`)
	if final, _ := a.Final(id); !strings.Contains(final.Text(t), server.ErrNoAnswer.Error()) {
		t.Errorf("the tool answers %s", final.Raw)
	}
	broker.wantNothingLeft(t, 3)
}

func TestAnAnswerSurvivesALostWakeUp(t *testing.T) {
	broker := &asking{Broker: newBroker(t), deaf: true}
	r := startReplicasOn(t, broker, 2, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.AllCapabilities)
	a, id := s.Start(r.urls[0], "ask", `{}`)
	answer(s, r.urls[1], a.Stream.NextOf("roots/list"), `"result":{"roots":[]}`)
	began := time.Now()
	if final, _ := a.Final(id); final.Text(t) != "0 roots" {
		t.Errorf("the call ends with %s", final.Raw)
	}
	if took := time.Since(began); took > patience {
		t.Errorf("the answer was found after %v", took)
	}
	broker.wantNothingLeft(t, 1)
}
