package server

import (
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"
)

// toolCall is a tools/call, taken apart. MCPServer reads a message with
// encoding/json once for each thing that it wants to know, arguments and all,
// which was a fifth of the work for an ordinary call. So it is given the head of
// the message alone, and the parameters are put into the request that it made of
// that, before the application's hooks see it.
type toolCall struct {
	head   []byte // the message without what is in params
	params mcp.CallToolParams
	taken  bool // the parameters are in the request
}

// takeApart is false for a message that MCPServer has to see as it is: because
// of what is wrong with it, or because the application has hooks that are shown
// the message.
func (h *Handler) takeApart(m *message) (*toolCall, bool) {
	if m.Method != string(mcp.MethodToolsCall) || m.Version != mcp.JSONRPC_VERSION || len(h.mcp.GetHooks().OnRequestInitialization) > 0 {
		return nil, false
	}
	var params struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
		Meta      json.RawMessage `json:"_meta"`
		Task      *mcp.TaskParams `json:"task"`
		mcp.MultiRoundTripParams
	}
	if json.Unmarshal(m.Params, &params) != nil {
		return nil, false
	}
	c := &toolCall{params: mcp.CallToolParams{
		Name:                 params.Name,
		Task:                 params.Task,
		MultiRoundTripParams: params.MultiRoundTripParams,
		RawArguments:         params.Arguments,
	}}
	if len(params.Arguments) > 0 && json.Unmarshal(params.Arguments, &c.params.Arguments) != nil ||
		len(params.Meta) > 0 && json.Unmarshal(params.Meta, &c.params.Meta) != nil {
		return nil, false
	}
	const begin, method, meta = `{"jsonrpc":"2.0","id":`, `,"method":"tools/call"`, `,"params":{"_meta":`
	c.head = make([]byte, 0, len(begin)+len(m.ID)+len(method)+len(meta)+len(params.Meta)+2)
	c.head = append(append(append(c.head, begin...), m.ID...), method...)
	if len(params.Meta) > 0 { // which says of the protocol and of tracing what MCPServer has to know
		c.head = append(append(append(c.head, meta...), params.Meta...), '}')
	}
	c.head = append(c.head, '}')
	return c, true
}

// fill puts the parameters into the request that MCPServer made.
func (c *toolCall) fill(request *mcp.CallToolRequest) {
	request.Params = c.params
	c.taken = true
}
