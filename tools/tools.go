// Package tools are the MCP tools of the ready server: they keep each client's
// working directory and project apart from every other's.
package tools

import (
	"context"
	"errors"
	"log/slog"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/project"
)

// Options are what the tools work on.
type Options struct {
	// Store keeps the sessions. Required.
	Store mcpsession.SessionStore

	// Finder looks at directories on this machine's disk. Nil: directories are
	// stored but not looked at, for a server whose clients have other disks.
	Finder *project.Finder

	// Resolver decides which project a session works on. Required.
	Resolver *project.Resolver

	// Limits are those of Store, for descriptions that tell a model how long a
	// session lives.
	Limits mcpsession.Limits

	// Logger is told of storage errors, which a model is told only in general.
	// Required.
	Logger *slog.Logger
}

// Instructions tell a model what the server is for.
const Instructions = "Keeps this client's working directory, project and values in a session of its own, " +
	"separate from every other client of this server. Call set_working_directory first, with the absolute path " +
	"of the checkout you work in. If a result contains a `session` handle, pass it as the `session` argument of every later call."

// Add adds the tools to srv.
func Add(srv *mcpserver.MCPServer, o Options) {
	t := &toolset{o, handle.New(o.Store, handle.Options{Begin: createSession, Limits: o.Limits, Logger: o.Logger})}
	t.addDirectoryTools(srv)
	t.addProjectTools(srv)
	t.addValueTools(srv)
	t.addSessionTools(srv)
}

type toolset struct {
	Options
	sessions *handle.Sessions
}

// worker is a tool: typed arguments, a session, a typed result. Its errors are
// told to the model.
type worker[Args, Result any] func(ctx context.Context, live *mcpsession.Live, args Args) (Result, error)

// add adds a tool that works on a session, found by open.
func add[Args, Result any](t *toolset, srv *mcpserver.MCPServer, tool mcp.Tool, open opener, work worker[Args, Result]) {
	mcp.WithString(handle.Argument,
		mcp.Description("Session handle, as answered by create_session or set_working_directory. "+
			"Leave it out to use your client's own session, if it has one."))(&tool)
	mcp.WithSchemaAdditionalProperties(false)(&tool)
	mcp.WithOutputSchema[Result]()(&tool)
	neverNull(tool.OutputSchema.Properties)
	srv.AddTool(tool, func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var args Args
		session, err := decode(tool, request, &args)
		if err != nil {
			return mcp.NewToolResultError(err.Error()), nil
		}
		live, err := open(ctx, session)
		if err != nil {
			return t.failure(tool.Name, err), nil
		}
		result, err := work(ctx, live, args)
		if err != nil {
			return t.failure(tool.Name, err), nil
		}
		return mcp.NewToolResultStructuredOnly(result), nil
	})
}

// neverNull takes null out of the types of a schema generated from Go, where it
// stands for nil pointers and slices. Results leave those out instead, and some
// model providers cannot read a list of types.
func neverNull(properties map[string]any) {
	for _, property := range properties {
		schema, ok := property.(map[string]any)
		if !ok {
			continue
		}
		if types, ok := schema["type"].([]any); ok && len(types) == 2 && types[0] == "null" {
			schema["type"] = types[1]
		}
		if nested, ok := schema["properties"].(map[string]any); ok {
			neverNull(nested)
		}
	}
}

// failure is a tool result that tells a model what went wrong and what to do,
// with these tools.
func (t *toolset) failure(tool string, err error) *mcp.CallToolResult {
	switch {
	case errors.Is(err, mcpsession.ErrTooLarge):
		return mcp.NewToolResultErrorf("Nothing was stored: the session would become too large (%d bytes are allowed). Store less, or delete_value what is no longer needed.", t.Limits.MaxSize)
	case errors.Is(err, mcpsession.ErrFull):
		return mcp.NewToolResultError("Nothing was stored: the server keeps as many sessions as it may. End a session that is no longer needed with end_session, or try again later.")
	}
	return t.sessions.Failure(tool, err)
}

// describe makes a tool's definition. Hints are given for every tool, since the
// specification's defaults are the pessimistic ones.
func describe(name, title, description string, hints mcp.ToolAnnotation, properties ...mcp.ToolOption) mcp.Tool {
	hints.Title = title
	hints.OpenWorldHint = mcp.ToBoolPtr(false)
	options := append([]mcp.ToolOption{mcp.WithToolTitle(title), mcp.WithDescription(description), mcp.WithToolAnnotation(hints)}, properties...)
	return mcp.NewTool(name, options...)
}

func reads() mcp.ToolAnnotation {
	return mcp.ToolAnnotation{ReadOnlyHint: mcp.ToBoolPtr(true), DestructiveHint: mcp.ToBoolPtr(false), IdempotentHint: mcp.ToBoolPtr(true)}
}

// writes are the hints of a tool that overwrites, and may be called twice.
func writes() mcp.ToolAnnotation {
	return mcp.ToolAnnotation{ReadOnlyHint: mcp.ToBoolPtr(false), DestructiveHint: mcp.ToBoolPtr(false), IdempotentHint: mcp.ToBoolPtr(true)}
}

func creates() mcp.ToolAnnotation {
	return mcp.ToolAnnotation{ReadOnlyHint: mcp.ToBoolPtr(false), DestructiveHint: mcp.ToBoolPtr(false), IdempotentHint: mcp.ToBoolPtr(false)}
}

func destroys() mcp.ToolAnnotation {
	return mcp.ToolAnnotation{ReadOnlyHint: mcp.ToBoolPtr(false), DestructiveHint: mcp.ToBoolPtr(true), IdempotentHint: mcp.ToBoolPtr(true)}
}
