package transport

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

// question is a tool that asks the client something.
type question struct {
	tool, arguments string
	method          string // of the request that the client gets
	answer          string // a result; %q stands for a text of the answerer
	want            string // what the tool then answers
}

var questions = []question{
	{
		"test_elicitation", `{"message":"Who?"}`, "elicitation/create",
		`{"action":"accept","content":{"username":%q,"email":"a@example.com"}}`,
		`User response: action=accept, content={"email":"a@example.com","username":%q}`,
	},
	{
		"test_sampling", `{"prompt":"Hello?"}`, "sampling/createMessage",
		`{"role":"assistant","model":"m","content":{"type":"text","text":%q}}`,
		"LLM response: %s",
	},
	{
		"roots", `{}`, "roots/list",
		`{"roots":[{"uri":"file:///a","name":%q},{"uri":"file:///b"}]}`,
		"roots 2",
	},
}

// answers is what the tool says when a text was the answer.
func (q question) answers(text string) string {
	if !strings.Contains(q.want, "%") {
		return q.want
	}
	return fmt.Sprintf(q.want, text)
}

// response is the client's message that answers a request with a text.
func (q question) response(id json.RawMessage, text string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, id, fmt.Sprintf(q.answer, text))
}

// ask has a replica ask, and returns the request and where the result will come.
func (q question) ask(s *mcptest.Session, url string) (asked mcptest.Message, call *mcptest.Answer, id string) {
	s.T.Helper()
	call, id = s.Start(url, q.tool, q.arguments)
	if call.Stream == nil {
		s.T.Fatalf("%s is answered %s", q.tool, call.Body)
	}
	asked = call.Stream.Next() // the first there
	if asked.Method != q.method || len(asked.ID) == 0 {
		s.T.Fatalf("%s asks %s", q.tool, asked.Raw)
	}
	return asked, call, id
}

// wantAccepted posts a message that needs no answer.
func wantAccepted(s *mcptest.Session, url, body string) {
	s.T.Helper()
	if a := s.Post(url, body); a.Status != http.StatusAccepted {
		s.T.Errorf("%s is answered %d: %s", body, a.Status, a.Body)
	}
}

func TestAQuestionComesOnItsRequestsStreamAndIsAnsweredAnywhere(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.AllCapabilities)
			get := s.Listen(f.A, "") // must not take the questions
			for _, q := range questions {
				for _, at := range []string{f.B, f.C, f.A} {
					text := "answered on " + f.Name(at)
					asked, call, id := q.ask(s, f.A)
					wantAccepted(s, at, q.response(asked.ID, text))
					final, before := call.Final(id)
					if got := final.Text(t); got != q.answers(text) || len(before) > 0 {
						t.Errorf("%s: %s, answered on %s, after %v, answers %q", version, q.tool, f.Name(at), before, got)
					}
					call.Stream.WantEnd()
				}
			}
			get.Quiet(quietly)
		}
	})
}

func TestAnAnswerMayComeInABatch(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, v20250326, mcptest.AllCapabilities)
		var batch, want []string
		var calls []*mcptest.Answer
		var ids []string
		for i, q := range questions {
			asked, call, id := q.ask(s, []string{f.A, f.B, f.C}[i])
			batch, want = append(batch, q.response(asked.ID, "all")), append(want, q.answers("all"))
			calls, ids = append(calls, call), append(ids, id)
		}
		wantAccepted(s, f.B, "["+strings.Join(batch, ",")+"]")
		for i, call := range calls {
			if final, _ := call.Final(ids[i]); final.Text(t) != want[i] {
				t.Errorf("%s answers %s", questions[i].tool, final.Raw)
			}
		}
	})
}

func TestTheFirstAnswerWins(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.AllCapabilities)
		q := questions[0]
		t.Run("one after another", func(t *testing.T) {
			asked, call, id := q.ask(s, f.A)
			for _, at := range []string{f.B, f.C, f.A, f.B} {
				wantAccepted(s, at, q.response(asked.ID, "on "+f.Name(at)))
			}
			if final, _ := call.Final(id); final.Text(t) != q.answers("on "+f.Name(f.B)) {
				t.Errorf("the tool answers %s", final.Raw)
			}
			wantAccepted(s, f.C, q.response(asked.ID, "late"))
		})
		t.Run("at once", func(t *testing.T) {
			for range 5 {
				asked, call, id := q.ask(s, f.A)
				var answering sync.WaitGroup
				possible := make(map[string]bool)
				for i, at := range []string{f.A, f.B, f.C, f.A, f.B, f.C} {
					text := fmt.Sprint("answer ", i)
					possible[q.answers(text)] = true
					answering.Go(func() { wantAccepted(s, at, q.response(asked.ID, text)) })
				}
				if final, _ := call.Final(id); !possible[final.Text(t)] {
					t.Errorf("the tool answers %s", final.Raw)
				}
				answering.Wait()
			}
		})
	})
}

