package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/server"
)

// A log opens no session, whatever happened to it.
func TestNoSessionIDIsEverLogged(t *testing.T) {
	e := newEndpoint(t, server.Options{})
	url := e.listen(t).URL
	used, ended := e.begin(t), e.begin(t)
	stranger, handle := mcpsession.NewSessionID(), mcpsession.NewHandle()
	asks := func(token string) {
		for method, body := range methods {
			e.send(method, body, header("Mcp-Session-Id: "+token))
		}
	}
	e.whose(t, used)
	openStream(t, url, used)
	e.send(http.MethodDelete, "", header("Mcp-Session-Id: "+ended))
	for _, token := range []string{ended, stranger.Token(), handle.Token(), used[:44] + "!", used + "A"} {
		asks(token)
	}
	for _, failure := range []error{mcpsession.ErrUnavailable, mcpsession.ErrUnsupportedVersion, context.DeadlineExceeded} {
		e.store.fail(failure)
		asks(used)
		e.send(http.MethodPost, initialize, nil)
		e.store.recover()
	}
	modern := modernHeader()
	modern.Set("Mcp-Session-Id", used)
	e.send(http.MethodPost, modernCallWhose, modern)
	e.send(http.MethodPut, "", header("Mcp-Session-Id: "+used))
	e.EndStreams()

	log := e.log.String()
	for what, token := range map[string]string{
		"a live session's id": used, "an ended session's id": ended,
		"an id never issued": stranger.Token(), "a handle": handle.Token(),
	} {
		if secret := token[23:]; strings.Contains(log, token) || strings.Contains(log, secret) {
			t.Errorf("%s is in the log:\n%s", what, log)
		}
	}
	for _, want := range []string{
		`"msg":"session began","session":"` + ref(t, used) + `","client":"tester","protocol":"2025-11-25"`,
		`"msg":"session ended by its client","session":"` + ref(t, ended) + `"`,
		`"msg":"session store failed"`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("the log has a line that is not JSON: %s", line)
		}
	}
}

func TestWithoutALoggerTheHandlerIsSilentAndWorks(t *testing.T) {
	handler, err := server.New(newMCP(), newSpy(t), newBroker(t), server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handler.Shutdown(context.Background()) })
	e := &endpoint{Handler: handler}
	token := e.begin(t)
	e.send(http.MethodDelete, "", header("Mcp-Session-Id: "+token))
	wantError(t, e.send(http.MethodPost, callWhose, header("Mcp-Session-Id: "+token)), http.StatusNotFound, "not found")
}
