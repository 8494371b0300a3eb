package memstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
)

// A mailbox: one side appends, the other waits until it is woken and reads on
// from where it was.
func Example_broker() {
	ctx := context.Background()
	broker := memstore.NewBroker()
	defer broker.Close()
	mailbox := mcpsession.Key{Ref: mcpsession.NewSessionID().Ref(), Name: "mailbox"}

	go func() {
		keep := mcpsession.Retention{Events: 100, For: time.Hour}
		for _, message := range []string{"one", "two", "three"} {
			if _, err := broker.Append(ctx, mailbox, []byte(message), keep); err != nil {
				fmt.Println(err)
			}
		}
	}()

	woken := make(chan struct{}, 1)
	defer broker.Watch(mailbox, woken)()
	var seen mcpsession.Position
	for n := 0; n < 3; {
		select {
		case <-woken:
		case <-time.After(10 * time.Second): // with other brokers, one can get lost
		}
		page, err := broker.Read(ctx, mailbox, seen)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, event := range page.Events {
			fmt.Printf("%s\n", event.Data)
			seen = event.Position
			n++
		}
	}

	// A lease: whoever creates the cell first has it.
	lease := mcpsession.Key{Ref: mailbox.Ref, Name: "lease"}
	for _, me := range []string{"a", "b"} {
		owner, err := broker.Swap(ctx, lease, nil, []byte(me), time.Minute)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s sees the lease of %s\n", me, owner)
	}
	// Output:
	// one
	// two
	// three
	// a sees the lease of a
	// b sees the lease of a
}
