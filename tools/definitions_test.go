package tools_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

// required are arguments that each tool accepts, as the inside of a JSON object.
var required = map[string]string{
	"set_working_directory": `"directory":"/checkout"`,
	"get_working_directory": ``,
	"find_project_config":   ``,
	"auto_switch_project":   `"project_id":"p"`,
	"get_session":           ``,
	"count_sessions":        ``,
	"set_value":             `"key":"k","value":1`,
	"get_value":             `"key":"k"`,
	"delete_value":          `"key":"k"`,
	"create_session":        ``,
	"share_session":         ``,
	"end_session":           ``,
}

// with is a tool's required arguments and others, as a JSON object.
func with(tool, more string) string {
	return "{" + strings.Trim(required[tool]+","+more, ",") + "}"
}

func names() []string { return slices.Sorted(maps.Keys(required)) }

func TestEveryToolTellsAModelWhatItNeeds(t *testing.T) {
	e := serve(t, setup{})
	for era, client := range map[string]peer{"legacy": e.legacy(t), "modern": e.modern(t)} {
		list, err := client.ListTools(t.Context(), mcp.ListToolsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		listed := make(map[string]mcp.Tool)
		for _, tool := range list.Tools {
			listed[tool.Name] = tool
		}
		if got := slices.Sorted(maps.Keys(listed)); !slices.Equal(got, names()) {
			t.Fatalf("%s clients are offered %q, want %q", era, got, names())
		}
		for name, tool := range listed {
			t.Run(era+"/"+name, func(t *testing.T) { checkDefinition(t, tool) })
		}
	}
}

func checkDefinition(t *testing.T, tool mcp.Tool) {
	hints := tool.Annotations
	if tool.Title == "" && hints.Title == "" {
		t.Error("has no title")
	}
	if len(tool.Description) < 40 {
		t.Errorf("has the description %q", tool.Description)
	}
	if hints.ReadOnlyHint == nil || hints.DestructiveHint == nil || hints.IdempotentHint == nil || hints.OpenWorldHint == nil {
		t.Fatalf("leaves a hint out: %+v", hints)
	}
	reads := strings.HasPrefix(tool.Name, "get_") || strings.HasPrefix(tool.Name, "find_") || strings.HasPrefix(tool.Name, "count_")
	destroys := tool.Name == "end_session" || tool.Name == "delete_value"
	if *hints.ReadOnlyHint != reads || *hints.DestructiveHint != destroys ||
		*hints.IdempotentHint != (tool.Name != "create_session") || *hints.OpenWorldHint {
		t.Errorf("has the wrong hints %s", asJSON(hints))
	}

	in := tool.InputSchema
	if in.Type != "object" || in.AdditionalProperties != false {
		t.Errorf("takes %s, want an object without other properties", asJSON(in))
	}
	session, _ := in.Properties["session"].(map[string]any)
	if session["type"] != "string" || session["description"] == nil || slices.Contains(in.Required, "session") {
		t.Errorf("takes a session %v (required: %q), want an optional, described string", session, in.Required)
	}
	for name, property := range in.Properties {
		if p, ok := property.(map[string]any); !ok || p["description"] == nil {
			t.Errorf("does not describe its argument %q", name)
		}
	}

	out := tool.OutputSchema
	if out.Type != "object" || len(out.Properties) == 0 || len(out.Required) == 0 {
		t.Errorf("answers %s, want an object with named properties", asJSON(out))
	}
	for name, property := range out.Properties {
		if p, ok := property.(map[string]any); !ok || p["description"] == nil {
			t.Errorf("does not describe %q in its result", name)
		}
	}
}

func TestToolsThatCreateSessionsSayHowLongOneLives(t *testing.T) {
	list, err := serve(t, setup{}).legacy(t).ListTools(t.Context(), mcp.ListToolsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range list.Tools {
		if tool.Name != "create_session" && tool.Name != "set_working_directory" {
			continue
		}
		if want := "unused for 1 day, and at the latest 7 days after it was created"; !strings.Contains(tool.Description, want) {
			t.Errorf("%s does not say %q: %s", tool.Name, want, tool.Description)
		}
	}
}
