package server

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
)

// message is what the transport must know of a JSON-RPC message.
type message struct {
	raw json.RawMessage

	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"` // nil for a notification
	Method  string          `json:"method"`
	Result  json.RawMessage `json:"result"`
	Error   json.RawMessage `json:"error"`
	Params  json.RawMessage `json:"params"`
}

func (m *message) isResponse() bool { return m.Method == "" && (m.Result != nil || m.Error != nil) }

func (m *message) isRequest() bool { return m.Method != "" && m.ID != nil }

// maxBatch bounds a batch, whose requests run all at once.
const maxBatch = 100

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
	if len(parts) == 0 || len(parts) > maxBatch {
		return nil, true, fmt.Errorf("a batch of %d messages is empty or longer than %d", len(parts), maxBatch)
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
	if !json.Valid(raw) || !members(raw, m.take) {
		m = message{raw: raw}
		if err := json.Unmarshal(raw, &m); err != nil {
			return m, err
		}
	}
	if string(m.Error) == "null" { // as some write a response that is none
		m.Error = nil
	}
	if m.ID == nil || m.isResponse() { // which answers a request of ours, or none
		return m, nil
	}
	return m, checkID(m.ID)
}

// take takes in a member, if it is one that messages have, once, as they have it.
// Any other could be one to encoding/json, which MCPServer uses: it does not look
// at the case of letters, and takes the last of several.
func (m *message) take(key, value []byte) (ok bool) {
	var text *string
	var part *json.RawMessage
	switch string(key) {
	case "jsonrpc":
		text = &m.Version
	case "method":
		text = &m.Method
	case "id":
		part = &m.ID
	case "params":
		part = &m.Params
	case "result":
		part = &m.Result
	case "error":
		part = &m.Error
	default:
		return false
	}
	if part != nil {
		ok = *part == nil
		*part = value
		return ok
	}
	if *text != "" {
		return false
	}
	*text, ok = plainText(value)
	return ok
}

// maxID bounds a request id, which other replicas are told of, in bytes.
const maxID = 256

// checkID returns what is wrong with a request id.
func checkID(id json.RawMessage) error {
	if len(id) == 0 || len(id) > maxID {
		return fmt.Errorf("a request id of %d bytes is empty or longer than %d", len(id), maxID)
	}
	if c := id[0]; c != '"' && c != '-' && (c < '0' || c > '9') {
		return fmt.Errorf("the request id %s is neither a string nor a number", id)
	}
	return nil
}

// encode is the JSON text of a message that this process made. A notification
// into which the application put something that is no JSON becomes an error that
// says so and answers nothing.
func encode(m any) []byte {
	text, err := json.Marshal(m)
	if err != nil {
		return errorFor(nil, mcp.INTERNAL_ERROR, "a message cannot be written as JSON: "+err.Error())
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
