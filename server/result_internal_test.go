package server

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

func TestAResultIsWrittenAsItsMarshalJSONDoes(t *testing.T) {
	annotated := mcp.NewTextContent("x")
	annotated.Annotations = &mcp.Annotations{Audience: []mcp.Role{mcp.RoleUser}}
	full := mcp.NewToolResultText("a \"b\" <&>\u2028\xff\n")
	full.IsError, full.ResultType = true, mcp.ResultTypeComplete
	full.Meta = mcp.NewMetaFromMap(map[string]any{"x": []any{1.0}, "progressToken": "t"})
	for name, test := range map[string]struct {
		result any
		text   bool
	}{
		"a text":        {mcp.NewToolResultText("hello"), true},
		"nothing":       {&mcp.CallToolResult{}, true},
		"two texts":     {&mcp.CallToolResult{Content: []mcp.Content{mcp.NewTextContent("a"), mcp.NewTextContent("")}}, true},
		"all of a text": {full, true},
		"annotated":     {&mcp.CallToolResult{Content: []mcp.Content{annotated}}, false},
		"an image":      {&mcp.CallToolResult{Content: []mcp.Content{mcp.NewTextContent("a"), mcp.NewImageContent("AA==", "image/png")}}, false},
		"structured":    {mcp.NewToolResultStructured(map[string]any{"a": 1.0}, "a"), false},
		"asking":        {&mcp.CallToolResult{MultiRoundTripResult: mcp.MultiRoundTripResult{RequestState: "s"}}, false},
		"another kind":  {mcp.EmptyResult{}, false},
		"a plain value": {map[string]any{"a": 1.0}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if r, ok := test.result.(*mcp.CallToolResult); ok && isText(r) != test.text {
				t.Errorf("it is text: %v", !test.text)
			}
			raw, err := json.Marshal(test.result)
			if err != nil {
				t.Fatal(err)
			}
			got, err := encodeResult(json.RawMessage(`"id"`), test.result)
			if err != nil {
				t.Fatal(err)
			}
			var want, have any
			if err := json.Unmarshal([]byte(`{"jsonrpc":"2.0","id":"id","result":`+string(raw)+`}`), &want); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(got, &have); err != nil || !reflect.DeepEqual(have, want) {
				t.Errorf("it is written as %s, %v; its own JSON is %s", got, err, raw)
			}
		})
	}
	for _, result := range []any{
		map[string]any{"x": math.NaN()},
		&mcp.CallToolResult{Result: mcp.Result{Meta: mcp.NewMetaFromMap(map[string]any{"x": math.NaN()})}},
	} {
		if text, err := encodeResult(json.RawMessage("1"), result); err == nil {
			t.Errorf("what is no JSON is written as %s", text)
		}
	}
}
