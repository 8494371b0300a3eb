package server

import (
	"context"
	"sync"
	"time"

	"github.com/mcpsession/mcpsession"
)

const (
	// graceAfterOutage is for how long a replica has to be missed, since one that
	// runs can be for a moment after an outage of the storage.
	graceAfterOutage = 3 * time.Second

	// askAgain is the longest pause between two looks that count as one absence.
	askAgain = 2 * recheck
)

// peers knows which other replicas died.
type peers struct {
	broker mcpsession.Broker

	mu     sync.Mutex
	missed map[string]absence
}

type absence struct{ since, last time.Time }

// died reports whether a replica has certainly ended. Ask again every recheck; an
// error says nothing.
func (p *peers) died(ctx context.Context, replica string) (bool, error) {
	alive, err := p.broker.Alive(ctx, replica)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if alive {
		delete(p.missed, replica)
		return false, nil
	}
	now := time.Now()
	a, ok := p.missed[replica]
	if !ok || now.Sub(a.last) > askAgain {
		a.since = now
	}
	a.last = now
	if p.missed == nil {
		p.missed = make(map[string]absence)
	}
	p.missed[replica] = a
	for other, a := range p.missed { // nobody asks for them any more
		if now.Sub(a.last) > time.Hour {
			delete(p.missed, other)
		}
	}
	return now.Sub(a.since) >= graceAfterOutage, nil
}
