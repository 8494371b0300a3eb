package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/mcpsession/mcpsession"
)

// contentSize is how many bytes of text every session here holds.
const contentSize = 300

// newSession returns what a coding agent's session typically holds, without
// application values. Its strings share no memory with another's, as those of a
// request do not.
func newSession(n int) mcpsession.Session {
	s := mcpsession.Session{
		WorkingDirectory: fmt.Sprintf("/home/developer%07d/src/checkout", n),
		ConfigPath:       fmt.Sprintf("/home/developer%07d/src/checkout/.codebase-mcp/config.json", n),
		ProjectID:        fmt.Sprintf("0b9f7c2e-8d1a-4c55-9a3e-%012d", n),
		LogLevel:         strings.Clone("warning"),
		Client: mcpsession.Client{
			Name:            strings.Clone("claude-code"),
			Version:         strings.Clone("2.0.14"),
			ProtocolVersion: strings.Clone("2025-11-25"),
		},
	}
	rest := contentSize - s.Size() - len(`{"roots":{"listChanged":true},"x":""}`)
	s.Client.Capabilities = `{"roots":{"listChanged":true},"x":"` + strings.Repeat("c", rest) + `"}`
	return s
}

// content is a session's 300 bytes as a user of a store for plain bytes would
// encode them.
func content(s mcpsession.Session) ([]byte, error) {
	return json.Marshal(map[string]string{
		"d": s.WorkingDirectory, "c": s.ConfigPath, "p": s.ProjectID, "l": s.LogLevel,
		"cn": s.Client.Name, "cv": s.Client.Version, "cp": s.Client.ProtocolVersion, "cc": s.Client.Capabilities,
	})
}

func newIDs(n int) []mcpsession.ID {
	ids := make([]mcpsession.ID, n)
	for i := range ids {
		ids[i] = mcpsession.NewSessionID()
	}
	return ids
}

// shuffled returns ids in another order, so that reading them in turn does not
// walk through memory in the order of allocation.
func shuffled(ids []mcpsession.ID) []mcpsession.ID {
	mixed := append([]mcpsession.ID(nil), ids...)
	rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	return mixed
}
