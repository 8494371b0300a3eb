// Package config turns the environment into one typed, checked struct.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/caarlos0/env/v11"
)

// Config is everything that can be configured. Each field names its variable,
// its default, what it does, and, for error messages, what it takes.
type Config struct {
	RedisURL            string        `env:"REDIS_URL" what:"Redis that shares sessions between replicas; without it they live in this process" takes:"redis://[[user]:password@]host[:port][/database], or rediss:// for TLS, with special characters in user and password percent-encoded"`
	RedisMode           string        `env:"REDIS_MODE" envDefault:"standalone" what:"kind of Redis deployment" takes:"standalone"`
	RedisPrefix         string        `env:"REDIS_PREFIX" envDefault:"mcps" what:"first part of every Redis key" takes:"1 to 64 letters, digits and any of . _ - :"`
	RedisCAFile         string        `env:"REDIS_CA_FILE" what:"PEM file with the CA certificates to trust for rediss://, in place of the system's" takes:"the path of a PEM file"`
	RedisCertFile       string        `env:"REDIS_CERT_FILE" what:"PEM file with the client certificate for rediss://" takes:"the path of a PEM file, together with REDIS_KEY_FILE"`
	RedisKeyFile        string        `env:"REDIS_KEY_FILE" what:"PEM file with the client certificate's key" takes:"the path of a PEM file, together with REDIS_CERT_FILE"`
	RedisConnectTimeout time.Duration `env:"REDIS_CONNECT_TIMEOUT" envDefault:"30s" what:"how long to wait at start until Redis answers" takes:"a duration above zero, such as 30s"`
	RedisPoolSize       int           `env:"REDIS_POOL_SIZE" envDefault:"256" what:"connections to Redis at most, beside ten for commands that go together; they are made when needed" takes:"a whole number above zero"`

	ListenAddr string `env:"LISTEN_ADDR" envDefault:"127.0.0.1:8080" what:"address to listen on; port 0 picks a free one and logs it" takes:"host:port"`
	MCPPath    string `env:"MCP_PATH" envDefault:"/mcp" what:"path of the MCP endpoint" takes:"an absolute path of letters, digits and any of . _ ~ - /, other than /healthz and /readyz"`

	SessionIdleTimeout time.Duration `env:"SESSION_IDLE_TIMEOUT" envDefault:"24h" what:"a session ends this long after its last use" takes:"a duration of at least 1ms, such as 24h"`
	SessionMaxLifetime time.Duration `env:"SESSION_MAX_LIFETIME" envDefault:"168h" what:"a session ends this long after it began, however busy" takes:"a duration of at least 1ms, such as 168h"`
	SessionMaxSize     int           `env:"SESSION_MAX_SIZE" envDefault:"1048576" what:"bytes that one session may hold" takes:"a whole number above zero"`
	MaxSessions        int           `env:"MAX_SESSIONS" envDefault:"1000000" what:"sessions kept in memory at most; not used with Redis" takes:"a whole number above zero"`

	DefaultProject     string   `env:"DEFAULT_PROJECT" what:"project of a session when nothing else decides" takes:"a project id or name of at most 255 characters"`
	WorkspaceRoots     []string `env:"WORKSPACE_ROOTS" what:"comma-separated directories that working directories must lie in; without it any directory if LISTEN_ADDR is loopback, else directories are stored but not looked at" takes:"absolute paths of existing directories, separated by commas"`
	ProjectConfigNames []string `env:"PROJECT_CONFIG_NAMES" envDefault:".codebase-mcp/config.json,.workflow-mcp/config.json" what:"comma-separated names of project config files, looked for in this order" takes:"relative paths, separated by commas"`
	ActiveProjectURL   string   `env:"ACTIVE_PROJECT_URL" what:"MCP server that is asked for the active project, with its tool get_active_project" takes:"an http:// or https:// URL"`

	AllowedHosts   []string `env:"ALLOWED_HOSTS" what:"comma-separated Host headers to answer, without ports; without it loopback names if LISTEN_ADDR is loopback, else any" takes:"host names or addresses without ports, separated by commas"`
	AllowedOrigins []string `env:"ALLOWED_ORIGINS" what:"comma-separated Origin headers to answer besides the server's own; requests without Origin are always answered" takes:"origins such as https://app.example.com, separated by commas"`

	LogLevel        slog.Level    `env:"LOG_LEVEL" envDefault:"info" what:"least severe log level" takes:"debug, info, warn or error"`
	LogFormat       string        `env:"LOG_FORMAT" envDefault:"auto" what:"text, json, or auto: text on a terminal, else json" takes:"auto, text or json"`
	DrainDelay      time.Duration `env:"DRAIN_DELAY" envDefault:"0s" what:"how long to serve on after readiness turned false, for balancers to notice" takes:"a duration of zero or more, such as 5s"`
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"30s" what:"how long running calls may take to finish at shutdown" takes:"a duration above zero, such as 30s"`
}

// Load reads the configuration from environ, entries as in [os.Environ]. Its
// error is one line for each variable that cannot be used, with its value and
// what it takes.
func Load(environ []string) (Config, error) {
	vars := env.ToMap(environ)
	for name, value := range vars {
		if strings.TrimSpace(value) == "" {
			delete(vars, name) // as good as unset
		}
	}
	var c Config
	err := env.ParseWithOptions(&c, env.Options{Environment: vars})
	var all env.AggregateError
	if errors.As(err, &all) {
		return Config{}, unparsed(all, vars)
	}
	if err != nil {
		return Config{}, fmt.Errorf("read the configuration: %w", err)
	}
	if err := c.check(vars); err != nil {
		return Config{}, err
	}
	return c, nil
}

// unparsed names the variables behind the parser's errors.
func unparsed(all env.AggregateError, vars map[string]string) error {
	var errs []error
	for _, err := range all.Errors {
		var parse env.ParseError
		if !errors.As(err, &parse) {
			errs = append(errs, fmt.Errorf("read the configuration: %w", err))
			continue
		}
		field, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
		errs = append(errs, unusable(field, vars[field.Tag.Get("env")]))
	}
	return errors.Join(errs...)
}

func unusable(field reflect.StructField, value string) error {
	name := field.Tag.Get("env")
	return fmt.Errorf("%s=%q cannot be used: it takes %s", name, masked(name, value), field.Tag.Get("takes"))
}

// check returns an error for each value that parses and is still of no use.
func (c Config) check(vars map[string]string) error {
	var errs []error
	require := func(ok bool, fieldName string) {
		if !ok {
			field, _ := reflect.TypeFor[Config]().FieldByName(fieldName)
			errs = append(errs, unusable(field, vars[field.Tag.Get("env")]))
		}
	}
	require(c.RedisURL == "" || isRedisURL(c.RedisURL), "RedisURL")
	require(matches(`[A-Za-z0-9._:-]{1,64}`, c.RedisPrefix), "RedisPrefix")
	require(c.RedisMode == "standalone", "RedisMode")
	require(c.RedisConnectTimeout > 0, "RedisConnectTimeout")
	require(c.RedisPoolSize > 0, "RedisPoolSize")
	require((c.RedisCertFile == "") == (c.RedisKeyFile == ""), "RedisCertFile")
	_, _, err := net.SplitHostPort(c.ListenAddr)
	require(err == nil, "ListenAddr")
	require(matches(`/[A-Za-z0-9._~/-]*`, c.MCPPath) && path.Clean(c.MCPPath) == c.MCPPath &&
		c.MCPPath != HealthPath && c.MCPPath != ReadyPath, "MCPPath")
	require(c.SessionIdleTimeout > 0 && c.SessionIdleTimeout%time.Millisecond == 0, "SessionIdleTimeout")
	require(c.SessionMaxLifetime > 0 && c.SessionMaxLifetime%time.Millisecond == 0, "SessionMaxLifetime")
	require(c.SessionMaxSize > 0, "SessionMaxSize")
	require(c.MaxSessions > 0, "MaxSessions")
	require(utf8.RuneCountInString(c.DefaultProject) <= 255 && !strings.ContainsFunc(c.DefaultProject, unicode.IsControl), "DefaultProject")
	require(c.ActiveProjectURL == "" || isURL(c.ActiveProjectURL, "http", "https"), "ActiveProjectURL")
	for _, host := range c.AllowedHosts {
		require(isHost(host), "AllowedHosts")
	}
	for _, origin := range c.AllowedOrigins {
		require(isOrigin(origin), "AllowedOrigins")
	}
	require(c.LogFormat == "auto" || c.LogFormat == "text" || c.LogFormat == "json", "LogFormat")
	require(c.DrainDelay >= 0, "DrainDelay")
	require(c.ShutdownTimeout > 0, "ShutdownTimeout")
	return errors.Join(errs...)
}

// Paths on the listener besides MCPPath.
const (
	HealthPath = "/healthz"
	ReadyPath  = "/readyz"
)

// Loopback reports whether ListenAddr can be reached from this machine only.
func (c Config) Loopback() bool {
	host, _, err := net.SplitHostPort(c.ListenAddr)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func matches(pattern, text string) bool {
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(text)
}

func isRedisURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && isURL(text, "redis", "rediss") && matches(`/?[0-9]*`, u.Path)
}

func isURL(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || strings.Contains(text, "#") {
		return false
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme {
			return true
		}
	}
	return false
}

func isHost(text string) bool {
	return text != "" && !strings.ContainsAny(text, "/ @?#") && (!strings.Contains(text, ":") || isAddress(text))
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return err == nil
}

func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != "" && u.Path == "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}
