package redisstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
)

// redisError is an error that the server replied with.
type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

var _ redis.Error = redisError("")

func TestOldServersAreRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		info map[string]string
		want string // in the error; empty if the server will do
	}{
		{"Redis 7.0", map[string]string{"redis_version": "7.0.0"}, ""},
		{"Redis 7.0.15", map[string]string{"redis_version": "7.0.15", "redis_mode": "standalone"}, ""},
		{"Redis 7.4", map[string]string{"redis_version": "7.4.1"}, ""},
		{"Redis 8", map[string]string{"redis_version": "8.0.2"}, ""},
		{"Redis 10", map[string]string{"redis_version": "10.0.0"}, ""},
		{"Redis 6.2", map[string]string{"redis_version": "6.2.14"}, "Redis 6.2.14 is too old: 7.0"},
		{"Redis 6.10", map[string]string{"redis_version": "6.10.1"}, "too old"},
		{"Redis 5", map[string]string{"redis_version": "5.0.7"}, "too old"},
		{"Redis 2.8", map[string]string{"redis_version": "2.8.24"}, "too old"},
		{"a preview of Redis 6", map[string]string{"redis_version": "6.9.240"}, "too old"},
		// Valkey tells the Redis version it is compatible with, too.
		{"Valkey 7.2", map[string]string{"server_name": "valkey", "redis_version": "7.2.4", "valkey_version": "7.2.5"}, ""},
		{"Valkey 8", map[string]string{"server_name": "valkey", "redis_version": "7.2.4", "valkey_version": "8.1.0"}, ""},
		{"Valkey 7.1", map[string]string{"server_name": "valkey", "redis_version": "7.2.4", "valkey_version": "7.1.0"}, "Valkey 7.1.0 is too old: 7.2"},
		{"one that does not tell", map[string]string{}, ""},
		{"one that tells nonsense", map[string]string{"redis_version": "latest"}, ""},
		{"one that tells letters", map[string]string{"redis_version": "v1.x.y"}, ""},
		{"one that tells a number", map[string]string{"redis_version": "6"}, ""},
	} {
		err := checkVersion(test.info)
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want %q", test.name, err, test.want)
		}
	}
}

func TestParseInfoReadsNamesAndValues(t *testing.T) {
	got := parseInfo("# Server\r\nredis_version:7.0.15\r\nos:Linux 6.1\r\nexecutable:/a:b\r\n\r\n# Memory\nmaxmemory_policy:allkeys-lru\nempty:\r\nno colon")
	want := map[string]string{
		"redis_version": "7.0.15", "os": "Linux 6.1", "executable": "/a:b",
		"maxmemory_policy": "allkeys-lru", "empty": "",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}

func TestOnlyRefusalsEndTheWaiting(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{redisError("NOAUTH Authentication required."), true},
		{redisError("WRONGPASS invalid username-password pair or user is disabled."), true},
		{redisError("NOPERM this user has no permissions to run the 'ping' command"), true},
		{redisError("ERR AUTH <password> called without any password configured for the default user"), true},
		{redisError("ERR DB index is out of range"), true},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, true},
		{&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Name: "redis-tls", Err: "no such host", IsNotFound: true}}, false},
		{redisError("ERR max number of clients reached"), false},
		{fmt.Errorf("dial: %w", redisError("WRONGPASS")), true},
		{redisError("LOADING Redis is loading the dataset in memory"), false},
		{redisError("MASTERDOWN Link with MASTER is down"), false},
		{redisError("BUSY Redis is busy running a script"), false},
		{io.EOF, false},
		{context.DeadlineExceeded, false},
		{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: connection refused")}, false},
		{&net.DNSError{Err: "no such host", Name: "redis", IsNotFound: true}, false},
	} {
		if got := isRefusal(test.err); got != test.want {
			t.Errorf("%v is a refusal: %t, want %t", test.err, got, test.want)
		}
	}
}

