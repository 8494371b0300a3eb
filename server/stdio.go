package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

// ServeStdio serves mcp over in and out until in ends or ctx does. A legacy
// client has one session, begun at its first tool call and ended with ServeStdio;
// a modern one uses handles.
func ServeStdio(ctx context.Context, mcp *mcpserver.MCPServer, store mcpsession.SessionStore, in io.Reader, out io.Writer) error {
	p := &processSession{store: store}
	mcp.Use(p.middleware)
	x := newExchange(ctx, in, out)
	err := mcpserver.NewStdioServer(mcp).Listen(ctx, x, x)
	// ctx may have ended, and its session should not outlive the process by a day.
	ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	if errEnd := p.end(ended); errEnd != nil {
		err = errors.Join(err, errEnd)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// processSession is the one session of a legacy client on stdio.
type processSession struct {
	store mcpsession.SessionStore

	mu sync.Mutex
	id mcpsession.ID // zero until the first tool call
}

func (p *processSession) middleware(next mcpserver.ToolHandlerFunc) mcpserver.ToolHandlerFunc {
	return func(ctx context.Context, request mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if mcpserver.IsModernRequest(ctx) {
			return next(ctx, request)
		}
		live, err := p.open(ctx)
		if err != nil {
			return nil, fmt.Errorf("open the session of this process: %w", err)
		}
		return next(mcpsession.NewContext(ctx, live), request)
	}
}

// open returns the session, or a new one if it ended.
func (p *processSession) open(ctx context.Context) (*mcpsession.Live, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.id.IsZero() {
		session, err := p.store.Get(ctx, p.id)
		if err == nil {
			return mcpsession.NewLive(p.store, p.id, session), nil
		}
		if !errors.Is(err, mcpsession.ErrNotFound) {
			return nil, err
		}
	}
	id := mcpsession.NewSessionID()
	session, err := p.store.Create(ctx, id, mcpsession.Session{Client: clientFacts(ctx)})
	if err != nil {
		return nil, err
	}
	p.id = id
	return mcpsession.NewLive(p.store, id, session), nil
}

func (p *processSession) end(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id.IsZero() {
		return nil
	}
	return p.store.Delete(ctx, p.id)
}

// clientFacts is what mcp-go's session remembers of the handshake.
func clientFacts(ctx context.Context) mcpsession.Client {
	var facts mcpsession.Client
	if s, ok := mcpserver.ClientSessionFromContext(ctx).(mcpserver.SessionWithClientInfo); ok {
		info := s.GetClientInfo()
		facts.Name, facts.Version = info.Name, info.Version
	}
	facts.ProtocolVersion = mcpserver.RequestProtocolVersion(ctx)
	return facts
}
