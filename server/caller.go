package server

import (
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"
)

// caller is what a modern request's _meta says of its client. MCPServer reads
// that three times, each time by way of a map.
type caller struct {
	info         *mcp.Implementation // nil if it does not say
	capabilities *mcp.ClientCapabilities
	level        mcp.LoggingLevel

	// The _meta without that, so with the protocol version, what is for tracing,
	// and the capabilities, which MCPServer insists on, but none of them.
	short json.RawMessage
}

// readCaller is false for a _meta that MCPServer has to see as it is, because of
// what is wrong with it.
func readCaller(meta json.RawMessage) (*caller, bool) {
	c := &caller{short: make(json.RawMessage, 0, len(meta))}
	c.short = append(c.short, `{"`+mcp.MetaKeyClientCapabilities+`":{}`...)
	ok := members(meta, func(key, value []byte) (ok bool) {
		switch string(key) {
		case mcp.MetaKeyClientInfo:
			return c.info == nil && json.Unmarshal(value, &c.info) == nil
		case mcp.MetaKeyClientCapabilities:
			return c.capabilities == nil && json.Unmarshal(value, &c.capabilities) == nil
		case mcp.MetaKeyLogLevel:
			text, ok := plainText(value)
			ok = ok && c.level == ""
			c.level = mcp.LoggingLevel(text)
			return ok
		}
		c.short = append(append(append(c.short, `,"`...), key...), `":`...)
		c.short = append(c.short, value...)
		return true
	})
	c.short = append(c.short, '}')
	return c, ok && c.capabilities != nil
}
