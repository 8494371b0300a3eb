package redisstore

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mcpsession/mcpsession"
)

func TestATouchIsRecentForASixteenthOfTheIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		touched, err := newTouched()
		if err != nil {
			t.Fatal(err)
		}
		ref, idle := mcpsession.NewSessionID().Ref(), 16*time.Second
		server := time.UnixMilli(1_000_000).UTC() // its clock is its own
		if _, recent := touched.now(ref); recent {
			t.Error("a session that was never touched is recent")
		}
		touched.remember(ref, time.Now(), server, idle)
		for _, step := range []struct {
			wait, passed time.Duration
			recent       bool
		}{
			{0, 0, true},
			{1500 * time.Microsecond, time.Millisecond, true},
			{500*time.Millisecond - 1500*time.Microsecond, 500 * time.Millisecond, true},
			{500*time.Millisecond - 1, 999 * time.Millisecond, true},
			{1, time.Second, false},
			{time.Hour, time.Hour + time.Second, false},
		} {
			time.Sleep(step.wait)
			now, recent := touched.now(ref)
			if recent != step.recent || !now.Equal(server.Add(step.passed)) {
				t.Errorf("%v after the touch it is recent: %t, and the server's time %v", step.passed, recent, now)
			}
		}
	})
}

func TestATouchIsRecentForAMinuteAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		touched, err := newTouched()
		if err != nil {
			t.Fatal(err)
		}
		ref := mcpsession.NewSessionID().Ref()
		touched.remember(ref, time.Now(), time.Now(), 24*time.Hour)
		time.Sleep(time.Minute - 1)
		if _, recent := touched.now(ref); !recent {
			t.Error("a touch is not recent within a minute")
		}
		time.Sleep(time.Nanosecond)
		if _, recent := touched.now(ref); recent {
			t.Error("a touch is recent after a minute")
		}
	})
}

func TestTheServersTimeIsNeverEstimatedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		touched, err := newTouched()
		if err != nil {
			t.Fatal(err)
		}
		ref, sent := mcpsession.NewSessionID().Ref(), time.Now()
		time.Sleep(300 * time.Millisecond) // the server may have told its time at the end of it
		touched.remember(ref, sent, time.UnixMilli(1000), 160*time.Second)
		time.Sleep(20 * time.Millisecond)
		if now, recent := touched.now(ref); !recent || !now.Equal(time.UnixMilli(1020)) {
			t.Errorf("20ms after its reply of 1000ms the server's time is said to be %v", now.UnixMilli())
		}
	})
}

func TestATouchLastsFromWhenItWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		touched, err := newTouched()
		if err != nil {
			t.Fatal(err)
		}
		ref, sent := mcpsession.NewSessionID().Ref(), time.Now()
		time.Sleep(time.Second) // a slow reply: the touch may have been done at once
		touched.remember(ref, sent, time.UnixMilli(0), 16*time.Second)
		if _, recent := touched.now(ref); recent {
			t.Error("a touch is recent though a sixteenth has passed since it was sent")
		}
	})
}

func TestAForgottenTouchIsNotRecent(t *testing.T) {
	touched, err := newTouched()
	if err != nil {
		t.Fatal(err)
	}
	gone, kept := mcpsession.NewSessionID().Ref(), mcpsession.NewSessionID().Ref()
	for _, ref := range []mcpsession.Ref{gone, kept} {
		touched.remember(ref, time.Now(), time.Now(), 24*time.Hour)
	}
	touched.forget(gone)
	touched.forget(gone)
	if _, recent := touched.now(gone); recent {
		t.Error("a forgotten touch is recent")
	}
	if _, recent := touched.now(kept); !recent {
		t.Error("forgetting one touch forgot another")
	}
}

func TestAnIdleTimeoutWithoutSlackIsTouchedEveryTime(t *testing.T) {
	touched, err := newTouched()
	if err != nil {
		t.Fatal(err)
	}
	ref := mcpsession.NewSessionID().Ref()
	touched.remember(ref, time.Now(), time.Now(), 15*time.Millisecond)
	if _, recent := touched.now(ref); recent {
		t.Error("a session whose idle timeout has no whole sixteenth is recent")
	}
}

func TestTouchesAreBounded(t *testing.T) {
	touched, err := newTouched()
	if err != nil {
		t.Fatal(err)
	}
	first := mcpsession.NewSessionID().Ref()
	touched.remember(first, time.Now(), time.Now(), 24*time.Hour)
	for range touchedSize {
		touched.remember(mcpsession.NewSessionID().Ref(), time.Now(), time.Now(), 24*time.Hour)
	}
	if got := touched.recent.Len(); got != touchedSize {
		t.Errorf("%d touches are remembered, want %d", got, touchedSize)
	}
	if _, recent := touched.now(first); recent {
		t.Error("the oldest touch was not the one to go")
	}
}
