package requeststate_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/requeststate"
)

type progress struct {
	Step int
	Name string
}

func newBroker(t *testing.T) *memstore.Broker {
	b := memstore.NewBroker()
	t.Cleanup(func() { b.Close() })
	return b
}

func newSealer(t *testing.T, b mcpsession.Broker, o requeststate.Options) *requeststate.Sealer {
	t.Helper()
	s, err := requeststate.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func key(b byte) requeststate.Key { return requeststate.Key{b, 31: b} }

// call is a tools/call as a client sends it.
func call(t *testing.T, name, arguments string) mcp.CallToolRequest {
	t.Helper()
	var r mcp.CallToolRequest
	text := fmt.Sprintf(`{"method":"tools/call","params":{"name":%q,"arguments":%s}}`, name, arguments)
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func with(r mcp.CallToolRequest, state string) mcp.CallToolRequest {
	r.Params.RequestState = state
	return r
}

func seal(t *testing.T, s *requeststate.Sealer, request any) string {
	t.Helper()
	token, err := s.Seal(t.Context(), request, progress{2, "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantOpen(t *testing.T, ctx context.Context, s *requeststate.Sealer, request any) {
	t.Helper()
	var got progress
	if ok, err := s.Open(ctx, request, &got); !ok || err != nil || got != (progress{2, "Ada"}) {
		t.Errorf("the state is opened as %+v: %v, %v", got, ok, err)
	}
}

func wantRefused(t *testing.T, ctx context.Context, s *requeststate.Sealer, request any, what string) {
	t.Helper()
	var got progress
	if ok, err := s.Open(ctx, request, &got); ok || !errors.Is(err, requeststate.ErrRefused) || got != (progress{}) {
		t.Errorf("%s is opened as %+v: %v, %v; want ErrRefused", what, got, ok, err)
	}
}

func TestAStateOpensForItsRequestOnEveryReplica(t *testing.T) {
	broker := newBroker(t)
	for name, o := range map[string]requeststate.Options{
		"a key of the operator's":   {Keys: []requeststate.Key{key(1)}},
		"a key that the broker has": {},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newSealer(t, broker, o), newSealer(t, broker, o)
			r := call(t, "deploy", `{"to":"prod","n":1}`)
			if ok, err := b.Open(t.Context(), r, new(progress)); ok || err != nil {
				t.Errorf("a first request has a state: %v, %v", ok, err)
			}
			token := seal(t, a, r)
			wantOpen(t, t.Context(), b, with(r, token))
			wantOpen(t, t.Context(), a, with(r, token))
			wantOpen(t, t.Context(), b, with(call(t, "deploy", `{ "n": 1, "to": "prod" }`), token))
			if strings.Contains(token, "Ada") || strings.ContainsAny(token, "+/= ") {
				t.Errorf("the state is %q: not sealed, or not safe in text", token)
			}
			if again := seal(t, a, r); again == token {
				t.Error("the same state is sealed the same twice")
			}
		})
	}
}

func TestAStateOpensForNothingElse(t *testing.T) {
	s := newSealer(t, newBroker(t), requeststate.Options{Keys: []requeststate.Key{key(1)}})
	other := newSealer(t, newBroker(t), requeststate.Options{Keys: []requeststate.Key{key(2)}})
	r := call(t, "deploy", `{"to":"prod","n":9007199254740992}`)
	ctx := mcpsession.WithPrincipal(t.Context(), "ada")
	token, err := s.Seal(ctx, r, progress{2, "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	wantOpen(t, ctx, s, with(r, token))
	wantRefused(t, t.Context(), s, with(r, token), "nobody's")
	wantRefused(t, mcpsession.WithPrincipal(t.Context(), "bob"), s, with(r, token), "another principal's")
	wantRefused(t, ctx, other, with(r, token), "that of another key")
	for _, request := range []mcp.CallToolRequest{
		call(t, "destroy", `{"to":"prod","n":9007199254740992}`),
		call(t, "deploy", `{"to":"test","n":9007199254740992}`),
		call(t, "deploy", `{"to":"prod","n":9007199254740993}`),
		call(t, "deploy", `{"to":"prod","n":9007199254740992,"more":true}`),
		call(t, "deploy", `{}`),
	} {
		wantRefused(t, ctx, s, with(request, token), "that of another request")
	}
	var prompt mcp.GetPromptRequest
	prompt.Params.Name, prompt.Params.RequestState = "deploy", token
	wantRefused(t, ctx, s, prompt, "that of another method")
	if _, err := s.Open(ctx, mcp.PingRequest{}, new(progress)); err == nil || errors.Is(err, requeststate.ErrRefused) {
		t.Errorf("a request that cannot have a state is %v", err)
	}
}

func TestAStateOfNoArgumentsIsThatOfEmptyOnes(t *testing.T) {
	s := newSealer(t, newBroker(t), requeststate.Options{})
	var bare mcp.CallToolRequest
	bare.Params.Name = "deploy"
	wantOpen(t, t.Context(), s, with(call(t, "deploy", `{}`), seal(t, s, bare)))
}

func TestPromptsAndResourcesHaveStatesToo(t *testing.T) {
	s := newSealer(t, newBroker(t), requeststate.Options{})
	var prompt mcp.GetPromptRequest
	prompt.Params.Name, prompt.Params.Arguments = "p", map[string]string{"a": "1"}
	var resource mcp.ReadResourceRequest
	resource.Params.URI = "test://a"
	var bare, empty mcp.GetPromptRequest
	empty.Params.Arguments = map[string]string{}
	empty.Params.RequestState = seal(t, s, bare)
	wantOpen(t, t.Context(), s, empty)
	prompt.Params.RequestState = seal(t, s, prompt)
	resource.Params.RequestState = seal(t, s, resource)
	wantOpen(t, t.Context(), s, prompt)
	wantOpen(t, t.Context(), s, resource)
	prompt.Params.Arguments = map[string]string{"a": "2"}
	resource.Params.URI = "test://b"
	wantRefused(t, t.Context(), s, prompt, "another prompt's")
	wantRefused(t, t.Context(), s, resource, "another resource's")
}

func TestAChangeAnywhereInAStateIsRefused(t *testing.T) {
	s := newSealer(t, newBroker(t), requeststate.Options{Keys: []requeststate.Key{key(1)}})
	r := call(t, "deploy", `{}`)
	token := seal(t, s, r)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		wantRefused(t, t.Context(), s, with(r, base64.RawURLEncoding.EncodeToString(changed)), fmt.Sprintf("a state with byte %d changed", i))
		if i > 0 {
			wantRefused(t, t.Context(), s, with(r, base64.RawURLEncoding.EncodeToString(raw[:i])), fmt.Sprintf("the first %d bytes of a state", i))
		}
	}
	for _, text := range []string{" ", "x", "null", token + "A", token + "=", strings.Repeat("A", 100_000)} {
		wantRefused(t, t.Context(), s, with(r, text), text[:1]+"...")
	}
}

func TestAStateExpires(t *testing.T) {
	for name, o := range map[string]requeststate.Options{
		"10 minutes if nothing is said": {},
		"when it is told to":            {Expiry: 2 * time.Second},
		"with keys of the operator's":   {Expiry: 2 * time.Second, Keys: []requeststate.Key{key(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker := newBroker(t)
				s, other := newSealer(t, broker, o), newSealer(t, broker, o)
				r := call(t, "deploy", `{}`)
				expiry := o.Expiry
				if expiry == 0 {
					expiry = 10 * time.Minute
				}
				for range 5 { // also when the key is about to end, or is another already
					token := seal(t, s, r)
					time.Sleep(expiry - time.Millisecond)
					wantOpen(t, t.Context(), s, with(r, token))
					wantOpen(t, t.Context(), other, with(r, token))
					time.Sleep(time.Millisecond)
					wantRefused(t, t.Context(), s, with(r, token), "an expired state")
					time.Sleep(5 * expiry / 2)
				}
			})
		})
	}
}

func TestOfAllWhoUseAStateOnceOneSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newBroker(t)
		r := call(t, "deploy", `{}`)
		token := seal(t, newSealer(t, broker, requeststate.Options{}), r)
		var succeeded atomic.Int32
		var all sync.WaitGroup
		for range 20 {
			s := newSealer(t, broker, requeststate.Options{})
			all.Go(func() {
				var got progress
				ok, err := s.OpenOnce(t.Context(), with(r, token), &got)
				switch {
				case ok && err == nil && got.Name == "Ada":
					succeeded.Add(1)
				case !errors.Is(err, requeststate.ErrRefused):
					t.Errorf("a state used again is %v, %v", ok, err)
				}
			})
		}
		all.Wait()
		if n := succeeded.Load(); n != 1 {
			t.Errorf("%d used the state, want one", n)
		}
		s := newSealer(t, broker, requeststate.Options{})
		time.Sleep(requeststate.DefaultExpiry - time.Second) // as late as can be
		var got progress
		if ok, err := s.OpenOnce(t.Context(), with(r, token), &got); ok || !errors.Is(err, requeststate.ErrRefused) || got != (progress{}) {
			t.Errorf("a state used again later is %v, %v, and %+v", ok, err, got)
		}
		if ok, err := s.OpenOnce(t.Context(), r, new(progress)); ok || err != nil {
			t.Errorf("a first request has a state: %v, %v", ok, err)
		}
	})
}

