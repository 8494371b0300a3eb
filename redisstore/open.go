package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/mcpsession/mcpsession"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options configure a Store.
type Options struct {
	// Limits bound the sessions. The zero Limits are refused; start from
	// [mcpsession.DefaultLimits].
	Limits mcpsession.Limits

	// Prefix begins the name of every key: 1 to 64 letters, digits and any of
	// . _ - and :. Stores with the same prefix share their sessions. Default
	// "mcps".
	Prefix string

	// Logger is told, once, when the server is not set up well, and by a [Broker]
	// when it loses touch with the server. Default: silent.
	Logger *slog.Logger

	// TLS replaces the TLS settings that [Open] takes from a rediss:// URL, for
	// instance to trust a private CA or to present a client certificate. It is
	// an error with a redis:// URL, and ignored by [New].
	TLS *tls.Config

	// PoolSize bounds the connections that [Open]'s client keeps, beside ten for
	// commands that go together. Connections are made when needed. Default 256: with a distant server, each waits for
	// one reply at a time. Ignored by [New].
	PoolSize int
}

const defaultPrefix = "mcps"

// Open connects to the standalone server at url,
// redis[s]://[[user]:password@]host[:port][/database], and checks it. While the
// server is out of reach, or still loading its data, Open tries again with
// growing pauses until ctx ends; give ctx a deadline. Errors name host and port,
// never the password. Close the store when done.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	client, err := dial(url, o)
	if err != nil {
		return nil, err
	}
	s, err := New(ctx, client, o)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	s.owned = true
	return s, nil
}

// New keeps sessions through client, which stays the caller's to close. It
// checks the server as [Open] does. The client must read from masters only, and
// without client-side caching, else updates are lost; a cluster client set to
// read elsewhere is refused. It must have ContextTimeoutEnabled, else deadlines
// are not honoured, and should have a PoolSize fit for the latency. Retries are
// safe.
func New(ctx context.Context, client redis.UniversalClient, o Options) (*Store, error) {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := errors.Join(o.Limits.Validate(), checkPrefix(o.Prefix), checkClient(client)); err != nil {
		return nil, fmt.Errorf("open Redis store: %w", err)
	}
	touched, err := newTouched()
	if err != nil {
		return nil, fmt.Errorf("open Redis store: %w", err)
	}
	if err := checkServer(ctx, client, o.Logger); err != nil {
		return nil, fmt.Errorf("open Redis store: %w", err)
	}
	return &Store{
		client:  newBatching(client),
		limits:  o.Limits,
		keys:    keys{o.Prefix},
		scripts: loadScripts(),
		touched: touched,
		logger:  o.Logger,
	}, nil
}

// Close closes the connections that [Open] made. Sessions stay in Redis.
func (s *Store) Close() error {
	if !s.owned {
		return nil
	}
	if err := s.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close Redis store: %w", err)
	}
	return nil
}

// Ping implements [mcpsession.Pinger].
func (s *Store) Ping(ctx context.Context) error {
	if err := s.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping Redis: %w", storageError(err))
	}
	return nil
}

// dial makes a client with what go-redis gets wrong for us by default set right.
func dial(url string, o Options) (*redis.Client, error) {
	opt, err := redis.ParseURL(url)
	if err != nil || strings.Contains(url, "#") {
		// The parser's error may quote the password, and so may the address that
		// it makes of a password with a # in it.
		return nil, errors.New("the Redis URL is malformed: redis://[[user]:password@]host[:port][/database] is needed, or rediss:// for TLS, with special characters in user and password percent-encoded")
	}
	if o.TLS != nil {
		if opt.TLSConfig == nil {
			return nil, fmt.Errorf("TLS settings were given, but the Redis URL for %s is not rediss://", opt.Addr)
		}
		config := o.TLS.Clone()
		if config.ServerName == "" {
			config.ServerName = opt.TLSConfig.ServerName
		}
		opt.TLSConfig = config
	}
	if o.PoolSize < 0 {
		return nil, fmt.Errorf("a pool of %d connections is out of range: at least 1 is needed", o.PoolSize)
	}
	opt.ContextTimeoutEnabled = true // else deadlines are ignored
	// What the URL's query sets, counts. Otherwise an outage should be reported
	// while a client still waits for the answer.
	opt.PoolSize = cmp.Or(opt.PoolSize, o.PoolSize, 256)
	opt.DialTimeout = cmp.Or(opt.DialTimeout, 2*time.Second)
	opt.ReadTimeout = cmp.Or(opt.ReadTimeout, 2*time.Second)
	opt.WriteTimeout = cmp.Or(opt.WriteTimeout, 2*time.Second)
	opt.MaxRetries = cmp.Or(opt.MaxRetries, 2)
	opt.DialerRetries = 1
	opt.ClientName = "mcpsession"
	opt.DisableIdentity = true // CLIENT SETINFO is unknown to Redis 7.0
	opt.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(opt), nil
}

