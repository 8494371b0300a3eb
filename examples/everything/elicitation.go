package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
)

type object = map[string]any

func (e *everything) addElicitationTools() {
	e.tool("test_elicitation", "Asks the user", e.elicitation,
		mcp.WithString("message", mcp.Required(), mcp.Description("what to show the user")))
	e.eliciting("test_elicitation_sep1034_defaults", "Asks the user, with a default for every type of value (SEP-1034)",
		"Please review and update the form fields with defaults", form(object{
			"name":     object{"type": "string", "description": "User name", "default": "John Doe"},
			"age":      object{"type": "integer", "description": "User age", "default": 30},
			"score":    object{"type": "number", "description": "User score", "default": 95.5},
			"status":   object{"type": "string", "description": "User status", "enum": []string{"active", "inactive", "pending"}, "default": "active"},
			"verified": object{"type": "boolean", "description": "Verification status", "default": true},
		}))
	e.eliciting("test_elicitation_sep1330_enums", "Asks the user, with every form of enumeration (SEP-1330)",
		"Please select options from the enum fields", form(object{
			"untitledSingle": object{"type": "string", "description": "Select one option", "enum": options("option")},
			"titledSingle":   object{"type": "string", "description": "Select one option with titles", "oneOf": titled("Option")},
			"legacyEnum": object{"type": "string", "description": "Select one option (legacy)", "enum": options("opt"),
				"enumNames": []string{"Option One", "Option Two", "Option Three"}},
			"untitledMulti": object{"type": "array", "description": "Select multiple options", "minItems": 1, "maxItems": 3,
				"items": object{"type": "string", "enum": options("option")}},
			"titledMulti": object{"type": "array", "description": "Select multiple options with titles", "minItems": 1, "maxItems": 3,
				"items": object{"anyOf": titled("Choice")}},
		}))
}

// form is the schema of an elicitation with these fields.
func form(fields object, required ...string) object {
	if required == nil {
		required = []string{} // null is no list
	}
	return object{"type": "object", "properties": fields, "required": required}
}

func options(name string) []string { return []string{name + "1", name + "2", name + "3"} }

// titled are the values of an enumeration with titles: First Option and so on.
func titled(noun string) []object {
	return []object{
		{"const": "value1", "title": "First " + noun},
		{"const": "value2", "title": "Second " + noun},
		{"const": "value3", "title": "Third " + noun},
	}
}

func (e *everything) elicitation(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	return e.elicit(ctx, "User response", request.GetString("message", "Please answer"), form(object{
		"username": object{"type": "string", "description": "User's response"},
		"email":    object{"type": "string", "description": "User's email address"},
	}, "username", "email"))
}

// eliciting adds a tool without arguments that asks the user to fill in a form.
func (e *everything) eliciting(name, description, message string, schema object) {
	e.tool(name, description, func(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return e.elicit(ctx, "Elicitation completed", message, schema)
	})
}

// elicit asks the user and answers what became of it.
func (e *everything) elicit(ctx context.Context, headline, message string, schema object) (*mcp.CallToolResult, error) {
	if _, can := client(ctx); can.Elicitation == nil {
		return mcp.NewToolResultError("the client does not support elicitation"), nil
	}
	result, err := e.mcp.RequestElicitation(ctx, mcp.ElicitationRequest{
		Request: mcp.Request{Method: string(mcp.MethodElicitationCreate)},
		Params:  mcp.ElicitationParams{Message: message, RequestedSchema: schema},
	})
	if err != nil {
		return mcp.NewToolResultErrorFromErr("elicitation failed", err), nil
	}
	content, err := json.Marshal(result.Content)
	if err != nil {
		return nil, err
	}
	return text(fmt.Sprintf("%s: action=%s, content=%s", headline, result.Action, content))
}
