package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"

	"github.com/mcpsession/mcpsession"
)

// redisMemory measures what a session takes of Redis, our index included, where
// scs has none. What scs stores is what its gob codec makes of the same text;
// against it is shown, too, what is left if an application gives its store the
// bare text as JSON, without the deadline.
func redisMemory(ctx context.Context, b *bench) (err error) {
	s, err := startServer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ids := newIDs(b.sizes.live)
	const ours, gob, bare = "redisstore", "scs goredisstore", "scs goredisstore, bare JSON"
	what := fmt.Sprintf("Redis memory for each of %s sessions of %d bytes", thousands(float64(len(ids))), contentSize)
	return b.run(ctx, contest{
		unit: byteCount, enough: 5,
		rivals: []rival{
			{ours, func(ctx context.Context) (figure, error) {
				return s.taken(ctx, len(ids), func() error {
					store, err := s.openStore(ctx)
					if err != nil {
						return err
					}
					return populate(ctx, store, ids)
				})
			}},
			{gob, func(ctx context.Context) (figure, error) { return s.takenByScs(ctx, ids, asGob) }},
			{bare, func(ctx context.Context) (figure, error) { return s.takenByScs(ctx, ids, content) }},
		},
		comparisons: []comparison{
			{what, ours, gob, costs, ratioAtMost(1.3)},
			{what, ours, bare, costs, ratioAtMost(1.3)},
		},
	})
}

func (s *server) takenByScs(ctx context.Context, ids []mcpsession.ID, encode func(mcpsession.Session) ([]byte, error)) (figure, error) {
	store := goredisstore.New(s.client)
	return s.taken(ctx, len(ids), func() error {
		return all(fillers, len(ids), func(i int) error {
			text, err := encode(newSession(i))
			if err != nil {
				return err
			}
			return store.CommitCtx(ctx, ids[i].Token()[:43], text, time.Now().Add(idleTimeout)) // as long as a token of scs
		})
	})
}

// taken returns how many bytes each of n sessions takes that fill stores in the
// empty server, which is empty again afterwards.
func (s *server) taken(ctx context.Context, n int, fill func() error) (figure, error) {
	if err := s.flush(ctx); err != nil {
		return figure{}, err
	}
	before, err := s.memory(ctx)
	if err != nil {
		return figure{}, err
	}
	if err := fill(); err != nil {
		return figure{}, err
	}
	after, err := s.memory(ctx)
	if err != nil {
		return figure{}, err
	}
	return figure{value: (after - before) / float64(n)}, s.flush(ctx)
}

func asGob(s mcpsession.Session) ([]byte, error) {
	return scs.GobCodec{}.Encode(time.Now().Add(idleTimeout), map[string]any{
		"d": s.WorkingDirectory, "c": s.ConfigPath, "p": s.ProjectID, "l": s.LogLevel,
		"cn": s.Client.Name, "cv": s.Client.Version, "cp": s.Client.ProtocolVersion, "cc": s.Client.Capabilities,
	})
}
