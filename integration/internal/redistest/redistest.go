// Package redistest runs a real redis-server for a test, and breaks it.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/proc"
	"github.com/mcpsession/mcpsession/integration/internal/repo"
)

const (
	startTimeout = 20 * time.Second // until a started server answers PING
	startTries   = 10               // ports to try, or times to try for the same one

	// Ports are drawn from a range below the ones that Linux (32768 up) and
	// macOS (49152 up) give to outgoing connections. Otherwise a client that
	// reconnects to a killed server may be given that very port and connect
	// to itself, and Restart cannot have it back. A cluster node's bus listens
	// 10000 above its port, still below.
	firstPort, ports = 12000, 10000
)

// A Server is a redis-server of its own directory, on a loopback port. Its
// methods belong to the test's goroutine.
type Server struct {
	t        testing.TB
	process  *proc.Process
	dir      string
	port     int
	args     []string
	password string
}

// Start starts a redis-server on a free loopback port, in a directory of the
// test's own, and waits until it answers PING. By default it stores nothing
// on disk. The arguments are redis-server's and come last, so they win:
//
//	redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
//
// The server is killed when the test ends, and its log shown if that failed.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), args: args}
	for i, arg := range args {
		if arg == "--requirepass" && i+1 < len(args) {
			s.password = args[i+1]
		}
	}
	for range startTries {
		s.port = freePort(t)
		if s.start() {
			return s
		}
	}
	t.Fatalf("redis-server: no port to listen on after %d tries", startTries)
	return nil
}

// Addr returns host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the server as REDIS_URL takes it.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr(), Path: "/0"}
	if s.password != "" {
		u.User = url.UserPassword("", s.password)
	}
	return u.String()
}

// Client returns a new client of the server, which honours the deadlines of
// its contexts and is closed when the test ends.
func (s *Server) Client() *redis.Client {
	c := s.NewClient()
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// NewClient is Client for a caller who closes it.
func (s *Server) NewClient() *redis.Client { return redis.NewClient(s.options()) }

// Dir returns the directory that the server keeps its files in.
func (s *Server) Dir() string { return s.dir }

// Log returns what the server has printed since its last start.
func (s *Server) Log() string { return s.process.Log() }

// Kill ends the server at once (SIGKILL): what it had not written is lost.
func (s *Server) Kill() {
	s.t.Helper()
	s.process.Kill()
}

// Stop shuts the server down in order (SIGTERM).
func (s *Server) Stop() {
	s.t.Helper()
	if code := s.process.Stop(); code != 0 {
		s.t.Errorf("redis-server ended with exit code %d", code)
	}
}

// Restart starts the server again, on the same port and directory and with
// the same arguments, and waits until it answers PING. One that still runs is
// killed first.
func (s *Server) Restart() {
	s.t.Helper()
	s.process.Kill()
	err := poll.Until(startTimeout, func() error {
		if !s.start() {
			return fmt.Errorf("port %d is in use", s.port)
		}
		return nil
	})
	if err != nil {
		s.t.Fatalf("restart redis-server: %v", err)
	}
}

// Pause freezes the server (SIGSTOP): connections stay open, nothing answers.
func (s *Server) Pause() {
	s.t.Helper()
	s.process.Pause()
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.t.Helper()
	s.process.Resume()
}

// start starts the process and waits until it answers. It returns false if
// somebody else has the port.
func (s *Server) start() bool {
	s.t.Helper()
	path, err := command()
	if err != nil {
		s.t.Fatalf("redis-server: %v", err)
	}
	args := append([]string{
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(s.port),
		"--dir", s.dir,
		"--daemonize", "no",
		"--save", "",
	}, s.args...)
	s.process = proc.Start(s.t, "redis-server "+s.Addr(), os.Environ(), path, args...)

	if err := s.waitReady(); err != nil {
		if !s.process.Running() && strings.Contains(s.process.Log(), "Address already in use") {
			return false
		}
		s.t.Fatalf("redis-server did not start: %v", err)
	}
	return true
}

// waitReady waits until the server answers, and not another one that had the
// port first. It returns at once when the process ends.
func (s *Server) waitReady() error {
	opt := s.options()
	opt.MaxRetries, opt.DialerRetries = -1, 1 // the poll retries
	c := redis.NewClient(opt)
	defer c.Close()
	self := fmt.Sprintf("process_id:%d\r\n", s.process.Pid())
	return poll.Until(startTimeout, func() error {
		if !s.process.Running() {
			return poll.Stop(errors.New("it ended at once"))
		}
		conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
		if err != nil {
			return err // the client would print it, too
		}
		_ = conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Ping(ctx).Err(); err != nil { // also while it loads its data
			return err
		}
		info, err := c.Info(ctx, "server").Result()
		if err == nil && !strings.Contains(info, self) {
			err = errors.New("another server answers on its port")
		}
		return err
	})
}

func (s *Server) options() *redis.Options {
	return &redis.Options{Addr: s.Addr(), Password: s.password, ContextTimeoutEnabled: true}
}

// freePort returns a loopback port that was free a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := firstPort + rand.IntN(ports)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		_ = l.Close()
		return port
	}
	t.Fatalf("no free port between %d and %d", firstPort, firstPort+ports)
	return 0
}

// command returns the redis-server to run: what REDIS_SERVER names, else what
// scripts/redis-server.sh finds or unpacks.
var command = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("REDIS_SERVER"); path != "" {
		return path, nil
	}
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	out, err := exec.Command(filepath.Join(root, "scripts", "redis-server.sh")).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("scripts/redis-server.sh: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})
