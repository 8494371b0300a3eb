package config_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/config"
)

func TestDefaultsNeedNoEnvironment(t *testing.T) {
	for _, environ := range [][]string{nil, {"REDIS_URL=", "LOG_LEVEL= "}} {
		c, err := config.Load(environ)
		if err != nil {
			t.Fatal(err)
		}
		if c.ListenAddr != "127.0.0.1:8080" || c.MCPPath != "/mcp" || c.RedisURL != "" ||
			c.SessionIdleTimeout != 24*time.Hour || c.SessionMaxLifetime != 168*time.Hour ||
			c.LogLevel != slog.LevelInfo || len(c.ProjectConfigNames) != 2 || !c.Loopback() {
			t.Errorf("defaults are %+v", c)
		}
	}
}

func TestEveryValueIsRead(t *testing.T) {
	c, err := config.Load([]string{
		"REDIS_URL=rediss://u:p@h:1/2", "LISTEN_ADDR=:0", "MCP_PATH=/x", "SESSION_IDLE_TIMEOUT=90m",
		"WORKSPACE_ROOTS=/a,/b", "ALLOWED_HOSTS=example.com,::1", "ALLOWED_ORIGINS=https://a.example",
		"LOG_LEVEL=DEBUG", "LOG_FORMAT=json", "DRAIN_DELAY=5s",
	})
	if err != nil {
		t.Fatal(err)
	}
	if c.Loopback() || c.MCPPath != "/x" || c.SessionIdleTimeout != 90*time.Minute || len(c.WorkspaceRoots) != 2 ||
		c.LogLevel != slog.LevelDebug || c.LogFormat != "json" || c.DrainDelay != 5*time.Second {
		t.Errorf("read %+v", c)
	}
}

func TestAnUnusableValueIsOneLineWithNameValueAndWhatIsAllowed(t *testing.T) {
	for name, values := range map[string][]string{
		"REDIS_URL":             {"localhost:6379", "http://h", "redis://", "redis://h:port"},
		"REDIS_MODE":            {"cluster", "x"},
		"REDIS_CERT_FILE":       {"/tmp/cert.pem"},
		"REDIS_CONNECT_TIMEOUT": {"0", "-1s", "soon"},
		"LISTEN_ADDR":           {"8080", "localhost", "a:b:c"},
		"MCP_PATH":              {"mcp", "/healthz", "/a b", "/{x}"},
		"SESSION_IDLE_TIMEOUT":  {"0s", "-1h", "24", "1us"},
		"SESSION_MAX_LIFETIME":  {"0", "1 day"},
		"MAX_SESSIONS":          {"0", "-1", "many"},
		"ACTIVE_PROJECT_URL":    {"localhost", "ftp://x"},
		"ALLOWED_HOSTS":         {"example.com:80", "http://x"},
		"ALLOWED_ORIGINS":       {"example.com", "https://x/path"},
		"LOG_LEVEL":             {"loud"},
		"LOG_FORMAT":            {"xml"},
		"DRAIN_DELAY":           {"-1s", "5"},
		"SHUTDOWN_TIMEOUT":      {"0s", "x"},
	} {
		for _, value := range values {
			_, err := config.Load([]string{name + "=" + value})
			if err == nil {
				t.Errorf("%s=%q was accepted", name, value)
				continue
			}
			line := err.Error()
			shown := strings.HasSuffix(name, "_URL") || strings.Contains(line, value)
			if strings.Contains(line, "\n") || !strings.HasPrefix(line, name+"=") || !shown || !strings.Contains(line, "it takes ") {
				t.Errorf("%s=%q: %s", name, value, line)
			}
		}
	}
}

func TestEachOfSeveralMistakesIsNamed(t *testing.T) {
	_, err := config.Load([]string{"LOG_LEVEL=loud", "DRAIN_DELAY=x"})
	if err == nil || !strings.Contains(err.Error(), "LOG_LEVEL=") || !strings.Contains(err.Error(), "DRAIN_DELAY=") {
		t.Errorf("error is %v", err)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	const secret = "hunter2"
	for _, url := range []string{
		"redis://:" + secret + "@h:1/0", "redis://" + secret + "@h", "rediss://u:" + secret + "@h?password=" + secret,
		"redis://u:" + secret + "%zz@h", "u:" + secret + "@h:6379", "redis://u:" + secret + "/@h",
	} {
		c, err := config.Load([]string{"REDIS_URL=" + url})
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error for %s shows the password: %v", url, err)
			}
			continue
		}
		var printed bytes.Buffer
		if err := c.Print(&printed); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(printed.String(), secret) || !strings.Contains(printed.String(), "REDIS_URL=redis") {
			t.Errorf("printed for %s:\n%s", url, printed.String())
		}
	}
}

func TestDescriptionNamesEveryVariableWithItsDefault(t *testing.T) {
	var text bytes.Buffer
	if err := config.Describe(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"REDIS_URL=\n", "LISTEN_ADDR=127.0.0.1:8080\n", "SHUTDOWN_TIMEOUT=30s\n", "SESSION_MAX_LIFETIME=168h\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
	if lines := strings.Count(text.String(), "\n"); lines < 20 {
		t.Errorf("only %d lines", lines)
	}
}

func TestTheREADMEListsEveryVariableAsItIs(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for field := range reflect.TypeFor[config.Config]().Fields() {
		standard := field.Tag.Get("envDefault")
		if standard != "" {
			standard = "`" + strings.ReplaceAll(standard, ",", "`, `") + "`"
		}
		row := fmt.Sprintf("| `%s` | %s | %s |\n", field.Tag.Get("env"), standard, field.Tag.Get("what"))
		if !strings.Contains(string(readme), row) {
			t.Errorf("README.md lacks this row:\n%s", row)
		}
	}
}