func TestStorageErrorsAreThoseOfTheContract(t *testing.T) {
	for _, test := range []struct{ err, want error }{
		{io.EOF, mcpsession.ErrUnavailable},
		{context.Canceled, context.Canceled},
		{fmt.Errorf("dial: %w", context.Canceled), context.Canceled},
		{context.DeadlineExceeded, mcpsession.ErrUnavailable},
		{redis.ErrClosed, mcpsession.ErrUnavailable},
		{redisError("READONLY You can't write against a read only replica."), mcpsession.ErrUnavailable},
		{redisError("OOM command not allowed when used memory > 'maxmemory'."), mcpsession.ErrFull},
	} {
		err := storageError(test.err)
		if !errors.Is(err, test.want) || !errors.Is(err, test.err) {
			t.Errorf("%v becomes %v, want %v that wraps it", test.err, err, test.want)
		}
		for _, not := range []error{mcpsession.ErrNotFound, mcpsession.ErrFull, mcpsession.ErrUnavailable} {
			if not != test.want && errors.Is(err, not) {
				t.Errorf("%v becomes %v too: %v", test.err, not, err)
			}
		}
	}
}

func TestAddressNamesTheServerWithoutCredentials(t *testing.T) {
	single := redis.NewClient(&redis.Options{Addr: "redis.example:6380", Username: "user", Password: "hunter2"})
	defer single.Close()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"a:1", "b:2"}, Password: "hunter2"})
	defer cluster.Close()
	for client, want := range map[redis.UniversalClient]string{single: "redis.example:6380", cluster: "a:1,b:2"} {
		if got := address(client); got != want {
			t.Errorf("the address is %q, want %q", got, want)
		}
	}
}

// redis6 answers INFO as servers before 7.0 do: one section at most, and their
// version.
type redis6 struct{}

func (redis6) DialHook(next redis.DialHook) redis.DialHook { return next }

func (redis6) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (redis6) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		info, ok := cmd.(*redis.StringCmd)
		if !ok || cmd.Name() != "info" {
			return next(ctx, cmd)
		}
		if len(cmd.Args()) > 2 {
			cmd.SetErr(redisError("ERR syntax error"))
			return cmd.Err()
		}
		info.SetVal("redis_version:6.2.14\r\n")
		return nil
	}
}

func TestRedis6IsRefused(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	defer client.Close()
	client.AddHook(redis6{})
	_, err := New(t.Context(), client, Options{Limits: mcpsession.DefaultLimits()})
	if err == nil || !strings.Contains(err.Error(), "6.2.14 is too old") {
		t.Errorf("error is %v", err)
	}
}

func TestAHeaderThatTheScriptsCannotReadOpensNothing(t *testing.T) {
	m := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer client.Close()
	s, err := New(t.Context(), client, Options{Limits: mcpsession.DefaultLimits()})
	if err != nil {
		t.Fatal(err)
	}
	id := mcpsession.NewSessionID()
	if _, err := s.Create(t.Context(), id, mcpsession.Session{}); err != nil {
		t.Fatal(err)
	}
	key := s.keys.session(id.Ref())
	value, err := m.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(value, "1 1 ", "1 +1 ", 1) // which Go reads all the same
	if err := m.Set(key, damaged); err != nil {
		t.Fatal(err)
	}
	s.touched.forget(id.Ref())
	forged, err := mcpsession.ParseSessionID(id.Token()[:23] + mcpsession.NewSessionID().Token()[23:])
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []mcpsession.ID{id, forged} {
		if _, err := s.Get(t.Context(), id); !errors.Is(err, errCorrupt) {
			t.Errorf("Get: %v", err)
		}
		if _, err := s.Update(t.Context(), id, func(*mcpsession.Session) error { return nil }); !errors.Is(err, errCorrupt) {
			t.Errorf("Update: %v", err)
		}
	}
}
