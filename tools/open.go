package tools

import (
	"context"
	"errors"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/handle"
)

// opener finds the session that a call works on.
type opener func(ctx context.Context, handle string) (*mcpsession.Live, error)

// namedOrNone opens the session of a call as [handle.Sessions.Open] does, but a
// call that names none gets nil.
func (t *toolset) namedOrNone(ctx context.Context, token string) (*mcpsession.Live, error) {
	live, err := t.sessions.Open(ctx, token)
	if errors.Is(err, handle.ErrMissing) {
		return nil, nil
	}
	return live, err
}
