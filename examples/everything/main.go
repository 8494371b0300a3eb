// Command everything is an MCP server that uses every feature of the protocol:
// tools with every kind of content, log and progress messages, resources with
// subscriptions, prompts, completion, elicitation, sampling, roots. It has the
// fixtures that the official MCP conformance suite asks for, and tools that show
// on which replica something happened and for which session.
//
// It is configured by the environment variables of cmd/mcpsession, of which it
// knows those about addresses, sessions, Redis, logging and stopping, and by
// REPLICA_NAME, the name that its tools answer, and REQUEST_STATE_KEYS. With REDIS_URL set, any number of
// copies of it behind a plain balancer are one server.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/config"
	"github.com/mcpsession/mcpsession/handle"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/mcpsession/mcpsession/requeststate"
	"github.com/mcpsession/mcpsession/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "everything:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	c, err := config.Load(os.Environ())
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	listener, err := net.Listen("tcp", c.ListenAddr)
	if err != nil {
		return fmt.Errorf("LISTEN_ADDR=%q cannot be listened on: %w", c.ListenAddr, err)
	}
	defer listener.Close() // again, after Shutdown did
	store, broker, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	defer store.Close()
	defer broker.Close()
	handler, err := newHandler(c, store, broker, log)
	if err != nil {
		return err
	}
	return serve(ctx, c, listener, handler, server.NewHealth(store), log)
}

// sessions and replicas are closed with the process.
type (
	sessions interface {
		mcpsession.SessionStore
		io.Closer
	}
	replicas interface {
		mcpsession.Broker
		io.Closer
	}
)

func limits(c config.Config) mcpsession.Limits {
	return mcpsession.Limits{IdleTimeout: c.SessionIdleTimeout, MaxLifetime: c.SessionMaxLifetime, MaxSize: c.SessionMaxSize}
}

func open(ctx context.Context, c config.Config, log *slog.Logger) (sessions, replicas, error) {
	if c.RedisURL == "" {
		store, err := memstore.New(limits(c), c.MaxSessions)
		return store, memstore.NewBroker(), err
	}
	ctx, cancel := context.WithTimeout(ctx, c.RedisConnectTimeout)
	defer cancel()
	store, err := redisstore.Open(ctx, c.RedisURL, redisstore.Options{
		Limits:   limits(c),
		Prefix:   c.RedisPrefix,
		Logger:   log,
		PoolSize: c.RedisPoolSize,
	})
	if err != nil {
		return nil, nil, err
	}
	broker, err := redisstore.NewBroker(ctx, store)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return store, broker, nil
}

// newHandler puts the MCP server on its transport. It is the only place that
// knows both.
func newHandler(c config.Config, store sessions, broker replicas, log *slog.Logger) (*server.Handler, error) {
	states, err := newStates(broker)
	if err != nil {
		return nil, err
	}
	e := newEverything(os.Getenv("REPLICA_NAME"), handle.New(store, handle.Options{Begin: "begin_session", Limits: limits(c), Logger: log}), states)
	e.handler, err = server.New(e.mcp, store, broker, server.Options{
		AllowedHosts:   c.AllowedHosts,
		AllowedOrigins: c.AllowedOrigins,
		Principal:      whoSays,
		SessionTool:    sessionTool,
		Logger:         log,
	})
	return e.handler, err
}

// newStates seals requestStates with REQUEST_STATE_KEYS, newest first, or with a
// key that the replicas keep among themselves.
func newStates(broker mcpsession.Broker) (*requeststate.Sealer, error) {
	var o requeststate.Options
	if text := os.Getenv("REQUEST_STATE_KEYS"); text != "" {
		keys, err := requeststate.ParseKeys(text)
		if err != nil {
			return nil, fmt.Errorf("REQUEST_STATE_KEYS: %w", err)
		}
		o.Keys = keys
	}
	return requeststate.New(broker, o)
}

// whoSays believes what a client says of itself, which is enough for tests of
// what principals may do and no more.
func whoSays(r *http.Request) (string, error) { return r.Header.Get("X-Test-User"), nil }

// serve serves until ctx ends, then drains as cmd/mcpsession does. Sessions live
// on in Redis.
func serve(ctx context.Context, c config.Config, listener net.Listener, handler *server.Handler, health *server.Health, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle(c.MCPPath, handler)
	mux.HandleFunc("GET "+config.HealthPath, health.Live)
	mux.HandleFunc("GET "+config.ReadyPath, health.Ready)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	srv.RegisterOnShutdown(handler.EndStreams)

	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	log.Info("listening", "addr", listener.Addr().String(), "url", "http://"+listener.Addr().String()+c.MCPPath)
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	health.Drain()
	time.Sleep(c.DrainDelay)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout)
	defer cancel()
	err := srv.Shutdown(ctx)
	if err = errors.Join(err, handler.Shutdown(ctx)); err != nil {
		return errors.Join(fmt.Errorf("calls still ran after SHUTDOWN_TIMEOUT=%v and were cut off: %w", c.ShutdownTimeout, err), srv.Close())
	}
	return nil
}
