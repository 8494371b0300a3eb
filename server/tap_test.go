package server_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/internal/mcptest"
	"github.com/mcpsession/mcpsession/server"
)

// distant is a broker to which the first replica's broadcasts take their time.
type distant struct{ mcpsession.Broker }

func (b distant) Append(ctx context.Context, log mcpsession.Key, event []byte, keep mcpsession.Retention) (mcpsession.Position, error) {
	if bytes.Contains(event, []byte(`"from":0`)) {
		time.Sleep(100 * time.Millisecond)
	}
	return b.Broker.Append(ctx, log, event, keep)
}

func TestBroadcastsComeInTheOrderOfTheCallsThatSendThem(t *testing.T) {
	r := startReplicasOn(t, distant{newBroker(t)}, 2, server.Options{})
	s := mcptest.Begin(t, r.urls[0], version, mcptest.NoCapabilities)
	stream := s.Listen(r.urls[1], "")
	for i := range 6 {
		s.Call(r.urls[i%2], "everybody", `{}`)
	}
	for i := range 6 {
		if m := stream.NextOf("notifications/news"); m.Param("from") != fmt.Sprint(i%2) {
			t.Errorf("broadcast %d comes from replica %s", i, m.Param("from"))
		}
	}
}