func TestKeysRotateWithoutDowntime(t *testing.T) {
	broker := newBroker(t)
	with2 := func(first, second byte) *requeststate.Sealer {
		return newSealer(t, broker, requeststate.Options{Keys: []requeststate.Key{key(first), key(second)}})
	}
	r := call(t, "deploy", `{}`)
	steps := []*requeststate.Sealer{
		newSealer(t, broker, requeststate.Options{Keys: []requeststate.Key{key(1)}}),
		with2(1, 2), // the new key opens everywhere before it seals anywhere
		with2(2, 1),
		newSealer(t, broker, requeststate.Options{Keys: []requeststate.Key{key(2)}}),
	}
	for i := range len(steps) - 1 { // replicas of two steps run side by side
		before, after := steps[i], steps[i+1]
		wantOpen(t, t.Context(), after, with(r, seal(t, before, r)))
		wantOpen(t, t.Context(), before, with(r, seal(t, after, r)))
	}
	wantRefused(t, t.Context(), steps[3], with(r, seal(t, steps[0], r)), "a state of a key that was removed")
}

// As while a release is rolled out that changes it.
func TestSealersOfDifferentExpiriesDoNotHarmEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := newBroker(t)
		r := call(t, "deploy", `{}`)
		keys := []requeststate.Key{key(1)}
		long, brief := requeststate.Options{Expiry: time.Hour, Keys: keys}, requeststate.Options{Expiry: time.Second, Keys: keys}
		token := seal(t, newSealer(t, broker, long), r)
		for i := range 5 { // used once, also where the expiry is another
			ok, err := newSealer(t, broker, brief).OpenOnce(t.Context(), with(r, token), new(progress))
			if ok != (i == 0) || i > 0 && !errors.Is(err, requeststate.ErrRefused) {
				t.Errorf("use %d is %v, %v", i, ok, err)
			}
			time.Sleep(5 * time.Second)
		}
		long.Keys, brief.Keys = nil, nil // and with keys that the broker keeps
		one, other := newSealer(t, broker, long), newSealer(t, broker, long)
		token = seal(t, one, r)
		seal(t, newSealer(t, broker, brief), r)
		time.Sleep(59 * time.Minute)
		wantOpen(t, t.Context(), other, with(r, token))
		wantOpen(t, t.Context(), newSealer(t, broker, long), with(r, seal(t, one, r)))
	})
}

