package server

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// toolCall is a tools/call, taken apart. MCPServer reads a message with
// encoding/json once for each thing that it wants to know, arguments and all,
// which was a fifth of the work for an ordinary call. So it is given the head of
// the message alone, and the parameters are put into the request that it made of
// that, before the application's hooks see it.
type toolCall struct {
	head   []byte // the message without what is in params
	params mcp.CallToolParams
	meta   json.RawMessage
	caller *caller // nil in the legacy era
	taken  bool    // the parameters are in the request
}

// takeApart is false for a message that MCPServer has to see as it is: because
// of what is wrong with it, or because the application has hooks that are shown
// the message.
func (h *Handler) takeApart(m *message) (*toolCall, bool) {
	ordinary := m.Version == mcp.JSONRPC_VERSION && m.isRequest() && m.Result == nil && m.Error == nil
	if !ordinary || m.Method != string(mcp.MethodToolsCall) || len(h.mcp.GetHooks().OnRequestInitialization) > 0 {
		return nil, false
	}
	c := &toolCall{}
	if !members(m.Params, c.take) {
		return nil, false
	}
	if version := c.params.Meta.ProtocolVersion(); mcp.IsModernProtocol(version) {
		who, ok := readCaller(c.meta)
		if !ok {
			return nil, false
		}
		c.caller, c.meta = who, who.short
	}
	const begin, method, meta = `{"jsonrpc":"2.0","id":`, `,"method":"tools/call"`, `,"params":{"_meta":`
	c.head = make([]byte, 0, len(begin)+len(m.ID)+len(method)+len(meta)+len(c.meta)+2)
	c.head = append(append(append(c.head, begin...), m.ID...), method...)
	if len(c.meta) > 0 { // which says of the protocol and of tracing what MCPServer has to know
		c.head = append(append(append(c.head, meta...), c.meta...), '}')
	}
	c.head = append(c.head, '}')
	return c, true
}

// take takes in a parameter; see [message.take].
func (c *toolCall) take(key, value []byte) (ok bool) {
	p := &c.params
	switch string(key) {
	case "name":
		if p.Name == "" {
			p.Name, ok = plainText(value)
		}
		return ok
	case "requestState":
		if p.RequestState == "" {
			p.RequestState, ok = plainText(value)
		}
		return ok
	case "arguments":
		ok = p.RawArguments == nil && json.Unmarshal(value, &p.Arguments) == nil
		p.RawArguments = bytes.Clone(value) // which the handler may change
		return ok
	case "_meta":
		ok = c.meta == nil && json.Unmarshal(value, &p.Meta) == nil
		c.meta = value
		return ok
	case "task":
		return p.Task == nil && json.Unmarshal(value, &p.Task) == nil
	case "inputResponses":
		return p.InputResponses == nil && json.Unmarshal(value, &p.InputResponses) == nil
	}
	return false
}

// fill puts the parameters into the request that MCPServer made, and what the
// client says of itself where MCPServer has put what the head says. A handler may
// have MCPServer handle other calls, which have parameters of their own.
func (c *toolCall) fill(ctx context.Context, s *clientSession, request *mcp.CallToolRequest) {
	if c.taken {
		return
	}
	if c.caller != nil {
		info := mcpserver.RequestProtocolInfoFromContext(ctx)
		if info == nil || !info.Modern {
			return
		}
		info.ClientInfo, info.ClientCapabilities, info.LogLevel = c.caller.info, c.caller.capabilities, c.caller.level
		if c.caller.info != nil {
			s.SetClientInfo(*c.caller.info)
		}
		s.SetClientCapabilities(*c.caller.capabilities)
	}
	request.Params = c.params
	c.taken = true
}
