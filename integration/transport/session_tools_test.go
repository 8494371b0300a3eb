package transport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcpsession/mcpsession/internal/mcptest"
)

func TestAToolOfOneSessionIsThereOnEveryReplicaAndForNobodyElse(t *testing.T) {
	onFleets(t, func(t *testing.T, f *fleet) {
		for _, version := range versions {
			s := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			other := f.Begin(t, f.A, version, mcptest.NoCapabilities)
			stream, others := s.Listen(f.C, ""), other.Listen(f.C, "")
			common := len(toolNames(other, f.B))
			for i, at := range []string{f.A, f.B, f.C} {
				tool := fmt.Sprint("mine_", i)
				for range 2 { // twice is no error
					if got := s.Call(at, "add_session_tool", fmt.Sprintf(`{"name":%q}`, tool)); got != "err=<nil>" {
						t.Fatalf("add_session_tool on %s answers %q", f.Name(at), got)
					}
				}
				stream.NextOf("notifications/tools/list_changed")
				for _, url := range []string{f.A, f.B, f.C} {
					if tools := toolNames(s, url); !tools[tool] || len(tools) != common+i+1 {
						t.Errorf("enabled on %s, %s lists %v", f.Name(at), f.Name(url), tools)
					}
					if got := s.Call(url, tool, "{}"); got != "st" {
						t.Errorf("enabled on %s, the tool answers %q on %s", f.Name(at), got, f.Name(url))
					}
					if tools := toolNames(other, url); tools[tool] || len(tools) != common {
						t.Errorf("%s lists the tool to another session: %v", f.Name(url), tools)
					}
					a, id := other.Start(url, tool, "{}")
					if final, _ := a.Final(id); final.Error == nil || !strings.Contains(final.Error.Message, "not found") {
						t.Errorf("another session calls the tool on %s: %s", f.Name(url), final.Raw)
					}
				}
			}
			others.Quiet(quietly)
		}
	})
}