// slow is a broker that takes its time.
type slow struct{ mcpsession.Broker }

func (b slow) Swap(ctx context.Context, cell mcpsession.Key, old, next []byte, ttl time.Duration) ([]byte, error) {
	select {
	case <-time.After(time.Minute):
		return b.Broker.Swap(ctx, cell, old, next, ttl)
	case <-ctx.Done():
		return nil, fmt.Errorf("swap: %w: %w", mcpsession.ErrUnavailable, ctx.Err())
	}
}

func TestNobodyWaitsForForgedStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSealer(t, slow{newBroker(t)}, requeststate.Options{})
		r := call(t, "deploy", `{}`)
		token := seal(t, s, r) // has the key now
		forged := []byte(token)
		forged[3] ^= 1 // in the name of the key
		for range 10 {
			go s.Open(t.Context(), with(r, string(forged)), new(progress))
		}
		synctest.Wait()
		began := time.Now()
		wantOpen(t, t.Context(), s, with(r, token))
		if took := time.Since(began); took > 0 {
			t.Errorf("opening a state whose key is known took %v", took)
		}
		time.Sleep(11 * time.Minute) // the key has to be renewed
		for range 10 {
			go s.Seal(t.Context(), r, 1)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Seal(ctx, r, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("sealing with a deadline is %v", err)
		}
		if took := time.Since(began); took > 11*time.Minute+2*time.Second {
			t.Errorf("it took %v", took-11*time.Minute)
		}
		time.Sleep(2 * time.Minute) // the others end
	})
}

