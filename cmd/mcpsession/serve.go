package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/mcpsession/mcpsession/config"
	"github.com/mcpsession/mcpsession/server"
)

// serve serves until ctx ends, then drains: readiness turns false, work goes on
// for DRAIN_DELAY, the listener closes, running calls finish. Sessions live on
// in Redis.
func serve(ctx context.Context, c config.Config) error {
	log := newLogger(c)
	log.Info("starting", "version", versionText())
	// Listen first: a port in use should not wait for Redis.
	listener, err := net.Listen("tcp", c.ListenAddr)
	if err != nil {
		return fmt.Errorf("LISTEN_ADDR=%q cannot be listened on: %w", c.ListenAddr, err)
	}
	defer listener.Close() // again, after Shutdown did
	shared, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	mcp, err := newMCPServer(c, shared.store, c.Loopback(), log)
	if err != nil {
		return errors.Join(err, shared.Close())
	}
	handler, err := server.New(mcp, shared.store, shared.broker, server.Options{
		AllowedHosts:   c.AllowedHosts,
		AllowedOrigins: c.AllowedOrigins,
		Logger:         log,
	})
	if err != nil {
		return errors.Join(err, shared.Close())
	}
	health := server.NewHealth(shared.store)
	srv := &http.Server{
		Handler:           routes(c, handler, health),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(handler.EndStreams)

	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	log.Info("listening", "addr", listener.Addr().String(), "url", "http://"+listener.Addr().String()+c.MCPPath)
	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("serve: %w", err), shared.Close())
	case <-ctx.Done():
	}
	return errors.Join(drain(c, srv, handler, health, log), shared.Close())
}

func routes(c config.Config, mcp http.Handler, health *server.Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(c.MCPPath, mcp)
	mux.HandleFunc("GET "+config.HealthPath, health.Live)
	mux.HandleFunc("GET "+config.ReadyPath, health.Ready)
	return mux
}

func drain(c config.Config, srv *http.Server, handler *server.Handler, health *server.Health, log *slog.Logger) error {
	health.Drain()
	log.Info("draining", "for", c.DrainDelay.String())
	time.Sleep(c.DrainDelay) // a second signal ends the process
	log.Info("stopping: waiting for running calls", "at_most", c.ShutdownTimeout.String())
	ctx, cancel := context.WithTimeout(context.Background(), c.ShutdownTimeout)
	defer cancel()
	err := srv.Shutdown(ctx)
	if err = errors.Join(err, handler.Shutdown(ctx)); err != nil {
		return errors.Join(fmt.Errorf("calls still ran after SHUTDOWN_TIMEOUT=%v and were cut off: %w", c.ShutdownTimeout, err), srv.Close())
	}
	log.Info("stopped")
	return nil
}

func stdio(ctx context.Context, c config.Config) error {
	log := newLogger(c)
	shared, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	mcp, err := newMCPServer(c, shared.store, true, log) // the client started us, on its own disk
	if err != nil {
		return errors.Join(err, shared.Close())
	}
	return errors.Join(server.ServeStdio(ctx, mcp, shared.store, os.Stdin, os.Stdout), shared.Close())
}

// healthcheck is for containers, whose images hold no other program.
func healthcheck(ctx context.Context, c config.Config) error {
	host, port, err := net.SplitHostPort(c.ListenAddr)
	if err != nil || port == "0" {
		return fmt.Errorf("LISTEN_ADDR=%q does not say which port to ask", c.ListenAddr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+config.HealthPath, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{}} // without a proxy
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not healthy: %s answers %s", request.URL, response.Status)
	}
	return nil
}
