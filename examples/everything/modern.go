package main

import (
	"context"
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

// addModernTools adds what the conformance suite looks at in protocol version
// 2026-07-28 only, and what is of the same kind.
func (e *everything) addModernTools() {
	e.tool("test_missing_capability", "Refuses clients that declare no sampling", missingCapability)
	e.tool("test_streaming_elicitation", "Reports progress, then asks the user", e.streamingElicitation)
	e.tool("test_logging_tool", "Logs, if the request asks for it", e.logOnce)
	e.tool("test_trigger_tool_change", "Announces that the list of tools changed", e.triggerToolChange)
	e.tool("test_trigger_resource_change", "Announces that the list of resources changed", e.triggerResourceChange)
	e.addTriggeringPrompt()
	e.tool("test_trigger_prompt_change", "Announces that the list of prompts changed", e.triggerPromptChange)
	e.mcp.AddTool(mcp.NewToolWithRawSchema("test_header_parameter", "Answers an argument that is repeated in a header (SEP-2243)",
		json.RawMessage(`{"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}`)), headerParameter)
}

func missingCapability(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if _, can := client(ctx); can.Sampling == nil {
		return nil, mcp.MissingRequiredClientCapabilityError{Capability: "sampling"}
	}
	return text("Success")
}

func (e *everything) streamingElicitation(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if meta := request.Params.Meta; meta != nil && meta.ProgressToken != nil {
		if err := e.report(ctx, meta.ProgressToken, 50, 100); err != nil {
			return nil, err
		}
	}
	if _, ok := elicited(request.Params.InputResponses, "confirm", "ok"); ok {
		return text("Streaming complete")
	}
	return mcpserver.NewInputRequestBuilder("").Elicit("confirm", ask("Please confirm", "ok", "boolean")).ToolResult(), nil
}

func (e *everything) logOnce(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if err := e.log(ctx, mcp.LoggingLevelInfo, "", "Diagnostic trace logging activated"); err != nil {
		return nil, err
	}
	return text("Logging evaluated")
}

// triggerToolChange adds a tool that is there already: that is announced like
// any change, and leaves the lists of all replicas equal.
func (e *everything) triggerToolChange(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	e.tool("test_trigger_tool_change", "Announces that the list of tools changed", e.triggerToolChange)
	return text("Mutation triggered")
}

func (e *everything) triggerPromptChange(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	e.addTriggeringPrompt()
	return text("Mutation triggered")
}

func (e *everything) triggerResourceChange(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	e.addWatchedResource()
	return text("Mutation triggered")
}

func (e *everything) addTriggeringPrompt() {
	e.mcp.AddPrompt(mcp.NewPrompt("test_triggering_prompt", mcp.WithPromptDescription("A prompt that test_trigger_prompt_change adds again")),
		messages(mcp.NewTextContent("This is a prompt that was added again.")))
}

func headerParameter(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return text(request.GetString("region", ""))
}
