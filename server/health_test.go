package server_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/server"
)

// pinged is a store that is out of reach while it has an error.
type pinged struct {
	mcpsession.SessionStore
	err   error
	hangs bool
}

func (p *pinged) Ping(ctx context.Context) error {
	if p.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return p.err
}

func probe(t *testing.T, handle http.HandlerFunc, status int, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	handle(w, httptest.NewRequest(http.MethodGet, "/", nil))
	if w.Code != status || w.Body.String() != text+"\n" {
		t.Errorf("the probe is answered %d %q, want %d %q", w.Code, w.Body, status, text)
	}
}

func TestAServerIsReadyUntilItsStoreIsOutOfReachForTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &pinged{}
		health := server.NewHealth(store)
		ready := func() { t.Helper(); probe(t, health.Ready, http.StatusOK, "ready") }
		unready := func() {
			t.Helper()
			probe(t, health.Ready, http.StatusServiceUnavailable, "session store out of reach")
		}
		ready()
		time.Sleep(time.Hour)
		ready()

		store.err = errors.New("refused")
		ready()
		time.Sleep(10*time.Second - time.Nanosecond)
		ready()
		time.Sleep(time.Nanosecond)
		unready()
		time.Sleep(time.Hour)
		unready()
		probe(t, health.Live, http.StatusOK, "ok") // it lives all the same

		store.err = nil
		ready()
		store.err = errors.New("refused") // the ten seconds begin anew
		ready()
		time.Sleep(9 * time.Second)
		ready()
		store.err = nil
		ready()
		store.err = errors.New("refused")
		time.Sleep(9 * time.Second)
		ready()
	})
}

func TestAStoreThatHangsIsOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &pinged{hangs: true}
		health := server.NewHealth(store)
		start := time.Now()
		probe(t, health.Ready, http.StatusOK, "ready")
		if took := time.Since(start); took != time.Second {
			t.Errorf("the probe is answered after %v, want 1s", took)
		}
		time.Sleep(9 * time.Second)
		probe(t, health.Ready, http.StatusServiceUnavailable, "session store out of reach")
	})
}

func TestADrainingServerIsNotReadyForGood(t *testing.T) {
	for what, store := range map[string]mcpsession.SessionStore{
		"in memory": newSpy(t), "within reach": &pinged{}, "out of reach": &pinged{err: errors.New("refused")},
	} {
		t.Run(what, func(t *testing.T) {
			health := server.NewHealth(store)
			probe(t, health.Ready, http.StatusOK, "ready")
			health.Drain()
			health.Drain()
			probe(t, health.Ready, http.StatusServiceUnavailable, "draining")
			probe(t, health.Live, http.StatusOK, "ok")
			probe(t, health.Ready, http.StatusServiceUnavailable, "draining")
		})
	}
}
