package main

import (
	"slices"
	"strings"

	"github.com/mcpsession/mcpsession"
)

// items are what is in a cart, in alphabetical order.
func items(cart *mcpsession.Live) []string {
	var items []string
	for key := range cart.Session().Values {
		if item, ok := strings.CutPrefix(key, "item "); ok {
			items = append(items, item)
		}
	}
	slices.Sort(items)
	return items
}
