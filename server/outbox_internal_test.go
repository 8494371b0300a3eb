package server

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

func numbered(i int) mcp.JSONRPCNotification {
	var n mcp.JSONRPCNotification
	n.Method = strconv.Itoa(i)
	return n
}

// send is how MCPServer sends: it drops what does not fit at once.
func send(o *outbox, n mcp.JSONRPCNotification) bool {
	select {
	case o.in <- n:
		return true
	default:
		return false
	}
}

func TestABurstIsDeliveredWholeAndInOrderHoweverSlowTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5 * outboxBuffer
		var got []string
		o := newOutbox(func(n mcp.JSONRPCNotification) {
			time.Sleep(time.Second)
			got = append(got, n.Method)
		})
		for i := range n {
			if !send(o, numbered(i)) {
				t.Fatalf("notification %d does not fit", i)
			}
			if i%(outboxBuffer/2) == 0 {
				synctest.Wait() // the handler does something else
			}
		}
		o.close()
		if len(got) != n {
			t.Fatalf("%d of %d are delivered", len(got), n)
		}
		for i, method := range got {
			if method != strconv.Itoa(i) {
				t.Fatalf("notification %s comes in place %d", method, i)
			}
		}
	})
}

func TestFlushWaitsForWhatWasSentBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delivered := 0
		o := newOutbox(func(mcp.JSONRPCNotification) {
			time.Sleep(time.Second)
			delivered++
		})
		defer o.close()
		for i := range 10 {
			send(o, numbered(i))
		}
		if err := o.flush(t.Context()); err != nil || delivered != 10 {
			t.Errorf("after flush, %v, %d of 10 are delivered", err, delivered)
		}
		send(o, numbered(10))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := o.flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush that has no time returns %v", err)
		}
	})
}

func TestFlushAfterCloseReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(func(mcp.JSONRPCNotification) {})
		o.close()
		if err := o.flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
