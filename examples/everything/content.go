package main

import (
	"context"
	"encoding/json"

	"github.com/mark3labs/mcp-go/mcp"
)

// The smallest of their kind, in base64: an image of one red pixel, and a sound
// of no samples.
const (
	pngBase64 = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
	wavBase64 = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="
)

func (e *everything) addContentTools() {
	e.answering("test_simple_text", "Answers text", mcp.NewTextContent("This is a simple text response for testing."))
	e.answering("test_image_content", "Answers an image", mcp.NewImageContent(pngBase64, "image/png"))
	e.answering("test_audio_content", "Answers a sound", mcp.NewAudioContent(wavBase64, "audio/wav"))
	e.answering("test_embedded_resource", "Answers a resource",
		resource("test://embedded-resource", "text/plain", "This is an embedded resource content."))
	e.answering("test_multiple_content_types", "Answers text, an image and a resource",
		mcp.NewTextContent("Multiple content types test:"),
		mcp.NewImageContent(pngBase64, "image/png"),
		resource("test://mixed-content-resource", "application/json", `{"test":"data","value":123}`))
	e.tool("test_error_handling", "Fails", func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return mcp.NewToolResultError("This tool intentionally returns an error for testing"), nil
	})
	e.mcp.AddTool(mcp.NewToolWithRawSchema("json_schema_2020_12_tool",
		"Answers its arguments, which a JSON Schema of draft 2020-12 describes", json.RawMessage(schema2020)), echoArguments)
}

// answering adds a tool that always answers the same.
func (e *everything) answering(name, description string, content ...mcp.Content) {
	e.tool(name, description, func(context.Context, mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{Content: content}, nil
	})
}

func resource(uri, mimeType, text string) mcp.Content {
	return mcp.NewEmbeddedResource(mcp.TextResourceContents{URI: uri, MIMEType: mimeType, Text: text})
}

func echoArguments(_ context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	arguments, err := json.Marshal(request.GetRawArguments())
	if err != nil {
		return nil, err
	}
	return text("JSON Schema 2020-12 tool called with: " + string(arguments))
}

// schema2020 has the keywords of JSON Schema 2020-12 that a server must not strip
// (SEP-1613, SEP-2106).
const schema2020 = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {
		"address": {
			"$anchor": "addressDef",
			"type": "object",
			"properties": {"street": {"type": "string"}, "city": {"type": "string"}}
		}
	},
	"properties": {
		"name": {"type": "string"},
		"address": {"$ref": "#/$defs/address"},
		"contactMethod": {"type": "string", "enum": ["phone", "email"]},
		"phone": {"type": "string"},
		"email": {"type": "string"}
	},
	"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
	"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
	"then": {"required": ["phone"]},
	"else": {"required": ["email"]},
	"additionalProperties": false
}`
