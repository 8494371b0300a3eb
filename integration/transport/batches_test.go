package transport

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

func TestBatchesAreOf20250326Alone(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		batch := "[" + strings.Join([]string{
			mcptest.CallText("1", "slow", `{"ms":1}`),
			`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
			mcptest.RequestText(`"two"`, "ping", ""),
			mcptest.RequestText("3", "no/such/method", ""),
		}, ",") + "]"
		s := f.Begin(t, f.A, v20250326, mcptest.NoCapabilities)
		for _, url := range []string{f.B, f.C} {
			a := s.Post(url, batch)
			var answers []mcptest.Message
			if a.Status != http.StatusOK || json.Unmarshal(a.Body, &answers) != nil || len(answers) != 3 {
				t.Fatalf("the batch is answered %d: %s", a.Status, a.Body)
			}
			wantAnswers(t, answers)
		}
		// A message of any of its requests makes it a stream.
		a := s.Post(f.C, "["+mcptest.CallText("4", "multi_notify", `{"n":3,"gapms":10}`)+","+batch[1:])
		var answers []mcptest.Message
		progress := 0
		for range 7 {
			if m := a.Stream.Next(); m.Method == "" {
				answers = append(answers, m)
			} else if progress++; m.Param("progress") != fmt.Sprint(progress) {
				t.Errorf("message %d of the batch is %s", progress, m.Raw)
			}
		}
		a.Stream.WantEnd()
		wantAnswers(t, answers)

		if a := s.Post(f.B, `[{"jsonrpc":"2.0","method":"notifications/initialized"}]`); a.Status != http.StatusAccepted {
			t.Errorf("a batch of notifications is answered %d: %s", a.Status, a.Body)
		}
		for what, body := range map[string]string{
			"an empty batch":          `[]`,
			"a batch with initialize": `[` + mcptest.RequestText("1", "initialize", `{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{"name":"x","version":"1"}}`) + `]`,
		} {
			if a := s.Post(f.B, body); a.Status != http.StatusBadRequest {
				t.Errorf("%s is answered %d: %s", what, a.Status, a.Body)
			}
		}
		for _, version := range []string{v20250618, latest} {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			if a := s.Post(f.B, batch); a.Status != http.StatusBadRequest {
				t.Errorf("%s: a batch is answered %d: %s", version, a.Status, a.Body)
			}
		}
	})
}

// wantAnswers checks that each request of the batch is answered.
func wantAnswers(t *testing.T, answers []mcptest.Message) {
	t.Helper()
	byID := make(map[string]mcptest.Message)
	for _, m := range answers {
		byID[string(m.ID)] = m
	}
	if byID["1"].Result == nil || byID[`"two"`].Result == nil || byID["3"].Error == nil {
		t.Errorf("the batch is answered %v", byID)
	}
}