func TestAnotherSessionCannotAnswer(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.AllCapabilities)
		stranger := f.Begin(t, f.A, latest, mcptest.AllCapabilities)
		for _, q := range questions[:2] {
			asked, call, id := q.ask(s, f.A)
			for _, at := range []string{f.A, f.B, f.C} {
				wantAccepted(stranger, at, q.response(asked.ID, "a stranger's")) // and ignored
			}
			wantAccepted(s, f.C, q.response(asked.ID, "mine"))
			if final, _ := call.Final(id); final.Text(t) != q.answers("mine") {
				t.Errorf("the tool answers %s", final.Raw)
			}
		}
	})
}

func TestAnswersThatNothingWaitsForAreAccepted(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.AllCapabilities)
		for _, url := range []string{f.A, f.B, f.C} {
			for _, id := range []string{`"unknown"`, `7`, `-1.5`, `""`, `"ask:unknown"`, `"ask:"`, `"ask: \u0000"`, `"` + strings.Repeat("ask:", 500) + `"`} {
				wantAccepted(s, url, `{"jsonrpc":"2.0","id":`+id+`,"result":{}}`)
				wantAccepted(s, url, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-1,"message":"no"}}`)
			}
			wantAccepted(s, url, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}`)
		}
		s.Call(f.B, "whoami", "{}")
	})
}

func TestAClientsErrorIsTheToolsError(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.AllCapabilities)
		for _, q := range questions {
			asked, call, id := q.ask(s, f.A)
			wantAccepted(s, f.B, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"the user said no"}}`, asked.ID))
			if final, _ := call.Final(id); !strings.Contains(final.Text(t), "the user said no") {
				t.Errorf("%s answers %s", q.tool, final.Raw)
			}
		}
	})
}

func TestIDsOfQuestionsAreUniqueInTheFleet(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		const sessions, each = 10, 20
		q, urls := questions[2], []string{f.A, f.B, f.C}
		type open struct {
			s     *mcptest.Session
			call  *mcptest.Answer
			id    string
			asked mcptest.Message
		}
		var mu sync.Mutex
		var all []open
		var asking sync.WaitGroup
		for range sessions {
			s := f.Begin(t, f.A, latest, mcptest.AllCapabilities)
			for i := range each {
				asking.Go(func() {
					call, err := s.TryPost(t.Context(), urls[i%3], mcptest.CallText(fmt.Sprint(i), q.tool, q.arguments))
					if err != nil || call.Stream == nil {
						t.Errorf("%v: %+v", err, call)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, open{s: s, call: call, id: fmt.Sprint(i)})
				})
			}
		}
		asking.Wait()
		seen := make(map[string]bool)
		for i := range all {
			all[i].asked = all[i].call.Stream.NextOf(q.method)
			seen[string(all[i].asked.ID)] = true
		}
		if len(seen) != sessions*each {
			t.Errorf("%d questions have %d ids", sessions*each, len(seen))
		}
		for i, o := range all { // all are open at once
			wantAccepted(o.s, urls[i%3], q.response(o.asked.ID, "x"))
			if final, _ := o.call.Final(o.id); final.Text(t) != q.want {
				t.Errorf("a call ends with %s", final.Raw)
			}
		}
	})
}

func TestAClientThatDeclaredNothingIsNotAsked(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			get := s.Listen(f.B, "")
			for _, q := range questions {
				a, id := s.Start(f.B, q.tool, q.arguments)
				final, before := a.Final(id)
				var result struct{ IsError bool }
				_ = json.Unmarshal(final.Result, &result)
				text := final.Text(t)
				if (!result.IsError && !strings.HasPrefix(text, "err=")) || len(before) > 0 {
					t.Errorf("%s: %s, having sent %v, answers %s", version, q.tool, before, final.Raw)
				}
			}
			get.Quiet(quietly)
		}
	})
}

func TestTheEndOfASessionEndsItsQuestions(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		s := f.Begin(t, f.A, latest, mcptest.AllCapabilities) // whose cleanup sees that none is left
		began := time.Now()
		for _, q := range questions {
			_, call, id := q.ask(s, f.B)
			defer func() {
				if final, _ := call.Final(id); final.Error == nil && final.Result == nil {
					t.Errorf("%s is answered %s", q.tool, final.Raw)
				}
				call.Stream.WantEnd()
				if took := time.Since(began); took > soon {
					t.Errorf("%s ended after %v", q.tool, took)
				}
			}()
		}
		if status := s.Delete(f.C); status != http.StatusOK {
			t.Fatalf("DELETE is answered %d", status)
		}
	})
}
