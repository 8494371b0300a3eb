package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/internal/mcptest"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/server"
)

// replicas are handlers with an MCP server each, that share one store and one
// broker. integration/ does the same with processes and Redis.
type replicas struct {
	urls     []string
	handlers []*server.Handler
	servers  []*mcpserver.MCPServer
	store    mcpsession.SessionStore
	broker   mcpsession.Broker
}

func startReplicas(t *testing.T, n int, o server.Options) *replicas {
	t.Helper()
	return startReplicasOn(t, newBroker(t), n, o)
}

func startReplicasOn(t *testing.T, broker mcpsession.Broker, n int, o server.Options) *replicas {
	t.Helper()
	r := &replicas{broker: broker}
	store, err := memstore.New(mcpsession.DefaultLimits(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	r.store = store
	o.Logger = slog.New(slog.NewTextHandler(testLog{t}, nil))
	for i := range n {
		srv := newTalkative(i)
		handler, err := server.New(srv, store, broker, o)
		if err != nil {
			t.Fatal(err)
		}
		listener := httptest.NewUnstartedServer(handler)
		listener.Config.RegisterOnShutdown(handler.EndStreams)
		listener.Start()
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			listener.CloseClientConnections()
			if err := listener.Config.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			if err := handler.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
		r.urls = append(r.urls, listener.URL)
		r.handlers = append(r.handlers, handler)
		r.servers = append(r.servers, srv)
	}
	t.Cleanup(func() { store.Close() })
	return r
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Logf("%s", p)
	}
	return len(p), nil
}

// newTalkative is an MCP server whose tools send messages before they answer.
func newTalkative(i int) *mcpserver.MCPServer {
	srv := mcpserver.NewMCPServer("talkative", "1", mcpserver.WithToolCapabilities(true),
		mcpserver.WithResourceCapabilities(true, true), mcpserver.WithLogging())
	answer := func(text string) (*mcp.CallToolResult, error) { return mcp.NewToolResultText(text), nil }
	srv.AddTool(mcp.NewTool("progress"), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		for n := range r.GetInt("n", 5) {
			_ = srv.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "t", "progress": n})
			if gap := r.GetInt("gap", 0); gap > 0 {
				time.Sleep(time.Duration(gap) * time.Millisecond)
			}
		}
		return answer(fmt.Sprint("done by ", i))
	})
	srv.AddTool(mcp.NewTool("ask"), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		_ = srv.SendNotificationToClient(ctx, "notifications/progress", map[string]any{"progressToken": "t", "progress": 0})
		result, err := srv.RequestRoots(ctx, mcp.ListRootsRequest{})
		if err != nil {
			return mcp.NewToolResultError(err.Error()), nil
		}
		return answer(fmt.Sprint(len(result.Roots), " roots"))
	})
	srv.AddTool(mcp.NewTool("wait"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		select {
		case <-ctx.Done():
			return mcp.NewToolResultError("cancelled: " + context.Cause(ctx).Error()), nil
		case <-time.After(time.Minute):
			return answer("nobody cancelled")
		}
	})
	srv.AddTool(mcp.NewTool("everybody"), func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		srv.SendNotificationToAllClients("notifications/news", map[string]any{"from": i})
		return answer("ok")
	})
	srv.AddTool(mcp.NewTool("changed"), func(_ context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		srv.SendNotificationToAllClients("notifications/resources/updated", map[string]any{"uri": r.GetString("uri", "")})
		return answer("ok")
	})
	srv.AddTool(mcp.NewTool("leave"), func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if err := server.CloseStream(ctx, 50*time.Millisecond); err != nil {
			return mcp.NewToolResultError(err.Error()), nil
		}
		time.Sleep(100 * time.Millisecond)
		return answer("answered later")
	})
	return srv
}

const version = "2025-11-25"

func TestProgressComesWholeAndInOrderBeforeTheResult(t *testing.T) {
	r := startReplicas(t, 2, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	s.Listen(r.urls[0], "") // must not take any of it
	for _, args := range []string{`{"n":3,"gap":20}`, `{"n":700}`} {
		a, id := s.Start(r.urls[0], "progress", args)
		final, before := a.Final(id)
		a.Stream.WantEnd()
		for i, m := range before {
			if m.Param("progress") != fmt.Sprint(i) {
				t.Fatalf("message %d of %d is %s", i, len(before), m.Raw)
			}
		}
		if want := map[string]int{`{"n":3,"gap":20}`: 3, `{"n":700}`: 700}[args]; len(before) != want || final.Text(t) != "done by 0" {
			t.Errorf("%d messages come before %s, want %d", len(before), final.Raw, want)
		}
	}
}

func TestABrokenAnswerGoesOnElsewhere(t *testing.T) {
	r := startReplicas(t, 2, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	a, id := s.Start(r.urls[0], "progress", `{"n":8,"gap":50}`)
	for i := range 3 {
		if m := a.Stream.Next(); m.Param("progress") != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, m.Raw)
		}
	}
	last := a.Stream.Break()
	resumed := s.Listen(r.urls[1], last)
	final, before := resumed.Until(id)
	resumed.WantEnd()
	if len(before) != 5 || before[0].Param("progress") != "3" || final.Text(t) != "done by 0" {
		t.Errorf("after %d messages, the first of them %v, comes %s", len(before), before, final.Raw)
	}
	again := s.Listen(r.urls[0], last) // all of it once more, from the record
	if _, before := again.Until(id); len(before) != 5 {
		t.Errorf("resumed again, %d messages come before the answer", len(before))
	}
	end := s.Listen(r.urls[0], final.EventID) // nothing is left
	end.WantEnd()
	stranger := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	if stream, status, _ := stranger.TryListen(r.urls[0], last); stream != nil || status != http.StatusBadRequest {
		t.Errorf("another session resumes the answer: %d", status)
	}
}