// lost is a broker out of reach.
type lost struct{ mcpsession.Broker }

func (lost) Swap(context.Context, mcpsession.Key, []byte, []byte, time.Duration) ([]byte, error) {
	return nil, fmt.Errorf("swap: %w", mcpsession.ErrUnavailable)
}

func TestAnOutageIsNotARefusal(t *testing.T) {
	broker := newBroker(t)
	good := newSealer(t, broker, requeststate.Options{})
	fixed := newSealer(t, lost{broker}, requeststate.Options{Keys: []requeststate.Key{key(1)}})
	shared := newSealer(t, lost{broker}, requeststate.Options{})
	r := call(t, "deploy", `{}`)
	token := seal(t, good, r)
	if _, err := shared.Seal(t.Context(), r, 1); !errors.Is(err, mcpsession.ErrUnavailable) {
		t.Errorf("sealing in an outage is %v", err)
	}
	if _, err := shared.Open(t.Context(), with(r, token), new(progress)); !errors.Is(err, mcpsession.ErrUnavailable) || errors.Is(err, requeststate.ErrRefused) {
		t.Errorf("opening in an outage is %v", err)
	}
	token = seal(t, fixed, r)
	wantOpen(t, t.Context(), fixed, with(r, token))
	if _, err := fixed.OpenOnce(t.Context(), with(r, token), new(progress)); !errors.Is(err, mcpsession.ErrUnavailable) || errors.Is(err, requeststate.ErrRefused) {
		t.Errorf("using a state once in an outage is %v", err)
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	if _, err := requeststate.New(nil, requeststate.Options{}); err == nil {
		t.Error("New accepts no broker")
	}
	if _, err := requeststate.New(newBroker(t), requeststate.Options{Expiry: -time.Second}); err == nil {
		t.Error("New accepts a negative expiry")
	}
}

func TestKeysAreParsedAndNeverShown(t *testing.T) {
	one := strings.Repeat("A", 43) + "="
	two := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	keys, err := requeststate.ParseKeys(one + ", " + two)
	if err != nil || len(keys) != 2 || keys[0] != (requeststate.Key{}) || keys[1][0] != 'k' {
		t.Errorf("two keys are parsed as %d: %v", len(keys), err)
	}
	for _, shown := range []string{fmt.Sprint(keys), fmt.Sprintf("%v %+v %#v %s", keys[1], keys, keys, keys[1])} {
		if strings.Contains(shown, "kkk") || strings.Contains(shown, "107") {
			t.Errorf("keys are printed as %s", shown)
		}
	}
	for _, text := range []string{"", ",", one + ",", "secret!", strings.Repeat("S", 42), one + "," + strings.Repeat("S", 60)} {
		if _, err := requeststate.ParseKeys(text); err == nil || strings.Contains(err.Error(), "SSS") || strings.Contains(err.Error(), "secret!") {
			t.Errorf("%q is parsed with the error %v", text, err)
		}
	}
}
