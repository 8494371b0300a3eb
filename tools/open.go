package tools

import (
	"context"
	"errors"

	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

// opener finds the session that a call works on.
type opener func(ctx context.Context, handle string) (*mcpsession.Live, error)

var errNoHandle = errors.New("this call names no session: call create_session, and pass the handle that it answers as the `session` argument of this and every later call")

// named opens the session of the handle; without one, that of a legacy client.
func (t *toolset) named(ctx context.Context, handle string) (*mcpsession.Live, error) {
	if handle != "" {
		id, err := mcpsession.ParseHandle(handle)
		if err != nil {
			return nil, err
		}
		session, err := t.Store.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		return mcpsession.NewLive(t.Store, id, session), nil
	}
	if live, ok := mcpsession.FromContext(ctx); ok && !mcpserver.IsModernRequest(ctx) {
		return live, nil
	}
	return nil, errNoHandle
}

// namedOrNone is named, but a call that names no session gets nil.
func (t *toolset) namedOrNone(ctx context.Context, handle string) (*mcpsession.Live, error) {
	live, err := t.named(ctx, handle)
	if errors.Is(err, errNoHandle) {
		return nil, nil
	}
	return live, err
}

// create begins a session that is reached by a handle.
func (t *toolset) create(ctx context.Context, session mcpsession.Session) (*mcpsession.Live, error) {
	if info := mcpserver.RequestProtocolInfoFromContext(ctx); info != nil && info.Modern {
		session.Client.ProtocolVersion = info.ProtocolVersion
		if info.ClientInfo != nil {
			session.Client.Name, session.Client.Version = info.ClientInfo.Name, info.ClientInfo.Version
		}
	} else if live, ok := mcpsession.FromContext(ctx); ok {
		session.Client = live.Session().Client
	}
	id := mcpsession.NewHandle()
	session, err := t.Store.Create(ctx, id, session)
	if err != nil {
		return nil, err
	}
	return mcpsession.NewLive(t.Store, id, session), nil
}
