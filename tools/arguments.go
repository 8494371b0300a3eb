package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
)

// decode reads a call's arguments into args, a pointer to a struct, and returns
// the session handle among them. Its errors tell a model how to correct itself.
func decode(tool mcp.Tool, request mcp.CallToolRequest, args any) (handle string, err error) {
	raw := request.Params.RawArguments // as sent: numbers keep all their digits
	if len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if !utf8.Valid(raw) {
		return "", fmt.Errorf("the arguments of %s are not valid UTF-8", tool.Name)
	}
	given := make(map[string]json.RawMessage)
	if err := json.Unmarshal(raw, &given); err != nil {
		return "", fmt.Errorf("the arguments of %s must be one JSON object", tool.Name)
	}
	for name := range given {
		if _, known := tool.InputSchema.Properties[name]; !known {
			return "", fmt.Errorf("%s has no argument %q: it takes %s", tool.Name, name, arguments(tool))
		}
	}
	for _, name := range tool.InputSchema.Required {
		if _, has := given[name]; !has {
			return "", fmt.Errorf("%s needs the argument %q: it takes %s", tool.Name, name, arguments(tool))
		}
	}
	for _, target := range []any{args, &struct {
		Session *string `json:"session"`
	}{&handle}} {
		var wrong *json.UnmarshalTypeError
		switch err := json.Unmarshal(raw, target); {
		case errors.As(err, &wrong):
			return "", fmt.Errorf("the argument %q of %s must be a %s, not a %s", wrong.Field, tool.Name, wrong.Type, wrong.Value)
		case err != nil:
			return "", fmt.Errorf("the arguments of %s cannot be read: %w", tool.Name, err)
		}
	}
	return handle, nil
}

// arguments lists what a tool takes.
func arguments(tool mcp.Tool) string {
	var names []string
	for name := range tool.InputSchema.Properties {
		if slices.Contains(tool.InputSchema.Required, name) {
			name += " (required)"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
