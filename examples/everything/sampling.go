package main

import (
	"context"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
)

func (e *everything) addSamplingTools() {
	e.tool("test_sampling", "Asks the client's language model", e.sampling,
		mcp.WithString("prompt", mcp.Required(), mcp.Description("what to ask the model")))
	e.tool("roots", "Counts the client's roots", e.roots)
}

func (e *everything) sampling(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	if _, can := client(ctx); can.Sampling == nil {
		return mcp.NewToolResultError("the client does not support sampling"), nil
	}
	//lint:ignore SA1019 clients of earlier versions, which are served too, know no other way
	result, err := e.mcp.RequestSampling(ctx, mcp.CreateMessageRequest{
		Request:             mcp.Request{Method: string(mcp.MethodSamplingCreateMessage)},
		CreateMessageParams: question(request.GetString("prompt", "Hello"), 100),
	})
	if err != nil {
		return mcp.NewToolResultErrorFromErr("sampling failed", err), nil
	}
	return text("LLM response: " + contentText(result.Content))
}

// question asks a language model.
func question(prompt string, maxTokens int) mcp.CreateMessageParams {
	return mcp.CreateMessageParams{
		Messages:  []mcp.SamplingMessage{{Role: mcp.RoleUser, Content: mcp.NewTextContent(prompt)}},
		MaxTokens: maxTokens,
	}
}

// contentText is the text of a sampling result's content, which is decoded or
// not, depending on how it came.
func contentText(content any) string {
	switch c := content.(type) {
	case object:
		s, _ := c["text"].(string)
		return s
	default:
		return mcp.GetTextFromContent(c)
	}
}

func (e *everything) roots(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	result, err := e.mcp.RequestRoots(ctx, mcp.ListRootsRequest{Request: mcp.Request{Method: string(mcp.MethodListRoots)}})
	if err != nil {
		return text(fmt.Sprintf("err=%v", err))
	}
	return text(fmt.Sprintf("roots %d", len(result.Roots)))
}
