package server_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/internal/mcptest"
	"github.com/mcpsession/mcpsession/server"
)

// byHeader says that a request comes from whom its X-User header names.
func byHeader(r *http.Request) (string, error) {
	if user := r.Header.Get("X-User"); user != "" {
		return user, nil
	}
	return "", errors.New("the token in the request is forged")
}

// as is a client of this user, with a session or none.
func as(t *testing.T, user, token string) *mcptest.Session {
	return &mcptest.Session{T: t, Token: token, Version: version, Header: http.Header{"X-User": {user}}}
}

func beginAs(t *testing.T, url, user string) *mcptest.Session {
	t.Helper()
	a := as(t, user, "").Post(url, fmt.Sprintf(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":%q,`+
		`"capabilities":%s,"clientInfo":{"name":%q,"version":"1"}}}`, version, mcptest.AllCapabilities, user))
	if a.Status != http.StatusOK {
		t.Fatalf("initialize is answered %d: %s", a.Status, a.Body)
	}
	return as(t, user, a.Header.Get("Mcp-Session-Id"))
}

// statuses are what each kind of request of a session is answered.
func statuses(s *mcptest.Session, url, lastEventID string) map[string]int {
	got := make(map[string]int)
	for what, body := range map[string]string{
		"call":         mcptest.CallText("5", "everybody", "{}"),
		"answer":       `{"jsonrpc":"2.0","id":"ask:1","result":{}}`,
		"cancellation": `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
	} {
		got[what] = s.Post(url, body).Status
	}
	_, got["GET"], _ = s.TryListen(url, "")
	_, got["resuming GET"], _ = s.TryListen(url, lastEventID)
	got["DELETE"] = s.Delete(url)
	return got
}

func TestASessionDoesNotExistForAnyoneButItsOwner(t *testing.T) {
	r := startReplicas(t, 3, server.Options{Principal: byHeader})
	alice, bob := beginAs(t, r.urls[0], "alice"), beginAs(t, r.urls[0], "bob")
	id, err := mcpsession.ParseSessionID(alice.Token)
	if err != nil {
		t.Fatal(err)
	}
	if session, err := r.store.Get(t.Context(), id); err != nil || session.Owner != "alice" {
		t.Errorf("the session's owner is %q, %v", session.Owner, err)
	}
	stream := alice.Listen(r.urls[1], "")
	if err := r.handlers[2].Notify(t.Context(), id.Ref(), "notifications/one", nil); err != nil {
		t.Fatal(err)
	}
	lastEventID := stream.NextOf("notifications/one").EventID
	call, callID := alice.Start(r.urls[2], "ask", "{}")
	asked := call.Stream.NextOf("roots/list")
	answer := `{"jsonrpc":"2.0","id":` + string(asked.ID) + `,"result":{"roots":[%s]}}`

	for _, url := range r.urls {
		for what, status := range statuses(as(t, "bob", alice.Token), url, lastEventID) {
			if status != http.StatusNotFound {
				t.Errorf("%s of another's session is answered %d", what, status)
			}
		}
		for what, status := range statuses(&mcptest.Session{T: t, Token: alice.Token}, url, lastEventID) {
			if status != http.StatusUnauthorized {
				t.Errorf("%s of nobody known is answered %d", what, status)
			}
		}
		if a := as(t, "bob", alice.Token).Post(url, fmt.Sprintf(answer, `{"uri":"file:///bob"}`)); a.Status != http.StatusNotFound {
			t.Errorf("an answer in another's session is answered %d", a.Status)
		}
		if a := bob.Post(url, fmt.Sprintf(answer, `{"uri":"file:///bob"}`)); a.Status != http.StatusAccepted {
			t.Errorf("an answer to another's question is answered %d", a.Status)
		}
	}
	if a := (&mcptest.Session{T: t}).Post(r.urls[0], initialize); a.Status != http.StatusUnauthorized || a.Header.Get("Mcp-Session-Id") != "" {
		t.Errorf("initialize of nobody known is answered %d: %s", a.Status, a.Body)
	}

	// None of it was noticed.
	if a := alice.Post(r.urls[0], fmt.Sprintf(answer, `{"uri":"file:///a"},{"uri":"file:///b"}`)); a.Status != http.StatusAccepted {
		t.Errorf("the owner's answer is answered %d", a.Status)
	}
	if final, _ := call.Final(callID); final.Text(t) != "2 roots" {
		t.Errorf("the owner's call ends with %s", final.Raw)
	}
	if err := r.handlers[0].Notify(t.Context(), id.Ref(), "notifications/two", nil); err != nil {
		t.Fatal(err)
	}
	stream.NextOf("notifications/two")
	for what, status := range statuses(alice, r.urls[1], lastEventID) {
		if want := map[string]int{"answer": 202, "cancellation": 202}[what]; status != want && status != http.StatusOK {
			t.Errorf("%s of the owner is answered %d", what, status)
		}
	}
}
