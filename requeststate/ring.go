package requeststate

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mcpsession/mcpsession"
)

// ring are the keys of the fleet.
type ring interface {
	newest(ctx context.Context) (sealingKey, error)
	named(ctx context.Context, n [nameLen]byte) (key sealingKey, ok bool, err error)
}

// fixedRing are keys that the operator gave.
type fixedRing []sealingKey

func newFixedRing(keys []Key) fixedRing {
	r := make(fixedRing, len(keys))
	for i, key := range keys {
		r[i] = key.prepare()
	}
	return r
}

func (r fixedRing) newest(context.Context) (sealingKey, error) { return r[0], nil }

func (r fixedRing) named(_ context.Context, n [nameLen]byte) (sealingKey, bool, error) {
	for _, key := range r {
		if key.name == n {
			return key, true, nil
		}
	}
	return sealingKey{}, false, nil
}

// sharedRing is one key that the broker keeps, made by whoever needs it first.
// Each use makes sure that it is kept for as long as what it seals can be opened;
// when nothing was sealed for longer than that, it ends, and the next is another.
// No caller waits for another's answer of the broker longer than its context.
type sharedRing struct {
	broker mcpsession.Broker
	cell   mcpsession.Key
	expiry time.Duration

	current atomic.Pointer[sharedKey]
	turn    chan struct{} // to renew it; one has it at a time
}

// sharedKey is a key as the cell holds it.
type sharedKey struct {
	sealingKey
	value   []byte
	renewed time.Time // when the cell was last known to live three expiries more
}

func newSharedRing(broker mcpsession.Broker, expiry time.Duration) *sharedRing {
	return &sharedRing{
		broker: broker,
		// Those who keep it for other times have another.
		cell:   mcpsession.Key{Name: fmt.Sprintf("request-state-key:%d", expiry.Milliseconds())},
		expiry: expiry,
		turn:   make(chan struct{}, 1),
	}
}

// fresh is the key if it may seal: what is sealed until one expiry after it was
// renewed can be opened until two expiries after.
func (r *sharedRing) fresh() (sealingKey, bool) {
	if k := r.current.Load(); k != nil && time.Since(k.renewed) < r.expiry {
		return k.sealingKey, true
	}
	return sealingKey{}, false
}

func (r *sharedRing) newest(ctx context.Context) (sealingKey, error) {
	if key, ok := r.fresh(); ok {
		return key, nil
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return sealingKey{}, ctx.Err()
	}
	if key, ok := r.fresh(); ok { // somebody was faster
		return key, nil
	}
	return r.renew(ctx)
}

// named asks the broker only for a key that this process does not have.
func (r *sharedRing) named(ctx context.Context, n [nameLen]byte) (sealingKey, bool, error) {
	if k := r.current.Load(); k != nil && k.name == n {
		return k.sealingKey, true, nil
	}
	value, err := r.broker.Swap(ctx, r.cell, nil, nil, 0)
	if err != nil || len(value) != KeyLen {
		return sealingKey{}, false, err
	}
	key := Key(value).prepare()
	return key, key.name == n, nil
}

// renew reads the key and has it kept for three expiries more, or makes one.
func (r *sharedRing) renew(ctx context.Context) (sealingKey, error) {
	began := time.Now()
	var old, next []byte
	if k := r.current.Load(); k != nil {
		old, next = k.value, k.value
	}
	for range 10 { // each time, others were faster
		if next == nil {
			next = make([]byte, KeyLen)
			rand.Read(next)
		}
		now, err := r.broker.Swap(ctx, r.cell, old, next, 3*r.expiry)
		switch {
		case err != nil:
			return sealingKey{}, err
		case now == nil: // it ended
			old, next = nil, nil
		case len(now) != KeyLen:
			return sealingKey{}, fmt.Errorf("%w: the shared key is damaged", mcpsession.ErrUnavailable)
		case string(now) == string(next): // nobody else makes the same
			k := &sharedKey{Key(now).prepare(), now, began}
			r.current.Store(k)
			return k.sealingKey, nil
		default:
			old, next = now, now
		}
	}
	return sealingKey{}, fmt.Errorf("%w: the shared key changes all the time", mcpsession.ErrConflict)
}