func TestAnswersReachTheCallThatAsked(t *testing.T) {
	r := startReplicas(t, 3, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.AllCapabilities)
	a, id := s.Start(r.urls[1], "ask", `{}`)
	question := a.Stream.NextOf("roots/list")
	stranger := mcptest.Begin(t, r.urls[0], version, mcptest.AllCapabilities)
	response := `{"jsonrpc":"2.0","id":` + string(question.ID) + `,"result":{"roots":[%s]}}`
	for _, post := range []struct {
		s    *mcptest.Session
		body string
	}{
		{stranger, fmt.Sprintf(response, `{"uri":"file:///stranger"}`)},
		{s, fmt.Sprintf(response, `{"uri":"file:///a"},{"uri":"file:///b"}`)},
		{s, fmt.Sprintf(response, ``)},
	} {
		if a := post.s.Post(r.urls[2], post.body); a.Status != http.StatusAccepted {
			t.Errorf("an answer is answered %d: %s", a.Status, a.Body)
		}
	}
	if final, _ := a.Final(id); final.Text(t) != "2 roots" {
		t.Errorf("the call ends with %s", final.Raw)
	}
}

func TestAClientThatNeverAnswersIsGivenUp(t *testing.T) {
	r := startReplicas(t, 1, server.Options{AnswerTimeout: 200 * time.Millisecond})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.AllCapabilities)
	a, id := s.Start(r.urls[0], "ask", `{}`)
	final, before := a.Final(id)
	if got := final.Text(t); got != "ask the client for roots/list: the client did not answer roots/list within 200ms" {
		t.Errorf("the call ends with %q", got)
	}
	if last := before[len(before)-1]; last.Method != "notifications/cancelled" {
		t.Errorf("before the end comes %s", last.Raw)
	}
}

