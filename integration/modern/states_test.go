package modern

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/fleet"
	"github.com/mcpsession/mcpsession/internal/mcptest"
)

const rounds = "test_input_required_result_multi_round"

// asking is a client that can be asked.
func asking(t *testing.T) *mcptest.Modern {
	c := mcptest.NewModern(t)
	c.Capabilities = `{"elicitation":{}}`
	return c
}

// inputRequired is a result that asks for input.
type inputRequired struct {
	ResultType    string
	InputRequests map[string]struct{ Method string }
	RequestState  string
}

// retry is a call with answers and the state that came with the questions.
type retry struct{ tool, arguments, answers, state, user string }

func (r retry) request(c *mcptest.Modern) *mcptest.ModernRequest {
	c.T.Helper()
	params := fmt.Sprintf(`{"name":%q,"arguments":%s`, r.tool, r.arguments)
	if r.answers != "" {
		params += `,"inputResponses":` + r.answers
	}
	if r.state != "" {
		params += fmt.Sprintf(`,"requestState":%q`, r.state)
	}
	request := c.New("1", "tools/call", params+"}")
	if r.user != "" {
		request.Header.Set("X-Test-User", r.user)
	}
	return request
}

// wantAsked sends a call that has to ask for input under this name.
func (r retry) wantAsked(c *mcptest.Modern, url, name string) inputRequired {
	c.T.Helper()
	m := c.Send(url, r.request(c)).Only()
	var asked inputRequired
	if err := json.Unmarshal(m.Result, &asked); err != nil || asked.ResultType != "input_required" || asked.InputRequests[name].Method != "elicitation/create" || asked.RequestState == "" {
		c.T.Fatalf("%s asks for %s", r.tool, m.Raw)
	}
	return asked
}

// wantRefused sends a call whose state has to be refused.
func (r retry) wantRefused(c *mcptest.Modern, url, what string) {
	c.T.Helper()
	a := c.Send(url, r.request(c))
	if m := a.Only(); m.Error == nil || m.Error.Code != -32602 || a.Status != http.StatusBadRequest {
		c.T.Errorf("%s is answered %d: %s", what, a.Status, m.Raw)
	}
}

func accepted(name, field, value string) string {
	return fmt.Sprintf(`{%q:{"action":"accept","content":{%q:%s}}}`, name, field, value)
}

func TestThreeRoundsOnThreeReplicas(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := asking(t)
		first := retry{tool: rounds, arguments: "{}"}.wantAsked(c, f.A, "step1")
		second := retry{rounds, "{}", accepted("step1", "name", `"Ada"`), first.RequestState, ""}.wantAsked(c, f.B, "step2")
		last := retry{rounds, "{}", accepted("step2", "color", `"blue"`), second.RequestState, ""}.request(c)
		if got := c.Send(f.C, last).Only().Text(t); got != "Multi-round complete for Ada who likes blue" {
			t.Errorf("after three rounds it answers %q", got)
		}
		if strings.Contains(second.RequestState, "Ada") {
			t.Error("the client can read the state")
		}
	})
}

func TestTheSameToolAsksALegacyClientItself(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		s := mcptest.Begin(t, f.A, legacy, `{"elicitation":{}}`)
		call, id := s.Start(f.A, rounds, "{}")
		for _, step := range []struct{ url, content string }{{f.B, `{"name":"Ada"}`}, {f.C, `{"color":"blue"}`}} {
			asked := call.Stream.Next()
			if asked.Method != "elicitation/create" {
				t.Fatalf("it asks %s", asked.Raw)
			}
			answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":%s}}`, asked.ID, step.content)
			if a := s.Post(step.url, answer); a.Status != http.StatusAccepted {
				t.Errorf("an answer on %s is answered %d", f.Name(step.url), a.Status)
			}
		}
		final, _ := call.Final(id)
		if got := final.Text(t); got != "Multi-round complete for Ada who likes blue" {
			t.Errorf("after three rounds it answers %q", got)
		}
	})
}

func TestAStateIsRefusedForAnythingButItsRequest(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := asking(t)
		const tool = "test_input_required_result_request_state"
		yes := accepted("confirm", "ok", "true")
		state := retry{tool, `{"a":1}`, "", "", "ada"}.wantAsked(c, f.A, "confirm").RequestState
		changed := []byte(state)
		changed[len(changed)/2] ^= 1
		for _, url := range f.URLs() {
			at := " on " + f.Name(url)
			retry{tool, `{"a":1}`, yes, string(changed), "ada"}.wantRefused(c, url, "a state that was tampered with"+at)
			retry{tool, `{"a":1}`, yes, "e30", "ada"}.wantRefused(c, url, "a state of the client's own making"+at)
			retry{tool, `{"a":1}`, yes, state, "bob"}.wantRefused(c, url, "another principal's state"+at)
			retry{tool, `{"a":1}`, yes, state, ""}.wantRefused(c, url, "somebody's state sent by nobody"+at)
			retry{tool, `{"a":2}`, yes, state, "ada"}.wantRefused(c, url, "a state with other arguments"+at)
			retry{rounds, `{"a":1}`, yes, state, "ada"}.wantRefused(c, url, "a state of another tool"+at)
			right := retry{tool, `{"a":1}`, yes, state, "ada"}
			if got := c.Send(url, right.request(c)).Only().Text(t); got != "state-ok: requestState validated" {
				t.Errorf("the right state is answered %q%s", got, at)
			}
		}
	})
}

func TestAStateIsUsedOnceInTheFleet(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet.Fleet) {
		c := asking(t)
		r := retry{tool: "redeem", arguments: "{}", answers: accepted("confirm", "ok", "true")}
		r.state = retry{tool: "redeem", arguments: "{}"}.wantAsked(c, f.A, "confirm").RequestState
		var redeemed, refused atomic.Int32
		var all sync.WaitGroup
		for i := range 15 {
			url := f.URLs()[i%3]
			all.Go(func() {
				switch m := c.Send(url, r.request(c)).Only(); {
				case m.Error != nil && m.Error.Code == -32602:
					refused.Add(1)
				case m.Error == nil && m.Text(t) == "redeemed "+f.Name(url):
					redeemed.Add(1)
				default:
					t.Errorf("a state that is used 15 times is answered %s", m.Raw)
				}
			})
		}
		all.Wait()
		if redeemed.Load() != 1 || refused.Load() != 14 {
			t.Errorf("of 15 uses %d succeeded and %d were refused", redeemed.Load(), refused.Load())
		}
		for _, url := range f.URLs() {
			r.wantRefused(c, url, "a state used again on "+f.Name(url))
		}
	})
}

func TestStatesAreSealedWithTheOperatorsKeys(t *testing.T) {
	keys := "REQUEST_STATE_KEYS=" + strings.Repeat("B", 43) + "=," + strings.Repeat("A", 43) + "="
	fleet.RunOwn(t, []string{keys}, func(t *testing.T, f *fleet.Fleet) {
		c := asking(t)
		first := retry{tool: rounds, arguments: "{}"}.wantAsked(c, f.A, "step1")
		retry{rounds, "{}", accepted("step1", "name", `"Ada"`), first.RequestState, ""}.wantAsked(c, f.B, "step2")
		if f.Redis == nil {
			return
		}
		shared, err := f.Keys("*request-state-key*")
		if err != nil || len(shared) > 0 {
			t.Errorf("with keys of the operator's, Redis holds %v, %v", shared, err)
		}
	})
}
