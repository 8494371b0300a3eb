package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
)

func (e *everything) addPrompts() {
	e.mcp.AddPrompt(mcp.NewPrompt("test_simple_prompt", mcp.WithPromptDescription("A prompt without arguments")),
		messages(mcp.NewTextContent("This is a simple prompt for testing.")))
	e.mcp.AddPrompt(mcp.NewPrompt("test_prompt_with_arguments", mcp.WithPromptDescription("A prompt with two arguments"),
		mcp.WithArgument("arg1", mcp.RequiredArgument(), mcp.ArgumentDescription("First test argument")),
		mcp.WithArgument("arg2", mcp.RequiredArgument(), mcp.ArgumentDescription("Second test argument"))),
		promptWithArguments)
	e.mcp.AddPrompt(mcp.NewPrompt("test_prompt_with_embedded_resource", mcp.WithPromptDescription("A prompt with a resource"),
		mcp.WithArgument("resourceUri", mcp.RequiredArgument(), mcp.ArgumentDescription("URI of the resource to embed"))),
		promptWithResource)
	e.mcp.AddPrompt(mcp.NewPrompt("test_prompt_with_image", mcp.WithPromptDescription("A prompt with an image")),
		messages(mcp.NewImageContent(pngBase64, "image/png"), mcp.NewTextContent("Please analyze the image above.")))
	e.mcp.AddPrompt(mcp.NewPrompt("test_input_required_result_prompt", mcp.WithPromptDescription("A prompt that asks the user for its context")),
		promptWithInput)
}

// messages is the handler of a prompt that is always the same.
func messages(content ...mcp.Content) mcpserver.PromptHandlerFunc {
	return func(context.Context, mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return prompt(content...), nil
	}
}

func prompt(content ...mcp.Content) *mcp.GetPromptResult {
	var result mcp.GetPromptResult
	for _, c := range content {
		result.Messages = append(result.Messages, mcp.NewPromptMessage(mcp.RoleUser, c))
	}
	return &result
}

func promptWithArguments(_ context.Context, request mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	arguments := request.Params.Arguments
	return prompt(mcp.NewTextContent(fmt.Sprintf("Prompt with arguments: arg1='%s', arg2='%s'", arguments["arg1"], arguments["arg2"]))), nil
}

func promptWithResource(_ context.Context, request mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	return prompt(
		resource(request.Params.Arguments["resourceUri"], "text/plain", "Embedded resource content for testing."),
		mcp.NewTextContent("Please process the embedded resource above.")), nil
}

// promptWithInput asks the user before it answers.
func promptWithInput(_ context.Context, request mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
	if answer, ok := elicited(request.Params.InputResponses, "user_context", "context"); ok {
		return prompt(mcp.NewTextContent(fmt.Sprintf("Prompt with context: %v", answer))), nil
	}
	return mcpserver.NewInputRequestBuilder("").
		Elicit("user_context", ask("What context should the prompt use?", "context", "string")).PromptResult(), nil
}

// completions completes the arguments of prompts and resource templates from
// what they are called.
type completions struct{}

// words are what an argument's value can be completed to.
var words = map[string][]string{
	"arg1": {"paris", "park", "party"},
	"id":   {"1", "12", "123"},
}

func (completions) CompletePromptArgument(_ context.Context, _ string, argument mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return complete(argument), nil
}

func (completions) CompleteResourceArgument(_ context.Context, _ string, argument mcp.CompleteArgument, _ mcp.CompleteContext) (*mcp.Completion, error) {
	return complete(argument), nil
}

func complete(argument mcp.CompleteArgument) *mcp.Completion {
	values := []string{} // null is no list
	for _, word := range words[argument.Name] {
		if strings.HasPrefix(word, argument.Value) {
			values = append(values, word)
		}
	}
	return &mcp.Completion{Values: values, Total: len(values)}
}
