package project

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

const (
	defaultActiveTool = "get_active_project"

	// probeTimeout leaves time for the handshake of older servers that never
	// answer the newer protocol's first request.
	probeTimeout = 300 * time.Millisecond

	maxAnswerBytes = 1 << 20
)

// ActiveProject returns a function for [Resolver.Active]. It calls a tool,
// without arguments, of the MCP server (Streamable HTTP) at serverURL: default
// "get_active_project" if tool is empty. serverURL must be http or https.
//
// The tool's structured content, or else its text as JSON, has to be an object
// that names the project in project_id, id, or as an object with one of them,
// in project. If that is null or empty no project is active, and the id is empty.
//
// The function connects anew for each call, and keeps neither a connection to a
// session nor a goroutine. It returns when its context ends, which should have
// a deadline, and never reads more than 1 MB of an answer. It is safe for
// concurrent use.
func ActiveProject(serverURL, tool string) (func(ctx context.Context) (id string, err error), error) {
	parsed, err := url.Parse(serverURL)
	if err != nil {
		// Not the url.Error, which repeats a password in the URL.
		return nil, errors.New("the URL of the server with the active project is no URL")
	}
	if (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" {
		return nil, fmt.Errorf("the URL of the server with the active project, %q, must be like http://host:port/mcp", parsed.Redacted())
	}
	if tool == "" {
		tool = defaultActiveTool
	}
	return func(ctx context.Context) (string, error) {
		result, err := callTool(ctx, serverURL, tool)
		if ctx.Err() != nil && err != nil {
			err = ctx.Err()
		}
		if err != nil {
			return "", fmt.Errorf("ask for the active project with tool %q: %w", tool, err)
		}
		id, err := activeID(result)
		if err != nil {
			return "", fmt.Errorf("tool %q: %w", tool, err)
		}
		return id, nil
	}, nil
}

func callTool(ctx context.Context, serverURL, tool string) (*mcp.CallToolResult, error) {
	stream, err := transport.NewStreamableHTTP(serverURL,
		transport.WithHTTPBasicClient(&http.Client{Transport: bounded{ctx}}),
		transport.WithHTTPLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, err
	}
	c := client.NewClient(stream, client.WithDiscoverTimeout(probeTimeout))
	defer c.Close()
	if err := c.Start(ctx); err != nil {
		return nil, err
	}
	var hello mcp.InitializeRequest
	hello.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	hello.Params.ClientInfo = mcp.Implementation{Name: "mcpsession", Version: "1"}
	if _, err := c.Initialize(ctx, hello); err != nil {
		return nil, err
	}
	var call mcp.CallToolRequest
	call.Params.Name = tool
	return c.CallTool(ctx, call)
}

// bounded ends what Close sends together with ctx, which mcp-go would let hang
// for five seconds, and cuts answers off at maxAnswerBytes.
type bounded struct{ ctx context.Context }

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodDelete {
		request = request.Clone(b.ctx)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswerBytes), response.Body}
	return response, nil
}

// activeID reads the project's id out of a tool's answer.
func activeID(result *mcp.CallToolResult) (string, error) {
	if result.IsError {
		return "", errors.New("it answered with an error")
	}
	if raw := bytes.TrimSpace(result.RawStructuredContent); len(raw) > 0 && string(raw) != "null" {
		return idInJSON(raw)
	}
	for _, content := range result.Content {
		if text, ok := mcp.AsTextContent(content); ok {
			return idInJSON([]byte(text.Text))
		}
	}
	return "", errors.New("its answer has neither structured content nor text")
}

func idInJSON(raw []byte) (string, error) {
	var answer object
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", errors.New("its answer is no JSON object")
	}
	if id, ok, err := answer.projectID(); ok || err != nil {
		return id, err
	}
	if _, ok := answer["project"]; ok {
		var project object
		if err := answer.get("project", "an object", &project); err != nil {
			return "", fmt.Errorf("in its answer, %w", err)
		}
		if id, ok, err := project.projectID(); ok || err != nil || project == nil {
			return id, err
		}
	}
	return "", errors.New("its answer names no project: it has no project_id and no id")
}

func (o object) projectID() (id string, ok bool, err error) {
	for _, name := range []string{"project_id", "id"} {
		if _, ok := o[name]; ok {
			if err := o.get(name, "a string", &id); err != nil {
				return "", true, fmt.Errorf("in its answer, %w", err)
			}
			return id, true, nil
		}
	}
	return "", false, nil
}
