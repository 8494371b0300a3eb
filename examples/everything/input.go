package main

import (
	"context"
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
	e.tool(inputTool+"request_state", "Asks the user, and needs its state back", e.inputConfirmed("state-ok: requestState validated"))
	e.tool(inputTool+"tampered_state", "Asks the user, and refuses any state but its own", e.inputConfirmed("integrity-ok: state verified"))
	e.tool(inputTool+"multiple_inputs", "Asks for three things at once", e.inputMultiple)
	e.tool(inputTool+"multi_round", "Asks the user twice", e.inputRounds)
	e.tool("redeem", "Asks the user, and acts once on the answer", e.redeem)
	e.tool(inputTool+"capabilities", "Asks for what the client is able to give", e.inputCapabilities)
}

// asking is a result that asks for what add adds, and gives the client s to
// return with the answers.
func (e *everything) asking(ctx context.Context, request mcp.CallToolRequest, s state, add func(*mcpserver.InputRequestBuilder)) (*mcp.CallToolResult, error) {
	sealed, err := e.states.Seal(ctx, request, s)
	if err != nil {
		return nil, err
	}
	b := mcpserver.NewInputRequestBuilder(sealed)
	add(b)
	return b.ToolResult(), nil
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
func (e *everything) inputConfirmed(done string) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		returned, err := e.states.Open(ctx, request, &state{})
		if err != nil {
			return nil, err
		}
		if ok, _ := elicited(request.Params.InputResponses, "confirm", "ok"); ok == true && returned {
			return text(done)
		}
		return e.asking(ctx, request, state{}, func(b *mcpserver.InputRequestBuilder) {
			b.Elicit("confirm", ask("Please confirm", "ok", "boolean"))
		})
	}
}

func (e *everything) inputMultiple(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if _, err := e.states.Open(ctx, request, &state{}); err != nil {
		return nil, err
	}
	responses := request.Params.InputResponses
	name, named := elicited(responses, "user_name", "name")
	greeting := mcpserver.SamplingResponse(responses, "greeting")
	roots := mcpserver.RootsResponse(responses, "client_roots")
	if named && greeting != nil && roots != nil {
		return text(fmt.Sprintf("%s, %v! %s", contentText(greeting.Content), name, rootsText(roots)))
	}
	return e.asking(ctx, request, state{}, func(b *mcpserver.InputRequestBuilder) {
		b.Elicit("user_name", ask("What is your name?", "name", "string")).
			Sample("greeting", question("Generate a greeting", 50)).
			Roots("client_roots")
	})
}

func (e *everything) inputRounds(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	var s state
	if _, err := e.states.Open(ctx, request, &s); err != nil {
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
		return e.asking(ctx, request, s, func(b *mcpserver.InputRequestBuilder) {
			b.Elicit("step2", ask("Step 2: What is your favorite color?", "color", "string"))
		})
	}
	return e.asking(ctx, request, s, func(b *mcpserver.InputRequestBuilder) {
		b.Elicit("step1", ask("Step 1: What is your name?", "name", "string"))
	})
}

// redeem answers which replica took the answer, to one of all calls that bring it.
func (e *everything) redeem(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	returned, err := e.states.OpenOnce(ctx, request, &state{})
	if err != nil {
		return nil, err
	}
	if ok, _ := elicited(request.Params.InputResponses, "confirm", "ok"); ok == true && returned {
		return text("redeemed " + e.replica)
	}
	return e.asking(ctx, request, state{}, func(b *mcpserver.InputRequestBuilder) {
		b.Elicit("confirm", ask("Redeem?", "ok", "boolean"))
	})
}

func (e *everything) inputCapabilities(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if n := len(request.Params.InputResponses); n > 0 {
		return text(fmt.Sprintf("capabilities-ok: received %d", n))
	}
	_, can := client(ctx)
	if can.Elicitation == nil && can.Sampling == nil {
		return text("No supported capabilities declared")
	}
	return e.asking(ctx, request, state{}, func(b *mcpserver.InputRequestBuilder) {
		if can.Elicitation != nil {
			b.Elicit("elicit_input", ask("Elicitation input", "value", "string"))
		}
		if can.Sampling != nil {
			b.Sample("sample_input", question("Sample request", 50))
		}
	})
}

// state is what a tool needs back with the answers that it asked for.
type state struct {
	Name string `json:"name,omitempty"`
}
