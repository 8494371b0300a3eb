package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// Multi round-trip requests (protocol version 2026-07-28, SEP-2322): a tool that
// needs something of the client says so in its result, and is called again with
// the answers. For clients of earlier versions mcp-go asks in the tool's place.

const inputTool = "test_input_required_result_"

func (e *everything) addInputTools() {
	e.tool(inputTool+"elicitation", "Asks the user for a name", inputElicitation)
	e.tool(inputTool+"sampling", "Asks the client's language model", inputSampling)
	e.tool(inputTool+"list_roots", "Asks for the client's roots", inputRoots)
	e.tool(inputTool+"request_state", "Asks the user, and needs its state back", inputConfirmed("state-ok: requestState validated"))
	e.tool(inputTool+"tampered_state", "Asks the user, and refuses any state but its own", inputConfirmed("integrity-ok: state verified"))
	e.tool(inputTool+"multiple_inputs", "Asks for three things at once", inputMultiple)
	e.tool(inputTool+"multi_round", "Asks the user twice", inputRounds)
	e.tool(inputTool+"capabilities", "Asks for what the client is able to give", inputCapabilities)
}

// ask is an elicitation of one field.
func ask(message, field, typ string) mcp.ElicitationParams {
	return mcp.ElicitationParams{Message: message, RequestedSchema: form(object{field: object{"type": typ}}, field)}
}

// elicited returns a field of what the user answered under id.
func elicited(responses mcp.InputResponses, id, field string) (any, bool) {
	response := mcpserver.ElicitationResponse(responses, id)
	if response == nil || response.Action != mcp.ElicitationResponseActionAccept {
		return nil, false
	}
	content, _ := response.Content.(object)
	value, ok := content[field]
	return value, ok
}

func inputElicitation(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if name, ok := elicited(request.Params.InputResponses, "user_name", "name"); ok {
		return text(fmt.Sprintf("Hello, %v!", name))
	}
	return mcpserver.NewInputRequestBuilder("").Elicit("user_name", ask("What is your name?", "name", "string")).ToolResult(), nil
}

func inputSampling(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if answer := mcpserver.SamplingResponse(request.Params.InputResponses, "capital_question"); answer != nil {
		return text("Sampling result: " + contentText(answer.Content))
	}
	return mcpserver.NewInputRequestBuilder("").Sample("capital_question", question("What is the capital of France?", 100)).ToolResult(), nil
}

func inputRoots(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if answer := mcpserver.RootsResponse(request.Params.InputResponses, "client_roots"); answer != nil {
		return text(rootsText(answer))
	}
	return mcpserver.NewInputRequestBuilder("").Roots("client_roots").ToolResult(), nil
}

func rootsText(answer *mcp.ListRootsResult) string {
	var uris []string
	for _, root := range answer.Roots {
		uris = append(uris, root.URI)
	}
	return fmt.Sprintf("Found %d root(s): %s", len(uris), strings.Join(uris, " "))
}

// inputConfirmed is a tool that asks the user to confirm, and answers done once
// that and its state came back.
func inputConfirmed(done string) mcpserver.ToolHandlerFunc {
	return func(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if _, err := openState(request.Params.RequestState); err != nil {
			return nil, err
		}
		if ok, _ := elicited(request.Params.InputResponses, "confirm", "ok"); ok == true && request.Params.RequestState != "" {
			return text(done)
		}
		return mcpserver.NewInputRequestBuilder(seal(state{})).Elicit("confirm", ask("Please confirm", "ok", "boolean")).ToolResult(), nil
	}
}

func inputMultiple(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if _, err := openState(request.Params.RequestState); err != nil {
		return nil, err
	}
	responses := request.Params.InputResponses
	name, named := elicited(responses, "user_name", "name")
	greeting := mcpserver.SamplingResponse(responses, "greeting")
	roots := mcpserver.RootsResponse(responses, "client_roots")
	if named && greeting != nil && roots != nil {
		return text(fmt.Sprintf("%s, %v! %s", contentText(greeting.Content), name, rootsText(roots)))
	}
	return mcpserver.NewInputRequestBuilder(seal(state{})).
		Elicit("user_name", ask("What is your name?", "name", "string")).
		Sample("greeting", question("Generate a greeting", 50)).
		Roots("client_roots").ToolResult(), nil
}

func inputRounds(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	s, err := openState(request.Params.RequestState)
	if err != nil {
		return nil, err
	}
	responses := request.Params.InputResponses
	if color, ok := elicited(responses, "step2", "color"); ok && s.Name != "" {
		return text(fmt.Sprintf("Multi-round complete for %s who likes %v", s.Name, color))
	}
	if name, ok := elicited(responses, "step1", "name"); ok {
		s.Name = fmt.Sprint(name)
	}
	if s.Name != "" {
		return mcpserver.NewInputRequestBuilder(seal(s)).Elicit("step2", ask("Step 2: What is your favorite color?", "color", "string")).ToolResult(), nil
	}
	return mcpserver.NewInputRequestBuilder(seal(s)).Elicit("step1", ask("Step 1: What is your name?", "name", "string")).ToolResult(), nil
}

func inputCapabilities(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if n := len(request.Params.InputResponses); n > 0 {
		return text(fmt.Sprintf("capabilities-ok: received %d", n))
	}
	_, can := client(ctx)
	if can.Elicitation == nil && can.Sampling == nil {
		return text("No supported capabilities declared")
	}
	builder := mcpserver.NewInputRequestBuilder(seal(state{}))
	if can.Elicitation != nil {
		builder.Elicit("elicit_input", ask("Elicitation input", "value", "string"))
	}
	if can.Sampling != nil {
		builder.Sample("sample_input", question("Sample request", 50))
	}
	return builder.ToolResult(), nil
}

// state is what a tool needs back with the answers that it asked for.
type state struct {
	Name string `json:"name,omitempty"`
}

// stateKey signs states. All replicas need the same, and a real server keeps its
// own secret.
var stateKey = []byte("the key of a fixture")

var errState = errors.New("the requestState is not one that this tool issued")

// seal returns a state as text that only holders of the key can make.
func seal(s state) string {
	b, _ := json.Marshal(s) // a struct of strings
	encoded := base64.RawURLEncoding.EncodeToString(b)
	return encoded + "." + base64.RawURLEncoding.EncodeToString(signature(encoded))
}

// openState is the inverse of seal. No text at all is the zero state.
func openState(sealed string) (state, error) {
	var s state
	if sealed == "" {
		return s, nil
	}
	encoded, sum, _ := strings.Cut(sealed, ".")
	got, err := base64.RawURLEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(got, signature(encoded)) {
		return s, errState
	}
	b, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || json.Unmarshal(b, &s) != nil {
		return s, errState
	}
	return s, nil
}

func signature(encoded string) []byte {
	mac := hmac.New(sha256.New, stateKey)
	mac.Write([]byte(encoded))
	return mac.Sum(nil)
}
