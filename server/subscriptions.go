package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mark3labs/mcp-go/mcp"
	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
)

// subscribe has the streams of a session deliver changes of a resource.
func (h *Handler) subscribe(ctx context.Context, live *mcpsession.Live, uri string) error {
	return h.changeSession(ctx, live, func(s *mcpsession.Session) error {
		if !slices.Contains(s.Subscriptions, uri) {
			s.Subscriptions = append(s.Subscriptions, uri)
		}
		return nil
	})
}

func (h *Handler) unsubscribe(ctx context.Context, live *mcpsession.Live, uri string) error {
	return h.changeSession(ctx, live, func(s *mcpsession.Session) error {
		s.Subscriptions = slices.DeleteFunc(s.Subscriptions, func(other string) bool { return other == uri })
		return nil
	})
}

// changeSession changes a session in a way that its open streams have to know.
func (h *Handler) changeSession(ctx context.Context, live *mcpsession.Live, change func(*mcpsession.Session) error) error {
	if err := live.Update(ctx, change); err != nil {
		return err
	}
	return h.mail(ctx, live.ID().Ref(), refresh)
}

// ErrNoSessionTool: Options.SessionTool knows no tool of that name, or the call
// has no session whose tools could be chosen.
var ErrNoSessionTool = errors.New("no such session tool")

// EnableTool gives the session of the call being served, and no other, the tool
// that Options.SessionTool knows by this name, on every replica, and tells its
// client that its tools changed. Enabling a tool twice is no error. Errors:
// [ErrNoSessionTool], and those of [mcpsession.SessionStore.Update].
func EnableTool(ctx context.Context, name string) error {
	s, ok := mcpserver.ClientSessionFromContext(ctx).(*clientSession)
	if !ok || s.live == nil || s.h.sessionTool == nil {
		return fmt.Errorf("enable tool %q: %w", name, ErrNoSessionTool)
	}
	if _, ok := s.h.sessionTool(name); !ok {
		return fmt.Errorf("enable tool %q: %w", name, ErrNoSessionTool)
	}
	return s.changeTools(ctx, func(names []string) []string {
		if slices.Contains(names, name) {
			return names
		}
		return append(slices.Clone(names), name)
	})
}

// DisableTool undoes [EnableTool].
func DisableTool(ctx context.Context, name string) error {
	s, ok := mcpserver.ClientSessionFromContext(ctx).(*clientSession)
	if !ok || s.live == nil {
		return fmt.Errorf("disable tool %q: %w", name, ErrNoSessionTool)
	}
	return s.changeTools(ctx, func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(other string) bool { return other == name })
	})
}

func (s *clientSession) changeTools(ctx context.Context, change func([]string) []string) error {
	if now := s.live.Session().Tools; slices.Equal(change(now), now) {
		return nil
	}
	err := s.live.Update(ctx, func(session *mcpsession.Session) error {
		session.Tools = change(session.Tools)
		return nil
	})
	if err != nil {
		return err
	}
	return s.h.Notify(ctx, s.ref, mcp.MethodNotificationToolsListChanged, nil)
}
