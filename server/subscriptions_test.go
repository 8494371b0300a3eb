package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/internal/mcptest"
	"github.com/mcpsession/mcpsession/server"
)

// pausing is a broker that stops once after it has read a log, before anybody
// sees what it read.
type pausing struct {
	mcpsession.Broker
	log    atomic.Pointer[mcpsession.Key]
	paused chan struct{}
	resume chan struct{}
}

func (b *pausing) Read(ctx context.Context, log mcpsession.Key, after mcpsession.Position) (mcpsession.Page, error) {
	page, err := b.Broker.Read(ctx, log, after)
	if at := b.log.Load(); at != nil && *at == log && b.log.CompareAndSwap(at, nil) {
		b.paused <- struct{}{}
		<-b.resume
	}
	return page, err
}

func TestAnUpdateRightAfterTheSubscriptionIsNotMissed(t *testing.T) {
	broker := &pausing{Broker: newBroker(t), paused: make(chan struct{}), resume: make(chan struct{})}
	r := startReplicasOn(t, broker, 1, server.Options{})
	url := r.urls[0]
	subscribe := func(s *mcptest.Session) {
		t.Helper()
		if a, _ := s.Request(url, "resources/subscribe", `{"uri":"test://a"}`); a.Only().Error != nil {
			t.Fatalf("subscribing is answered %s", a.Body)
		}
	}
	s := mcptest.Begin(t, url, version, mcptest.NoCapabilities)
	stream := s.Listen(url, "")
	other := mcptest.Begin(t, url, version, mcptest.NoCapabilities)
	others := other.Listen(url, "")
	subscribe(other)
	other.Call(url, "changed", `{"uri":"test://a"}`)
	others.NextOf("notifications/resources/updated")
	other.Call(url, "everybody", `{}`) // after this, the update before it is none of the stream's business
	others.NextOf("notifications/news")
	stream.NextOf("notifications/news")

	// The stream looks into its mailbox, and at once afterwards its client
	// subscribes, the resource changes, and the replica hears of that.
	mailbox := mcpsession.Key{Ref: ref16(t, s), Name: "mailbox"}
	broker.log.Store(&mailbox)
	if err := r.handlers[0].Notify(t.Context(), mailbox.Ref, "notifications/one", nil); err != nil {
		t.Fatal(err)
	}
	<-broker.paused
	subscribe(s)
	other.Call(url, "changed", `{"uri":"test://a"}`)
	others.NextOf("notifications/resources/updated")
	close(broker.resume)

	stream.NextOf("notifications/one")
	stream.NextOf("notifications/resources/updated")
	stream.Quiet(100 * time.Millisecond)
}
