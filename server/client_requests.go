package server

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
)

// What a handler can ask of a client that declared it can answer.

// RequestElicitation implements mcpserver.SessionWithElicitation.
func (s *clientSession) RequestElicitation(ctx context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	if s.GetClientCapabilities().Elicitation == nil {
		return nil, errUndeclared("elicitation")
	}
	var result mcp.ElicitationResult
	return &result, s.request(ctx, mcp.MethodElicitationCreate, r.Params, &result)
}

// RequestSampling implements mcpserver.SessionWithSampling.
func (s *clientSession) RequestSampling(ctx context.Context, r mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	if s.GetClientCapabilities().Sampling == nil {
		return nil, errUndeclared("sampling")
	}
	var result mcp.CreateMessageResult
	if err := s.request(ctx, mcp.MethodSamplingCreateMessage, r.CreateMessageParams, &result); err != nil {
		return nil, err
	}
	content, err := mcp.ParseSamplingContent(result.Content)
	if err != nil {
		return nil, fmt.Errorf("decode the client's answer to %s: %w", mcp.MethodSamplingCreateMessage, err)
	}
	result.Content = content
	return &result, nil
}

// ListRoots implements mcpserver.SessionWithRoots.
func (s *clientSession) ListRoots(ctx context.Context, _ mcp.ListRootsRequest) (*mcp.ListRootsResult, error) {
	if s.GetClientCapabilities().Roots == nil {
		return nil, errUndeclared("roots")
	}
	var result mcp.ListRootsResult
	return &result, s.request(ctx, mcp.MethodListRoots, nil, &result)
}

func errUndeclared(capability string) error {
	return fmt.Errorf("the client did not declare the capability %q when it connected", capability)
}

// request asks the client on the stream of the request being served.
func (s *clientSession) request(ctx context.Context, method mcp.MCPMethod, params, result any) error {
	if s.live == nil {
		return fmt.Errorf("%s: a client of this protocol version cannot be asked during a call", method)
	}
	// What the handler sent before comes before.
	if err := s.flush(ctx); err != nil {
		return err
	}
	raw, err := s.h.ask(ctx, s.ref, string(method), params, func(ctx context.Context, text []byte) error {
		s.send(ctx, text)
		return nil
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("decode the client's answer to %s: %w", method, err)
	}
	return nil
}