func TestACancellationFindsTheCall(t *testing.T) {
	r := startReplicas(t, 2, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	done := make(chan *mcptest.Answer)
	go func() { done <- s.Post(r.urls[0], mcptest.CallText("77", "wait", `{}`)) }()
	time.Sleep(1200 * time.Millisecond) // the answer becomes a stream
	if a := s.Post(r.urls[1], `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}`); a.Status != http.StatusAccepted {
		t.Fatalf("the cancellation is answered %d", a.Status)
	}
	(<-done).Stream.WantEnd()
}

func TestBroadcastsReachEverySessionOnceAndItsSuccessorStreams(t *testing.T) {
	r := startReplicas(t, 3, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	first := s.Listen(r.urls[1], "")
	if err := r.handlers[0].Notify(t.Context(), ref16(t, s), "notifications/one", nil); err != nil {
		t.Fatal(err)
	}
	first.NextOf("notifications/one") // so this is the one that delivers
	second := s.Listen(r.urls[2], "")
	other := mcptest.Begin(t, r.urls[1], version, mcptest.NoCapabilities).Listen(r.urls[2], "")
	s.Call(r.urls[0], "everybody", `{}`)
	if m := other.NextOf("notifications/news"); m.Param("from") != "0" {
		t.Errorf("another session gets %s", m.Raw)
	}
	m := first.Next()
	second.Quiet(200 * time.Millisecond)
	first.Quiet(10 * time.Millisecond)

	first.Break()
	s.Call(r.urls[2], "everybody", `{}`)
	if m := second.Next(); m.Param("from") != "2" {
		t.Errorf("the stream that inherits gets %s", m.Raw)
	}
	resumed := s.Listen(r.urls[0], m.EventID)
	resumed.Quiet(200 * time.Millisecond) // it was given no more
	second.Break()
	resumed.Break()
	r.wantNobodyDelivers(t, s)
	s.Call(r.urls[2], "everybody", `{}`)
	if err := r.handlers[1].Notify(t.Context(), ref16(t, s), "notifications/one", nil); err != nil {
		t.Fatal(err)
	}
	next := s.Listen(r.urls[1], "")
	if a, b := next.Next(), next.Next(); a.Method != "notifications/one" || b.Method != "notifications/news" {
		t.Errorf("the next stream begins with %s and %s", a.Raw, b.Raw)
	}
	next.Quiet(100 * time.Millisecond)
}

// wantNobodyDelivers waits until the server has noticed that the client holds no
// stream: what it sends before that was given to one.
func (r *replicas) wantNobodyDelivers(t *testing.T, s *mcptest.Session) {
	t.Helper()
	cell := mcpsession.Key{Ref: ref16(t, s), Name: "delivery"}
	for deadline := time.Now().Add(mcptest.Patience); ; time.Sleep(time.Millisecond) {
		text, err := r.broker.Swap(t.Context(), cell, nil, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"c":`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a stream of a client that is gone still delivers: %s", text)
		}
	}
}

func ref16(t *testing.T, s *mcptest.Session) mcpsession.Ref {
	t.Helper()
	id, err := mcpsession.ParseSessionID(s.Token)
	if err != nil {
		t.Fatal(err)
	}
	return id.Ref()
}

func TestOnlySubscribersHearOfAResource(t *testing.T) {
	r := startReplicas(t, 3, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	mine := s.Listen(r.urls[2], "")
	other := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities).Listen(r.urls[2], "")
	if a, _ := s.Request(r.urls[0], "resources/subscribe", `{"uri":"test://a"}`); a.Only().Error != nil {
		t.Fatalf("subscribing is answered %s", a.Body)
	}
	s.Call(r.urls[1], "changed", `{"uri":"test://b"}`)
	s.Call(r.urls[1], "changed", `{"uri":"test://a"}`)
	if m := mine.Next(); m.Param("uri") != `"test://a"` {
		t.Errorf("the subscriber gets %s", m.Raw)
	}
	s.Request(r.urls[1], "resources/unsubscribe", `{"uri":"test://a"}`)
	s.Call(r.urls[1], "changed", `{"uri":"test://a"}`)
	mine.Quiet(200 * time.Millisecond)
	other.Quiet(10 * time.Millisecond)
}

func TestAnEndedSessionsStreamsAndCallsEndEverywhere(t *testing.T) {
	r := startReplicas(t, 3, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	stream := s.Listen(r.urls[1], "")
	done := make(chan *mcptest.Answer)
	go func() { done <- s.Post(r.urls[0], mcptest.CallText("5", "wait", `{}`)) }()
	time.Sleep(100 * time.Millisecond)
	if status := s.Delete(r.urls[2]); status != http.StatusOK {
		t.Fatalf("DELETE is answered %d", status)
	}
	stream.WantEnd()
	if a := <-done; a.Only().Text(t) != "cancelled: the session ended" {
		t.Errorf("the call ends with %s", a.Body)
	}
}

func TestAHandlerMayCloseItsStream(t *testing.T) {
	r := startReplicas(t, 2, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	a, id := s.Start(r.urls[0], "leave", `{}`)
	a.Stream.WantEnd()
	if a.Stream.Retry() != "50" || !a.Stream.Primed() {
		t.Errorf("the stream ends with retry %q, primed: %t", a.Stream.Retry(), a.Stream.Primed())
	}
	if final, _ := s.Listen(r.urls[1], a.Stream.LastID()).Until(id); final.Text(t) != "answered later" {
		t.Errorf("the call ends with %s", final.Raw)
	}
	old := mcptest.Begin(t, r.urls[0], "2025-06-18", mcptest.NoCapabilities)
	if got := old.Call(r.urls[0], "leave", `{}`); got != server.ErrNoStream.Error() {
		t.Errorf("for an older client the tool answers %q", got)
	}
}

func TestABatchIsAnsweredAsOne(t *testing.T) {
	r := startReplicas(t, 1, server.Options{})
	s := mcptest.Begin(t, r.urls[0], "2025-03-26", mcptest.NoCapabilities)
	batch := func(tool, args string) string {
		return `[` + mcptest.CallText("1", tool, args) + `,{"jsonrpc":"2.0","method":"notifications/x"},` + mcptest.RequestText(`"two"`, "ping", "") + `]`
	}
	a := s.Post(r.urls[0], batch("everybody", `{}`))
	if a.Status != http.StatusOK || len(a.Body) == 0 || a.Body[0] != '[' {
		t.Errorf("the batch is answered %d: %s", a.Status, a.Body)
	}
	a = s.Post(r.urls[0], batch("progress", `{"n":2,"gap":20}`))
	answered := map[string]bool{}
	for range 4 {
		answered[string(a.Stream.Next().ID)] = true
	}
	a.Stream.WantEnd()
	if !answered["1"] || !answered[`"two"`] {
		t.Errorf("answered are %v", answered)
	}
	if a := s.Post(r.urls[0], `[{"jsonrpc":"2.0","method":"notifications/x"}]`); a.Status != http.StatusAccepted {
		t.Errorf("a batch of notifications is answered %d", a.Status)
	}
}
