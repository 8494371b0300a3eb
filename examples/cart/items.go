package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/mcpsession/mcpsession"
)

// A cart's values: one for each item, and sold once somebody buys it.
const (
	itemPrefix = "item "
	sold       = "sold"
)

var errSold = errors.New("this cart was bought already: create another one")

// add adds an item unless the cart is sold. Any number of calls at once, on any
// replicas, all count: each changes what the others left.
func add(ctx context.Context, cart *mcpsession.Live, item string) error {
	return change(ctx, cart, itemPrefix+item)
}

// sell closes the cart, for one of all who try.
func sell(ctx context.Context, cart *mcpsession.Live) error { return change(ctx, cart, sold) }

func change(ctx context.Context, cart *mcpsession.Live, key string) error {
	return cart.Update(ctx, func(s *mcpsession.Session) error {
		if _, is := s.Values[sold]; is {
			return errSold
		}
		if s.Values == nil {
			s.Values = make(map[string]json.RawMessage)
		}
		s.Values[key] = json.RawMessage("true")
		return nil
	})
}

// items are what is in a cart, in alphabetical order.
func items(cart *mcpsession.Live) []string {
	var items []string
	for key := range cart.Session().Values {
		if item, ok := strings.CutPrefix(key, itemPrefix); ok {
			items = append(items, item)
		}
	}
	slices.Sort(items)
	return items
}
