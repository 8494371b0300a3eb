package redisstore_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/redis/go-redis/v9"
)

func defaults() redisstore.Options {
	return redisstore.Options{Limits: mcpsession.DefaultLimits()}
}

// nobody is an address at which nothing listens.
const nobody = "127.0.0.1:1"

// refuses checks that Open fails with all of the given texts in its error.
func refuses(t *testing.T, ctx context.Context, url string, o redisstore.Options, texts ...string) error {
	t.Helper()
	store, err := redisstore.Open(ctx, url, o)
	if err == nil {
		store.Close()
		t.Errorf("Open succeeded, want an error with %q", texts)
		return errors.New("none")
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error does not say %q: %v", text, err)
		}
	}
	return err
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestOpenRefusesAMalformedURL(t *testing.T) {
	for _, url := range []string{
		"", " ", "localhost", "127.0.0.1:6379", ":6379", "//host:6379", "http://host", "REDIS_URL",
		"redis://host:port", "redis://[::1", "redis://host/database", "redis://host/0/1", "redis://host?nonsense=1",
		"redis://ho st", "redis://host\n", "redis://%zz",
	} {
		refuses(t, t.Context(), url, defaults(), "URL is malformed", "redis://[[user]:password@]host[:port]")
	}
}

func TestOpenNeverShowsThePassword(t *testing.T) {
	for _, odd := range []string{"", "@", ":", "/", "#", "?", "%", "%zz", "%41", " ", "\"", "'", "\\", "[", "]", "{", "&a=", "ü", "\n", "\x00", "@:/", "://"} {
		password := "hunter" + odd + "secret42"
		for name, target := range map[string]string{
			"as it is":               "redis://user:" + password + "@" + nobody,
			"without a user":         "redis://:" + password + "@" + nobody,
			"in a wrong place":       "redis://" + password + "@" + nobody,
			"as the database":        "redis://" + nobody + "/" + password,
			"as an option":           "redis://" + nobody + "?password=" + password,
			"encoded":                (&url.URL{Scheme: "redis", User: url.UserPassword("user", password), Host: nobody}).String(),
			"with TLS":               (&url.URL{Scheme: "rediss", User: url.UserPassword("user", password), Host: nobody}).String(),
			"of another form":        "redis:" + password,
			"that looks like a port": "redis://user:4711" + odd + password + "@" + nobody,
		} {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var log bytes.Buffer
			o := defaults()
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			text := refuses(t, ctx, target, o).Error() + log.String()
			if strings.Contains(text, "hunter") || strings.Contains(text, "4711") || strings.Contains(text, "secret42") {
				t.Errorf("a password with %q, %s, shows in %s", odd, name, text)
			}
		}
	}
}

func TestOpenGivesUpOnAServerOutOfReachWhenTheContextEnds(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, addr := range map[string]string{"nobody listens": nobody, "nobody answers": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			o := defaults()
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			ctx := soon(t)
			err := refuses(t, ctx, "redis://user:hunter2@"+addr+"/0", o, addr)
			if ctx.Err() == nil {
				t.Errorf("Open gave up before its context ended: %v", err)
			}
			if deadline, _ := ctx.Deadline(); time.Since(deadline) > time.Second {
				t.Errorf("Open returned %v after its context ended", time.Since(deadline))
			}
			if !errors.Is(err, mcpsession.ErrUnavailable) {
				t.Errorf("error is %v, want ErrUnavailable", err)
			}
			if text := err.Error() + log.String(); strings.Contains(text, "hunter2") {
				t.Errorf("the password shows in %s", text)
			}
			if !strings.Contains(log.String(), addr) {
				t.Errorf("the log does not say what Open waits for: %s", log.String())
			}
		})
	}
}

// onRecord is a log that tells when it is written to.
type onRecord struct {
	slog.Handler
	do func(slog.Record)
}

func (h onRecord) Handle(ctx context.Context, r slog.Record) error {
	h.do(r)
	return h.Handler.Handle(ctx, r)
}

func listening(do func(slog.Record)) *slog.Logger {
	return slog.New(onRecord{slog.NewTextHandler(new(bytes.Buffer), nil), do})
}