// checkServer waits for the server and checks that it is one we can use.
func checkServer(ctx context.Context, client redis.UniversalClient, log *slog.Logger) error {
	if err := await(ctx, client, log); err != nil {
		return fmt.Errorf("the server at %s: %w", address(client), err)
	}
	info, err := client.Info(ctx).Result() // several sections at once need Redis 7
	if err != nil {
		log.Warn("Redis does not say which version it is and how it evicts keys", "error", err)
		return nil
	}
	facts := parseInfo(info)
	if err := errors.Join(checkVersion(facts), checkRole(facts, client)); err != nil {
		return fmt.Errorf("the server at %s: %w", address(client), err)
	}
	if policy := facts["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		log.Warn("Redis may evict live sessions when it runs out of memory: set maxmemory-policy to noeviction",
			"maxmemory_policy", policy)
	}
	return nil
}

// await pings until the server answers, refuses, or ctx ends.
func await(ctx context.Context, client redis.UniversalClient, log *slog.Logger) error {
	pause := 50 * time.Millisecond
	var last error // before ctx ended, so it says what is wrong
	for {
		err := client.Ping(ctx).Err()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil && last != nil {
			return fmt.Errorf("%w: %w", storageError(ctx.Err()), last)
		}
		last = err
		if isRefusal(err) {
			return fmt.Errorf("refused: %w", err)
		}
		log.Info("Redis is not reachable yet", "address", address(client), "retry_in", pause.String(), "error", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", storageError(ctx.Err()), last)
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// checkClient refuses clients that may read from a replica.
func checkClient(client redis.UniversalClient) error {
	c, ok := client.(*redis.ClusterClient)
	if !ok {
		return nil
	}
	if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
		return errors.New("the cluster client reads from replicas, which would lose updates: turn off ReadOnly, RouteByLatency and RouteRandomly")
	}
	return nil
}

// checkRole refuses servers that would refuse every write.
func checkRole(facts map[string]string, client redis.UniversalClient) error {
	_, single := client.(*redis.Client)
	switch {
	case facts["role"] == "slave":
		return errors.New("it is a replica, which cannot be written to: name its master")
	case single && facts["redis_mode"] == "cluster":
		return errors.New("it is a node of a cluster, which needs a cluster client")
	}
	return nil
}

func checkVersion(facts map[string]string) error {
	product, text, minimum := "Redis", facts["redis_version"], [2]int{7, 0}
	if facts["server_name"] == "valkey" {
		product, text, minimum = "Valkey", facts["valkey_version"], [2]int{7, 2}
	}
	parts := strings.SplitN(text, ".", 3)
	if len(parts) < 2 {
		return nil // a compatible service that does not tell
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	if errMajor != nil || errMinor != nil {
		return nil
	}
	if major < minimum[0] || major == minimum[0] && minor < minimum[1] {
		return fmt.Errorf("%s %s is too old: %d.%d or later is needed", product, text, minimum[0], minimum[1])
	}
	return nil
}

// parseInfo reads the name:value lines of INFO.
func parseInfo(info string) map[string]string {
	facts := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			facts[name] = value
		}
	}
	return facts
}

// address names the server in errors, without credentials.
func address(client redis.UniversalClient) string {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().Addr
	case *redis.ClusterClient:
		return strings.Join(c.Options().Addrs, ",")
	}
	return "unknown address"
}
