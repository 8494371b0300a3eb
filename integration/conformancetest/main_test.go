//go:build long

package conformancetest

import (
	"os"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/replica"
)

func TestMain(m *testing.M) { os.Exit(replica.Main(m)) }
