package transport

import (
	"testing"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

func TestASessionBegunOnOneReplicaIsServedByAll(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			s.Call(f.C, "whoami", "{}")
		}
	})
}
