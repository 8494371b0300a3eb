package redisstore

import (
	"sync"
	"testing"
)

func TestAWriterNameHasOneHolderAtATime(t *testing.T) {
	var w writers
	var mu sync.Mutex
	held := make(map[string]bool)
	all := make(map[string]bool)
	const holders = 16
	var wg sync.WaitGroup
	for range holders {
		wg.Go(func() {
			for range 500 {
				taken, done := w.take()
				mu.Lock()
				if held[taken.name] {
					t.Errorf("%s has two holders", taken.name)
				}
				held[taken.name], all[taken.name] = true, true
				mu.Unlock()

				mu.Lock()
				delete(held, taken.name)
				mu.Unlock()
				done()
			}
		})
	}
	wg.Wait()
	if len(all) > holders {
		t.Errorf("%d holders at a time used %d names", holders, len(all))
	}
}

func TestAWriterNameIsReusedAfterwards(t *testing.T) {
	var w writers
	first, firstDone := w.take()
	second, secondDone := w.take()
	if first.name == second.name || len(first.name) != 13 {
		t.Fatalf("the names are %q and %q", first.name, second.name)
	}
	firstDone()
	if again, done := w.take(); again.name != first.name {
		t.Errorf("a new name was made while %s was free", first.name)
	} else {
		done()
	}
	secondDone()
	// The last one given back comes first, so that few names are in use.
	for range 10 {
		again, done := w.take()
		if again.name != second.name {
			t.Errorf("took %s, want %s again", again.name, second.name)
		}
		done()
	}
}

func TestARetiredWriterNameIsNeverReused(t *testing.T) {
	var w writers
	retired := make(map[string]bool)
	for range 100 {
		taken, done := w.take()
		if retired[taken.name] {
			t.Fatalf("%s is used again", taken.name)
		}
		taken.retire()
		retired[taken.name] = true
		done()
	}
}
