package server

import (
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"
)

// encodeResult is the JSON text of a response to the request with this id. It is
// put together by hand, since encoding/json checks and compacts once more what a
// MarshalJSON returned, which mcp-go's results all have.
func encodeResult(id json.RawMessage, result any) ([]byte, error) {
	const begin, middle = `{"jsonrpc":"2.0","id":`, `,"result":`
	text := make([]byte, 0, 512)
	text = append(append(append(text, begin...), id...), middle...)
	if r, ok := result.(*mcp.CallToolResult); ok && isText(r) {
		text, err := appendText(text, r)
		return append(text, '}'), err
	}
	var encoded []byte
	var err error
	if m, ok := result.(json.Marshaler); ok {
		encoded, err = m.MarshalJSON()
	} else {
		encoded, err = json.Marshal(result)
	}
	if err != nil {
		return nil, err
	}
	return append(append(text, encoded...), '}'), nil
}

// isText reports whether a result is texts and nothing else, as most are.
func isText(r *mcp.CallToolResult) bool {
	if r == nil || r.StructuredContent != nil || len(r.RawStructuredContent) > 0 || len(r.InputRequests) > 0 || r.RequestState != "" {
		return false
	}
	for _, content := range r.Content {
		if text, ok := content.(mcp.TextContent); !ok || text.Annotations != nil || text.Meta != nil {
			return false
		}
	}
	return true
}

// appendText appends a result of texts, which its MarshalJSON puts into a map
// first.
func appendText(to []byte, r *mcp.CallToolResult) ([]byte, error) {
	to = append(to, `{"content":[`...)
	for i, content := range r.Content {
		text := content.(mcp.TextContent)
		if i > 0 {
			to = append(to, ',')
		}
		var err error
		if to, err = appendJSON(append(to, `{"type":`...), text.Type); err != nil {
			return nil, err
		}
		if to, err = appendJSON(append(to, `,"text":`...), text.Text); err != nil {
			return nil, err
		}
		to = append(to, '}')
	}
	to = append(to, ']')
	if r.IsError {
		to = append(to, `,"isError":true`...)
	}
	var err error
	if r.ResultType != "" {
		if to, err = appendJSON(append(to, `,"resultType":`...), r.ResultType); err != nil {
			return nil, err
		}
	}
	if r.Meta != nil {
		if to, err = appendJSON(append(to, `,"_meta":`...), r.Meta); err != nil {
			return nil, err
		}
	}
	return append(to, '}'), nil
}

func appendJSON(to []byte, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	return append(to, text...), err
}
