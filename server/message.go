package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
)

// message is what the transport must know of a JSON-RPC message.
type message struct {
	raw json.RawMessage

	ID     json.RawMessage `json:"id"` // nil for a notification
	Method string          `json:"method"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
	Params json.RawMessage `json:"params"`
}

func (m *message) isResponse() bool { return m.Method == "" && (m.Result != nil || m.Error != nil) }

func (m *message) isRequest() bool { return m.Method != "" && m.ID != nil }

// errNoMessages: a batch is empty.
var errNoMessages = errors.New("the batch is empty")

// parseMessages takes the body of a POST apart: one message, or a batch, which
// only 2025-03-26 has.
func parseMessages(body []byte) (messages []message, batch bool, err error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || body[0] != '[' {
		m, err := parseMessage(body)
		return []message{m}, false, err
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil {
		return nil, true, err
	}
	if len(parts) == 0 {
		return nil, true, errNoMessages
	}
	messages = make([]message, len(parts))
	for i, part := range parts {
		if messages[i], err = parseMessage(part); err != nil {
			return nil, true, err
		}
	}
	return messages, true, nil
}

func parseMessage(raw json.RawMessage) (message, error) {
	m := message{raw: raw}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, err
	}
	if m.ID == nil {
		return m, nil
	}
	switch c := m.ID[0]; {
	case c == '"', c == '-', c >= '0' && c <= '9':
		return m, nil
	case string(m.ID) == "null" && m.isResponse(): // an error that answers no request
		return m, nil
	}
	return m, fmt.Errorf("the id %s is neither a string nor a number", m.ID)
}

// encode is the JSON text of a message that this process made.
func encode(m any) []byte {
	text, err := json.Marshal(m)
	if err != nil { // an application put something into a result that is no JSON
		text, _ = json.Marshal(mcp.NewJSONRPCError(mcp.NewRequestId(nil), mcp.INTERNAL_ERROR, "the answer cannot be written as JSON: "+err.Error(), nil))
	}
	return text
}

// errorFor is a JSON-RPC error that answers the request with this id.
func errorFor(id json.RawMessage, code int, text string) []byte {
	return encode(mcp.NewJSONRPCError(requestID(id), code, text, nil))
}

// requestID is an id as the client wrote it, however long a number it is.
func requestID(id json.RawMessage) mcp.RequestId {
	if id == nil {
		return mcp.NewRequestId(nil)
	}
	return mcp.NewRequestId(id)
}

// notification is the JSON text of a notification with these parameters.
func notification(method string, params map[string]any) []byte {
	return encode(mcp.JSONRPCNotification{
		JSONRPC: mcp.JSONRPC_VERSION,
		Notification: mcp.Notification{
			Method: method,
			Params: mcp.NotificationParams{AdditionalFields: params},
		},
	})
}
