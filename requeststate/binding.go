package requeststate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
)

// presented returns the requestState that came with a request.
func presented(request any) (string, error) {
	switch r := request.(type) {
	case mcp.CallToolRequest:
		return r.Params.RequestState, nil
	case mcp.GetPromptRequest:
		return r.Params.RequestState, nil
	case mcp.ReadResourceRequest:
		return r.Params.RequestState, nil
	}
	return "", errKind(request)
}

// binding is a digest of who sends a request, and of what does not change when
// it is sent again with the answers: method, name or URI, arguments, in whatever
// order and with whatever space between them.
func binding(ctx context.Context, request any) ([]byte, error) {
	var about []any
	switch r := request.(type) {
	case mcp.CallToolRequest:
		arguments, err := toolArguments(r)
		if err != nil {
			return nil, err
		}
		about = []any{mcp.MethodToolsCall, r.Params.Name, arguments}
	case mcp.GetPromptRequest:
		arguments := r.Params.Arguments
		if arguments == nil {
			arguments = map[string]string{} // as in toolArguments
		}
		about = []any{mcp.MethodPromptsGet, r.Params.Name, arguments}
	case mcp.ReadResourceRequest:
		about = []any{mcp.MethodResourcesRead, r.Params.URI}
	default:
		return nil, errKind(request)
	}
	text, err := json.Marshal(append(about, mcpsession.Principal(ctx)))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// toolArguments returns the arguments with all digits of their numbers. A client
// may leave out arguments that are none, and not the second time.
func toolArguments(r mcp.CallToolRequest) (arguments any, err error) {
	arguments = r.Params.Arguments
	if len(r.Params.RawArguments) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(r.Params.RawArguments))
		decoder.UseNumber()
		if err := decoder.Decode(&arguments); err != nil {
			return nil, err
		}
	}
	if arguments == nil {
		arguments = struct{}{}
	}
	return arguments, nil
}

func errKind(request any) error {
	return fmt.Errorf("a %T is no request that can ask for input: pass an mcp.CallToolRequest, mcp.GetPromptRequest or mcp.ReadResourceRequest", request)
}
