package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	scs "github.com/alexedwards/scs/v2/memstore"
	"github.com/maypok86/otter/v2"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
)

const idleTimeout = 24 * time.Hour

// The names of those that keep sessions in memory.
const (
	ours     = "memstore"
	plainMap = "unsynchronised map"
	scsMem   = "scs memstore"
	otterMem = "otter"
)

// A keeper keeps sessions in memory. get reads one and moves its idle deadline,
// where the keeper has such a thing; update changes one. Both are called by
// GOMAXPROCS callers at once.
type keeper interface {
	add(id mcpsession.ID, s mcpsession.Session) error
	get(caller int, id mcpsession.ID) error
	update(caller int, id mcpsession.ID) error
	io.Closer
}

var keepers = []struct {
	name string
	open func(n int) (keeper, error)
}{
	{ours, openMemstore},
	{plainMap, openPlainMap},
	{scsMem, openSCS},
	{otterMem, openOtter},
}

var errMissing = errors.New("a session is missing")

// changed is what every update does.
func changed(s *mcpsession.Session) { s.LogLevel = "debug" }

// ourKeeper is memstore.
type ourKeeper struct{ *memstore.Store }

func openMemstore(n int) (keeper, error) {
	store, err := memstore.New(mcpsession.DefaultLimits(), n)
	return ourKeeper{store}, err
}

func (k ourKeeper) add(id mcpsession.ID, s mcpsession.Session) error {
	_, err := k.Create(context.Background(), id, s)
	return err
}

func (k ourKeeper) get(_ int, id mcpsession.ID) error {
	s, err := k.Get(context.Background(), id)
	if err == nil && s.Ref != id.Ref() {
		err = errMissing
	}
	return err
}

func (k ourKeeper) update(_ int, id mcpsession.ID) error {
	_, err := k.Update(context.Background(), id, func(s *mcpsession.Session) error {
		changed(s)
		return nil
	})
	return err
}

// mapKeeper is the floor: map[Ref]Session, without a lock, a clock, a secret, a
// deadline or a copy of anything but the struct. While it is only read, all
// callers share one map. Since a map cannot be read while it is written, each
// caller has a map of its own share of the sessions for the mix.
type mapKeeper struct {
	maps []map[mcpsession.Ref]mcpsession.Session
}

func openPlainMap(int) (keeper, error) {
	return &mapKeeper{[]map[mcpsession.Ref]mcpsession.Session{{}}}, nil
}

func (k *mapKeeper) add(id mcpsession.ID, s mcpsession.Session) error {
	s.Ref = id.Ref()
	k.maps[0][id.Ref()] = s
	return nil
}

// divide gives each of some callers its share.
func (k *mapKeeper) divide(shares [][]mcpsession.ID) {
	owner := make(map[mcpsession.Ref]int) // else caller 0, which reads none of it
	for caller, share := range shares {
		for _, id := range share {
			owner[id.Ref()] = caller
		}
	}
	whole := k.maps[0]
	k.maps = make([]map[mcpsession.Ref]mcpsession.Session, len(shares))
	for caller, share := range shares {
		k.maps[caller] = make(map[mcpsession.Ref]mcpsession.Session, len(share))
	}
	// In another order than that of reading, as everywhere else.
	for ref, s := range whole {
		k.maps[owner[ref]][ref] = s
	}
}

func (k *mapKeeper) get(caller int, id mcpsession.ID) error {
	s, ok := lookUp(k.maps[caller%len(k.maps)], id.Ref())
	if !ok || s.Ref != id.Ref() {
		return errMissing
	}
	return nil
}

// lookUp returns a copy of the session. It is not inlined, since the compiler
// would then see that one field is all that get wants of it.
//
//go:noinline
func lookUp(m map[mcpsession.Ref]mcpsession.Session, ref mcpsession.Ref) (mcpsession.Session, bool) {
	s, ok := m[ref]
	return s, ok
}

func (k *mapKeeper) update(caller int, id mcpsession.ID) error {
	m := k.maps[caller%len(k.maps)]
	s, ok := lookUp(m, id.Ref())
	if !ok {
		return errMissing
	}
	changed(&s)
	m[id.Ref()] = s
	return nil
}

func (k *mapKeeper) Close() error { return nil }

// scsKeeper is the store under an scs.SessionManager. Its sessions are bytes,
// and it is not made to decode them, which its manager does with gob for
// thousands of nanoseconds. A read that moves the idle deadline is a Find and a
// Commit of what was found; so is an update.
type scsKeeper struct{ *scs.MemStore }

func openSCS(int) (keeper, error) { return scsKeeper{scs.NewWithCleanupInterval(0)}, nil }

func (k scsKeeper) add(id mcpsession.ID, s mcpsession.Session) error {
	text, err := content(s)
	if err != nil {
		return err
	}
	return k.Commit(strings.Clone(id.Token()), text, time.Now().Add(idleTimeout)) // the key is its own
}

func (k scsKeeper) get(_ int, id mcpsession.ID) error {
	text, ok, err := k.Find(id.Token())
	if err != nil || !ok {
		return errors.Join(err, errMissing)
	}
	return k.Commit(id.Token(), text, time.Now().Add(idleTimeout))
}

func (k scsKeeper) update(_ int, id mcpsession.ID) error {
	text, ok, err := k.Find(id.Token())
	if err != nil || !ok {
		return errors.Join(err, errMissing)
	}
	return k.Commit(id.Token(), append([]byte(nil), text...), time.Now().Add(idleTimeout))
}

func (k scsKeeper) Close() error { return nil }

// otterKeeper is an otter cache without a size bound, so that it need not keep
// the order of evictions, and with expire-after-access.
type otterKeeper struct {
	*otter.Cache[mcpsession.Ref, *mcpsession.Session]
}

func openOtter(int) (keeper, error) {
	c, err := otter.New(&otter.Options[mcpsession.Ref, *mcpsession.Session]{
		ExpiryCalculator: otter.ExpiryAccessing[mcpsession.Ref, *mcpsession.Session](idleTimeout),
	})
	if err != nil {
		return nil, fmt.Errorf("open otter: %w", err)
	}
	return otterKeeper{c}, nil
}

func (k otterKeeper) add(id mcpsession.ID, s mcpsession.Session) error {
	s.Ref = id.Ref()
	k.Set(id.Ref(), &s)
	return nil
}

func (k otterKeeper) get(_ int, id mcpsession.ID) error {
	s, ok := k.copyOf(id.Ref())
	if !ok || s.Ref != id.Ref() {
		return errMissing
	}
	return nil
}

//go:noinline
func (k otterKeeper) copyOf(ref mcpsession.Ref) (mcpsession.Session, bool) {
	s, ok := k.GetIfPresent(ref)
	if !ok {
		return mcpsession.Session{}, false
	}
	return *s, true
}

func (k otterKeeper) update(_ int, id mcpsession.ID) error {
	_, ok := k.ComputeIfPresent(id.Ref(), func(old *mcpsession.Session) (*mcpsession.Session, otter.ComputeOp) {
		next := *old
		changed(&next)
		return &next, otter.WriteOp
	})
	if !ok {
		return errMissing
	}
	return nil
}

func (k otterKeeper) Close() error {
	k.StopAllGoroutines()
	return nil
}

// fill opens a keeper and adds a session for each id.
func fill(open func(int) (keeper, error), ids []mcpsession.ID) (keeper, error) {
	k, err := open(len(ids))
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if err := k.add(id, newSession(i)); err != nil {
			return nil, errors.Join(err, k.Close())
		}
	}
	return k, nil
}
