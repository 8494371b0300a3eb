package storetest

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strconv"
	"time"

	"github.com/mcpsession/mcpsession"
)

var model = []contractTest{
	{"ten thousand random operations agree with a reference model", randomOperations},
}

// reference is what the model knows of one session.
type reference struct {
	id       mcpsession.ID
	values   map[string]json.RawMessage
	revision uint64
	used     time.Time // last access
	expires  time.Time
}

// alive says whether the contract demands that r lives, or that it is over. If
// it demands neither, a store may still round its idle deadline up.
func (r *reference) alive(now time.Time, idle time.Duration) (must, mustNot bool) {
	const clock = 10 * time.Millisecond
	over := !now.Before(r.expires.Add(clock)) || !now.Before(r.used.Add(idle+idle/16+clock))
	return now.Before(r.used.Add(idle)) && now.Before(r.expires), over
}

func randomOperations(c *contract) {
	seed := rand.Uint64()
	defer func() {
		if c.Failed() {
			c.Logf("seed %d", seed)
		}
	}()
	limits := c.limits()
	limits.MaxLifetime = 3 * c.idle
	if c.h.RealTime {
		limits.IdleTimeout, limits.MaxLifetime = time.Hour, time.Hour
	}
	m := &modelTest{
		contract: c,
		rand:     rand.New(rand.NewPCG(seed, 0)),
		idle:     limits.IdleTimeout,
		life:     limits.MaxLifetime,
		stores:   []mcpsession.SessionStore{c.openWith(limits), c.openWith(limits)},
	}
	for range 12 {
		m.sessions = append(m.sessions, &reference{id: mcpsession.NewSessionID()})
	}
	for i := range 10_000 {
		m.step()
		if i%250 == 0 {
			m.compare()
		}
		if c.Failed() {
			c.Fatalf("after %d operations", i+1)
		}
	}
	m.compare()
}

type modelTest struct {
	*contract
	rand       *rand.Rand
	idle, life time.Duration
	stores     []mcpsession.SessionStore
	sessions   []*reference
}

func (m *modelTest) step() {
	store := m.stores[m.rand.IntN(len(m.stores))]
	r := m.sessions[m.rand.IntN(len(m.sessions))]
	switch n := m.rand.IntN(100); {
	case n < 15:
		m.creates(store, r)
	case n < 55:
		m.gets(store, r)
	case n < 80:
		m.updates(store, r)
	case n < 85:
		m.deletes(store, r.id)
		*r = reference{id: r.id}
	case n < 90:
		m.withWrongSecret(store, r)
	default:
		if !m.h.RealTime {
			m.h.Advance(time.Duration(m.rand.Int64N(int64(m.idle / 4))))
		}
	}
}

// agrees checks err of an access to r against the model, and reports whether
// the access succeeded.
func (m *modelTest) agrees(operation string, r *reference, err error) bool {
	must, mustNot := r.alive(time.Now(), m.idle)
	switch {
	case err == nil && mustNot:
		m.Errorf("%s of session %s succeeded though it is over", operation, r.id)
	case err != nil && !errors.Is(err, mcpsession.ErrNotFound):
		m.Errorf("%s of session %s: %v", operation, r.id, err)
	case err != nil && must:
		m.Errorf("%s of session %s, used %v ago: %v", operation, r.id, time.Since(r.used), err)
	}
	if err != nil {
		*r = reference{id: r.id}
		return false
	}
	r.used = time.Now()
	return true
}

func (m *modelTest) matches(operation string, r *reference, s mcpsession.Session) {
	if len(s.Values) != len(r.values) || len(r.values) > 0 && !reflect.DeepEqual(s.Values, r.values) || s.Revision != r.revision {
		m.Errorf("%s of session %s returned revision %d %q, want %d %q", operation, r.id, s.Revision, s.Values, r.revision, r.values)
	}
}

func (m *modelTest) creates(store mcpsession.SessionStore, r *reference) {
	values := map[string]json.RawMessage{"created": m.number()}
	s, err := store.Create(m.Context(), r.id, mcpsession.Session{Values: values})
	must, mustNot := r.alive(time.Now(), m.idle)
	switch {
	case err == nil && must:
		m.Errorf("Create replaced session %s", r.id)
	case err != nil && (mustNot || !errors.Is(err, mcpsession.ErrExists)):
		m.Errorf("Create of session %s: %v", r.id, err)
	}
	if err == nil {
		*r = reference{id: r.id, values: values, revision: 1, used: time.Now(), expires: time.Now().Add(m.life)}
		m.matches("Create", r, s)
	}
}

func (m *modelTest) gets(store mcpsession.SessionStore, r *reference) {
	s, err := store.Get(m.Context(), r.id)
	if m.agrees("Get", r, err) {
		m.matches("Get", r, s)
	}
}

func (m *modelTest) updates(store mcpsession.SessionStore, r *reference) {
	key, value, remove := strconv.Itoa(m.rand.IntN(5)), m.number(), m.rand.IntN(3) == 0
	apply := func(values map[string]json.RawMessage) map[string]json.RawMessage {
		if remove {
			delete(values, key)
			return values
		}
		if values == nil {
			values = make(map[string]json.RawMessage)
		}
		values[key] = value
		return values
	}
	s, err := store.Update(m.Context(), r.id, func(s *mcpsession.Session) error {
		s.Values = apply(s.Values)
		return nil
	})
	if m.agrees("Update", r, err) {
		r.values = apply(r.values)
		r.revision++
		m.matches("Update", r, s)
	}
}

func (m *modelTest) withWrongSecret(store mcpsession.SessionStore, r *reference) {
	fake := forged(m.contract, r.id)
	_, err := store.Get(m.Context(), fake)
	m.is(err, mcpsession.ErrNotFound)
	m.deletes(store, fake)
}

// compare checks Count, All and the storage against the model, after getting
// every session so that none is in the time that stores may round.
func (m *modelTest) compare() {
	var live []mcpsession.ID
	for _, r := range m.sessions {
		m.gets(m.stores[0], r)
		if r.revision > 0 {
			live = append(live, r.id)
		}
	}
	for _, store := range m.stores {
		m.live(store, live...)
	}
}

func (m *modelTest) number() json.RawMessage {
	return json.RawMessage(strconv.Itoa(m.rand.IntN(1_000_000)))
}
