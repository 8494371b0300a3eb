package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisVersion is that of the servers measured, once one was.
var redisVersion string

// server is a redis-server of our own, on a loopback port, that writes nothing
// to disk.
type server struct {
	process *exec.Cmd
	ended   chan struct{}
	dir     string
	port    int
	client  *redis.Client
}

// startServer starts a server and waits until it answers. Stop it.
func startServer(ctx context.Context) (*server, error) {
	path, err := findServer(ctx)
	if err != nil {
		return nil, err
	}
	for range 10 {
		s, err := tryServer(ctx, path)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errPortTaken) {
			return nil, fmt.Errorf("start redis-server: %w", err)
		}
	}
	return nil, fmt.Errorf("start redis-server: %w, ten times", errPortTaken)
}

var errPortTaken = errors.New("the port was taken by somebody else")

func tryServer(ctx context.Context, path string) (_ *server, err error) {
	dir, err := os.MkdirTemp("", "bench-redis-")
	if err != nil {
		return nil, err
	}
	// Below the ports that the system gives to outgoing connections.
	s := &server{dir: dir, port: 12000 + rand.IntN(10000), ended: make(chan struct{})}
	s.process = exec.Command(path, "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", dir,
		"--daemonize", "no", "--save", "", "--appendonly", "no", "--logfile", filepath.Join(dir, "log"))
	if err := startTied(s.process); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go func() {
		defer close(s.ended)
		_ = s.process.Wait() // stop and ready look at ProcessState
	}()
	s.client = redis.NewClient(clientOptions(s.addr()))
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// ready waits until this server, and not another one on its port, answers.
func (s *server) ready(ctx context.Context) error {
	self := strconv.Itoa(s.process.Process.Pid)
	var last error
	for range 1000 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			log, err := os.ReadFile(filepath.Join(s.dir, "log"))
			if strings.Contains(string(log), "Address already in use") {
				return errPortTaken
			}
			return errors.Join(fmt.Errorf("it ended (%v) and had logged %q", s.process.ProcessState, log), err)
		case <-time.After(10 * time.Millisecond):
		}
		conn, err := net.DialTimeout("tcp", s.addr(), time.Second)
		if last = err; err != nil {
			continue // the client would print it, too
		}
		_ = conn.Close()
		info, err := s.client.Info(ctx, "server").Result()
		if last = err; err != nil {
			continue
		}
		facts := make(map[string]string)
		for line := range strings.Lines(info) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			facts[name] = value
		}
		if facts["process_id"] != self {
			return errPortTaken
		}
		redisVersion = facts["redis_version"]
		return nil
	}
	return fmt.Errorf("it does not answer: %w", last)
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// stop ends the server, by its process id, and removes its directory.
func (s *server) stop() error {
	err := s.client.Close()
	if signal := s.process.Process.Signal(syscall.SIGTERM); signal != nil && !errors.Is(signal, os.ErrProcessDone) {
		err = errors.Join(err, signal)
	}
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		err = errors.Join(err, s.process.Process.Kill())
		<-s.ended
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// flush empties the server.
func (s *server) flush(ctx context.Context) error { return s.client.FlushAll(ctx).Err() }

// memory returns the bytes that the server has allocated, without the buffers
// of its connections.
func (s *server) memory(ctx context.Context) (float64, error) {
	used, err := infoField(ctx, s.client, "memory", "used_memory")
	if err != nil {
		return 0, err
	}
	connections, err := infoField(ctx, s.client, "memory", "mem_clients_normal")
	return used - connections, err
}

// clientOptions are those of redisstore.Open, so that rivals have no other client.
func clientOptions(addr string) *redis.Options {
	return &redis.Options{
		Addr: addr, ContextTimeoutEnabled: true, PoolSize: 256,
		DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second,
		MaxRetries: 2, DialerRetries: 1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// findServer returns the redis-server that REDIS_SERVER names, or else what
// scripts/redis-server.sh finds or unpacks.
func findServer(ctx context.Context) (string, error) {
	if path := os.Getenv("REDIS_SERVER"); path != "" {
		return path, nil
	}
	script := filepath.Join("..", "scripts", "redis-server.sh")
	if _, err := os.Stat(script); err != nil {
		return "", fmt.Errorf("run this in the folder bench, or set REDIS_SERVER: %w", err)
	}
	out, err := exec.CommandContext(ctx, script).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}
