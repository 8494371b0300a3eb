package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	mcpserver "github.com/mark3labs/mcp-go/server"
	"github.com/mcpsession/mcpsession"
	"github.com/mcpsession/mcpsession/config"
	"github.com/mcpsession/mcpsession/memstore"
	"github.com/mcpsession/mcpsession/project"
	"github.com/mcpsession/mcpsession/redisstore"
	"github.com/mcpsession/mcpsession/tools"
	"github.com/redis/go-redis/v9"
	"golang.org/x/term"
)

// backend is what replicas share, or what one has for itself.
type backend struct {
	store interface {
		mcpsession.SessionStore
		io.Closer
	}
	broker interface {
		mcpsession.Broker
		io.Closer
	}
}

func (b backend) Close() error { return errors.Join(b.broker.Close(), b.store.Close()) }

func limits(c config.Config) mcpsession.Limits {
	return mcpsession.Limits{IdleTimeout: c.SessionIdleTimeout, MaxLifetime: c.SessionMaxLifetime, MaxSize: c.SessionMaxSize}
}

// open opens what the configuration asks for: Redis, for which it waits a while,
// or memory.
func open(ctx context.Context, c config.Config, log *slog.Logger) (backend, error) {
	if c.RedisURL == "" {
		log.Info("sessions are kept in this process's memory; set REDIS_URL to share them between replicas")
		store, err := memstore.New(limits(c), c.MaxSessions)
		return backend{store, memstore.NewBroker()}, err
	}
	trust, err := redisTLS(c)
	if err != nil {
		return backend{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.RedisConnectTimeout)
	defer cancel()
	redis.SetLogger(clientLog{log})
	store, err := redisstore.Open(ctx, c.RedisURL, redisstore.Options{
		Limits:   limits(c),
		Prefix:   c.RedisPrefix,
		Logger:   log,
		TLS:      trust,
		PoolSize: c.RedisPoolSize,
	})
	if err != nil {
		return backend{}, fmt.Errorf("REDIS_URL: %w", err)
	}
	broker, err := redisstore.NewBroker(ctx, store)
	if err != nil {
		return backend{}, errors.Join(fmt.Errorf("REDIS_URL: %w", err), store.Close())
	}
	log.Info("sessions are kept in Redis", "prefix", c.RedisPrefix, "replica", broker.Replica())
	return backend{store, broker}, nil
}

// redisTLS is nil if the configuration names no files.
func redisTLS(c config.Config) (*tls.Config, error) {
	if c.RedisCAFile == "" && c.RedisCertFile == "" {
		return nil, nil
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.RedisCAFile != "" {
		pem, err := os.ReadFile(c.RedisCAFile)
		if err != nil {
			return nil, fmt.Errorf("REDIS_CA_FILE: %w", err)
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("REDIS_CA_FILE=%q holds no PEM certificate", c.RedisCAFile)
		}
	}
	if c.RedisCertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.RedisCertFile, c.RedisKeyFile)
		if err != nil {
			return nil, fmt.Errorf("REDIS_CERT_FILE and REDIS_KEY_FILE: %w", err)
		}
		trust.Certificates = []tls.Certificate{cert}
	}
	return trust, nil
}

// newMCPServer makes the MCP server with its tools. It looks at directories on
// its own disk if local says that its clients share that disk, or within the
// workspace roots.
func newMCPServer(c config.Config, store mcpsession.SessionStore, local bool, log *slog.Logger) (*mcpserver.MCPServer, error) {
	var finder *project.Finder
	if local || len(c.WorkspaceRoots) > 0 {
		var err error
		finder, err = project.NewFinder(project.FinderOptions{Roots: c.WorkspaceRoots, Names: c.ProjectConfigNames})
		if err != nil {
			return nil, fmt.Errorf("WORKSPACE_ROOTS or PROJECT_CONFIG_NAMES: %w", err)
		}
	} else {
		log.Info("directories are stored but not looked at, since clients may be on other machines; set WORKSPACE_ROOTS to look at those")
	}
	resolver := &project.Resolver{Default: c.DefaultProject}
	if c.ActiveProjectURL != "" {
		active, err := project.ActiveProject(c.ActiveProjectURL, "")
		if err != nil {
			return nil, fmt.Errorf("ACTIVE_PROJECT_URL: %w", err)
		}
		resolver.Active = active
	}
	srv := mcpserver.NewMCPServer("mcpsession", versionText(),
		mcpserver.WithInstructions(tools.Instructions),
		mcpserver.WithToolCapabilities(false),
		mcpserver.WithRecovery(),
	)
	tools.Add(srv, tools.Options{Store: store, Finder: finder, Resolver: resolver, Limits: limits(c), Logger: log})
	return srv, nil
}

// newLogger logs to standard error, since standard output may be the protocol's.
func newLogger(c config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" || c.LogFormat == "auto" && term.IsTerminal(int(os.Stderr.Fd())) {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}

// clientLog takes in what the Redis client would print by itself, mostly of
// connections that the store reports the loss of anyway.
type clientLog struct{ log *slog.Logger }

func (c clientLog) Printf(ctx context.Context, format string, v ...any) {
	c.log.DebugContext(ctx, fmt.Sprintf(format, v...), "from", "Redis client")
}
