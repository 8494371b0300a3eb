package tools_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mcpsession/mcpsession"
)

// fallible is a store that fails while there is a failure set.
type fallible struct {
	mcpsession.SessionStore
	failure atomic.Pointer[failure]
}

type failure struct {
	err    error
	action string // empty: every one
}

func (f *fallible) fail(err error)                  { f.failure.Store(&failure{err: err}) }
func (f *fallible) failAt(action string, err error) { f.failure.Store(&failure{err, action}) }
func (f *fallible) recover()                        { f.failure.Store(nil) }

func (f *fallible) err(action string) error {
	if now := f.failure.Load(); now != nil && (now.action == "" || now.action == action) {
		return fmt.Errorf("%s: %w: dial 10.0.0.7:6379: connection refused", action, now.err)
	}
	return nil
}

func (f *fallible) Create(ctx context.Context, id mcpsession.ID, s mcpsession.Session) (mcpsession.Session, error) {
	if err := f.err("create"); err != nil {
		return mcpsession.Session{}, err
	}
	return f.SessionStore.Create(ctx, id, s)
}

func (f *fallible) Get(ctx context.Context, id mcpsession.ID) (mcpsession.Session, error) {
	if err := f.err("get"); err != nil {
		return mcpsession.Session{}, err
	}
	return f.SessionStore.Get(ctx, id)
}

func (f *fallible) Update(ctx context.Context, id mcpsession.ID, change func(*mcpsession.Session) error) (mcpsession.Session, error) {
	if err := f.err("update"); err != nil {
		return mcpsession.Session{}, err
	}
	return f.SessionStore.Update(ctx, id, change)
}

func (f *fallible) Share(ctx context.Context, id mcpsession.ID) (mcpsession.ID, error) {
	if err := f.err("share"); err != nil {
		return mcpsession.ID{}, err
	}
	return f.SessionStore.Share(ctx, id)
}

func (f *fallible) Delete(ctx context.Context, id mcpsession.ID) error {
	if err := f.err("delete"); err != nil {
		return err
	}
	return f.SessionStore.Delete(ctx, id)
}

func (f *fallible) Count(ctx context.Context) (int, error) {
	if err := f.err("count"); err != nil {
		return 0, err
	}
	return f.SessionStore.Count(ctx)
}

func TestAStoreOutOfReachIsNeverAMissingSession(t *testing.T) {
	store := &fallible{SessionStore: memory(t, mcpsession.DefaultLimits(), 100)}
	e := serve(t, setup{store: store})
	p := e.modern(t)
	handle := `"session":` + asJSON(p.done("set_working_directory", `{"directory":"/checkout"}`).field("session"))
	p.done("set_value", with("set_value", handle))

	for what, failure := range map[string]error{"an outage": mcpsession.ErrUnavailable, "a newer schema": mcpsession.ErrUnsupportedVersion} {
		store.fail(failure)
		for _, tool := range names() {
			t.Run(what+"/"+tool, func(t *testing.T) {
				text := peer{t, p.Client}.refused(tool, with(tool, handle))
				if !strings.Contains(text, "store cannot be reached") || !strings.Contains(text, "try the same call again") {
					t.Errorf("is answered %q, which does not say so", text)
				}
				if strings.Contains(text, "does not exist") || strings.Contains(text, "create_session") || strings.Contains(text, "10.0.0.7") {
					t.Errorf("is answered %q, which says too much", text)
				}
				if log := e.log.String(); !strings.Contains(log, "10.0.0.7") || !strings.Contains(log, fmt.Sprintf(`"tool":%q`, tool)) {
					t.Errorf("is not logged with its tool and cause: %s", log)
				}
			})
		}
		if text := p.refused("set_working_directory", `{"directory":"/other"}`); !strings.Contains(text, "store cannot be reached") {
			t.Errorf("during %s a session cannot be created, but the answer is %q", what, text)
		}
	}

	store.recover()
	p.done("get_value", with("get_value", handle)).is(`{"key":"k","found":true,"value":1}`)
	if got := p.done("get_working_directory", "{"+handle+"}").field("working_directory"); got != "/checkout" {
		t.Errorf("after the outage the directory is %q", got)
	}
}

func TestAStoreThatFailsHalfwayThroughACallIsReportedToo(t *testing.T) {
	store := &fallible{SessionStore: memory(t, mcpsession.DefaultLimits(), 100)}
	p := serve(t, setup{store: store}).legacy(t)
	for tool, action := range map[string]string{
		"set_working_directory": "update",
		"auto_switch_project":   "update",
		"set_value":             "update",
		"delete_value":          "update",
		"create_session":        "create",
		"share_session":         "share",
		"count_sessions":        "count",
		"end_session":           "delete",
	} {
		store.failAt(action, mcpsession.ErrUnavailable)
		if text := p.refused(tool, with(tool, ``)); !strings.Contains(text, "store cannot be reached") {
			t.Errorf("%s answers %q when the store fails to %s", tool, text, action)
		}
		store.recover()
	}
	p.done("get_session", `{}`)
}

func TestAWriteThatLosesEveryRaceSaysTryAgain(t *testing.T) {
	store := &fallible{SessionStore: memory(t, mcpsession.DefaultLimits(), 100)}
	p := serve(t, setup{store: conflicting{store}}).legacy(t)
	text := p.refused("set_value", `{"key":"k","value":1}`)
	if !strings.Contains(text, "Nothing was stored") || !strings.Contains(text, "Try again") {
		t.Errorf("the answer is %q", text)
	}
}

type conflicting struct{ mcpsession.SessionStore }

func (conflicting) Update(context.Context, mcpsession.ID, func(*mcpsession.Session) error) (mcpsession.Session, error) {
	return mcpsession.Session{}, fmt.Errorf("update: %w", mcpsession.ErrConflict)
}

func TestNoToolLogsAHandleOrASessionID(t *testing.T) {
	store := &fallible{SessionStore: memory(t, mcpsession.DefaultLimits(), 100)}
	e := serve(t, setup{store: store})
	own, modern := e.legacy(t), e.modern(t)
	first := modern.done("create_session", `{}`).field("session")
	second := modern.done("set_working_directory", `{"directory":"/checkout"}`).field("session")
	store.fail(mcpsession.ErrUnavailable)
	modern.refused("get_session", fmt.Sprintf(`{"session":%q}`, second))
	store.recover()
	own.refused("get_session", fmt.Sprintf(`{"session":%q}`, own.GetSessionId()))
	modern.done("end_session", fmt.Sprintf(`{"session":%q}`, first))
	modern.refused("get_session", fmt.Sprintf(`{"session":%q}`, first))
	own.done("end_session", `{}`)

	log := e.log.String()
	if !strings.Contains(log, "session ended by a tool call") || !strings.Contains(log, own.ref()) {
		t.Fatalf("the log tells nothing: %s", log)
	}
	for what, token := range map[string]string{"a handle": first, "another handle": second, "an Mcp-Session-Id": own.GetSessionId()} {
		if strings.Contains(log, token) || strings.Contains(log, token[23:]) {
			t.Errorf("%s is in the log: %s", what, log)
		}
	}
}