func TestOpenWaitsForAServerThatIsLoading(t *testing.T) {
	m := miniredis.RunT(t)
	m.SetError("LOADING Redis is loading the dataset in memory")
	waited := 0
	o := defaults()
	o.Logger = listening(func(r slog.Record) {
		if strings.Contains(r.Message, "not reachable yet") {
			waited++
			m.SetError("")
		}
	})
	store, err := redisstore.Open(t.Context(), "redis://"+m.Addr(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if waited != 1 {
		t.Errorf("Open waited %d times, want once", waited)
	}
}

func TestOpenIsRefusedAtOnceWithoutTheRightCredentials(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireUserAuth("user", "right")
	m.RequireAuth("right")
	o := defaults()
	o.Logger = listening(func(r slog.Record) {
		if strings.Contains(r.Message, "not reachable yet") {
			t.Error("Open waited for a server that had refused it")
		}
	})
	for name, credentials := range map[string]string{
		"no password":          "",
		"wrong password":       ":hunter2@",
		"wrong user":           "nobody:hunter2@",
		"user, no password":    "user@",
		"user, wrong password": "user:hunter2@",
	} {
		err := refuses(t, t.Context(), "redis://"+credentials+m.Addr(), o, m.Addr(), "refused")
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password shows in %v", name, err)
		}
		if errors.Is(err, mcpsession.ErrUnavailable) {
			t.Errorf("%s: error is %v, as if retrying would help", name, err)
		}
	}
	for _, credentials := range []string{":right@", "user:right@"} {
		store, err := redisstore.Open(t.Context(), "redis://"+credentials+m.Addr(), defaults())
		if err != nil {
			t.Errorf("with the right credentials: %v", err)
			continue
		}
		store.Close()
	}
}

func TestAnEncodedPasswordIsDecoded(t *testing.T) {
	const password = "p@ss:w/ord#%?& ü\"\\"
	m := miniredis.RunT(t)
	m.RequireAuth(password)
	target := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: m.Addr()}
	store, err := redisstore.Open(t.Context(), target.String(), defaults())
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
}

func TestTLS(t *testing.T) {
	authority := httptest.NewTLSServer(nil) // for its certificate
	defer authority.Close()
	m := miniredis.NewMiniRedis()
	if err := m.StartTLS(&tls.Config{Certificates: authority.TLS.Certificates}); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	trusting := defaults()
	trusting.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	trusting.TLS.RootCAs.AddCert(authority.Certificate())

	store, err := redisstore.Open(t.Context(), "rediss://"+m.Addr(), trusting)
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	if trusting.TLS.ServerName != "" {
		t.Error("Open changed the caller's TLS settings")
	}

	refuses(t, t.Context(), "rediss://"+m.Addr(), defaults(), m.Addr(), "refused", "certificate")
	other := trusting
	other.TLS = trusting.TLS.Clone()
	other.TLS.ServerName = "redis.example"
	refuses(t, t.Context(), "rediss://"+m.Addr(), other, "refused", "redis.example")

	plain := miniredis.RunT(t)
	refuses(t, t.Context(), "redis://:hunter2@"+plain.Addr(), trusting, plain.Addr(), "TLS", "rediss://")
	if n := plain.TotalConnectionCount(); n != 0 {
		t.Errorf("TLS settings with a redis:// URL: %d connections were made in the clear", n)
	}
}

func TestOptionsOutOfRangeAreRefusedBeforeConnecting(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	for _, test := range []struct {
		name   string
		change func(*redisstore.Options)
		want   []string
	}{
		{"no limits", func(o *redisstore.Options) { o.Limits = mcpsession.Limits{} }, []string{"idle timeout"}},
		{"a bad lifetime", func(o *redisstore.Options) { o.Limits.MaxLifetime = 1 }, []string{"maximum lifetime"}},
		{"a bad size", func(o *redisstore.Options) { o.Limits.MaxSize = -1 }, []string{"session size"}},
		{"a hash tag in the prefix", func(o *redisstore.Options) { o.Prefix = "{a}" }, []string{`"{a}"`}},
		{"a long prefix", func(o *redisstore.Options) { o.Prefix = strings.Repeat("x", 65) }, []string{"1 to 64"}},
		{"both", func(o *redisstore.Options) { o.Prefix, o.Limits.MaxSize = "a b", 0 }, []string{`"a b"`, "session size"}},
	} {
		o := defaults()
		test.change(&o)
		refuses(t, t.Context(), "redis://"+m.Addr(), o, test.want...)
		if store, err := redisstore.New(t.Context(), client, o); err == nil || store != nil {
			t.Errorf("%s: New returned %v, %v", test.name, store, err)
		}
	}
	if n := m.TotalConnectionCount(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestAPoolOfNoConnectionsIsRefused(t *testing.T) {
	_, err := redisstore.Open(t.Context(), "redis://127.0.0.1:6379", redisstore.Options{Limits: mcpsession.DefaultLimits(), PoolSize: -1})
	if err == nil || !strings.Contains(err.Error(), "-1 connections") {
		t.Errorf("error is %v", err)
	}
}
