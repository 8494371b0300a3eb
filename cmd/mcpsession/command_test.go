package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/config"
)

func TestHelpListsEveryVariableAndCommand(t *testing.T) {
	help := run(t, nil, "--help")
	if help.code != 0 || help.stderr != "" {
		t.Errorf("exits %d and complains %q", help.code, help.stderr)
	}
	variables := 0
	for field := range reflect.TypeFor[config.Config]().Fields() {
		variables++
		line := fmt.Sprintf("%s=%s\n", field.Tag.Get("env"), field.Tag.Get("envDefault"))
		if !strings.Contains(help.stdout, " "+line) {
			t.Errorf("does not list %s", line)
		}
		if what := field.Tag.Get("what"); what == "" || !strings.Contains(help.stdout, what) {
			t.Errorf("does not say what %s is for: %q", field.Tag.Get("env"), what)
		}
	}
	if variables < 20 {
		t.Fatalf("only %d variables were looked for", variables)
	}
	for _, command := range []string{"serve", "stdio", "healthcheck", "config", "version"} {
		if !strings.Contains(help.stdout, "\n   "+command+" ") {
			t.Errorf("does not list the command %s", command)
		}
	}
}

func TestVersionIsWhatTheLinkerSet(t *testing.T) {
	got := run(t, []string{"LISTEN_ADDR=nonsense"}, "version") // which it does not need
	if got.code != 0 || got.stdout != "mcpsession "+testVersion+"\n" || got.stderr != "" {
		t.Errorf("exits %d with %q and %q", got.code, got.stdout, got.stderr)
	}
}

func TestAMistakeOnTheCommandLineIsOneLine(t *testing.T) {
	for _, test := range []struct{ line, says string }{
		{"frobnicate", "frobnicate"},
		{"serve now", "now"},
		{"stdio -", "-"},
		{"version 2", "2"},
		{"--frobnicate", "frobnicate"},
	} {
		t.Run(test.line, func(t *testing.T) {
			run(t, nil, strings.Fields(test.line)...).wantMistake(t, test.says)
		})
	}
}

func TestConfigPrintsWhatIsInEffectWithoutSecrets(t *testing.T) {
	got := run(t, []string{
		"REDIS_URL=rediss://admin:hunter2@redis.example:6380/3?client_name=hunter3",
		"ACTIVE_PROJECT_URL=http://admin:hunter4@projects.example/mcp",
		"SESSION_IDLE_TIMEOUT=90m", "WORKSPACE_ROOTS=/a,/b", "LOG_LEVEL=warn", "MCP_PATH= ",
	}, "config")
	if got.code != 0 || got.stderr != "" {
		t.Errorf("exits %d and complains %q", got.code, got.stderr)
	}
	if strings.Contains(got.stdout, "hunter") || strings.Contains(got.stdout, "admin") {
		t.Errorf("prints a secret:\n%s", got.stdout)
	}
	for _, line := range []string{
		"REDIS_URL=rediss://***@redis.example:6380/3",
		"ACTIVE_PROJECT_URL=http://***@projects.example/mcp",
		"SESSION_IDLE_TIMEOUT=1h30m0s", "WORKSPACE_ROOTS=/a,/b", "LOG_LEVEL=WARN",
		"LISTEN_ADDR=127.0.0.1:8080", "MCP_PATH=/mcp", "SESSION_MAX_LIFETIME=168h0m0s",
	} {
		if !strings.Contains("\n"+got.stdout, "\n"+line+"\n") {
			t.Errorf("does not print %s but\n%s", line, got.stdout)
		}
	}
	if lines, fields := strings.Count(got.stdout, "\n"), reflect.TypeFor[config.Config]().NumField(); lines != fields {
		t.Errorf("prints %d lines for %d variables", lines, fields)
	}
}

func TestAVariableThatCannotBeUsedIsOneLine(t *testing.T) {
	for _, test := range []struct{ variable, value, says string }{
		{"SESSION_IDLE_TIMEOUT", "soon", `"soon"`},
		{"SESSION_MAX_LIFETIME", "-1h", `"-1h"`},
		{"LISTEN_ADDR", "8080", `"8080"`},
		{"LOG_LEVEL", "loud", `"loud"`},
		{"REDIS_MODE", "cluster", "standalone"},
		{"REDIS_URL", "redis://:hunter2@", "redis://"},
		{"REDIS_URL", "http://:hunter2@redis.example", "redis://"},
		{"REDIS_URL", "redis://:hunter2%zz@redis.example", "redis://"},
		{"MAX_SESSIONS", "0", `"0"`},
		{"ALLOWED_ORIGINS", "app.example.com", `"app.example.com"`},
	} {
		for _, command := range []string{"serve", "stdio", "config", "healthcheck"} {
			t.Run(command+"/"+test.variable, func(t *testing.T) {
				got := run(t, []string{test.variable + "=" + test.value}, command)
				got.wantMistake(t, test.variable+"=", test.says)
				if strings.Contains(got.stderr, "hunter2") {
					t.Errorf("tells the password: %s", got.stderr)
				}
			})
		}
	}
}

func TestRootsThatCannotBeUsedStopTheStart(t *testing.T) {
	for _, command := range []string{"serve", "stdio"} {
		env := []string{"LISTEN_ADDR=127.0.0.1:0", "LOG_LEVEL=error", "WORKSPACE_ROOTS=" + t.TempDir() + ",/no/such/directory"}
		run(t, env, command).wantMistake(t, "WORKSPACE_ROOTS", "/no/such/directory")
	}
}

func TestAPortInUseIsOneLine(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	addr := listener.Addr().String()
	// Not after a wait for Redis, which is not there.
	got := run(t, []string{"LISTEN_ADDR=" + addr, "LOG_LEVEL=error", "REDIS_URL=redis://" + closedPort(t)})
	got.wantMistake(t, "LISTEN_ADDR", addr, "in use")
	if got.took > patience {
		t.Errorf("says so after %v", got.took)
	}
}

func TestRedisThatIsDownAtStartIsOneLineWithoutThePassword(t *testing.T) {
	addr := closedPort(t)
	env := []string{"LISTEN_ADDR=127.0.0.1:0", "REDIS_URL=redis://:hunter2@" + addr, "REDIS_CONNECT_TIMEOUT=1s"}
	for _, command := range []string{"serve", "stdio"} {
		t.Run(command, func(t *testing.T) {
			got := run(t, append(env, "LOG_LEVEL=error"), command)
			got.wantMistake(t, addr)
			if got.took < time.Second || got.took > patience {
				t.Errorf("gives up after %v, want 1s", got.took)
			}
		})
	}
	t.Run("told in detail", func(t *testing.T) {
		got := run(t, append(env, "LOG_LEVEL=debug"))
		if strings.Contains(got.stderr, "hunter2") {
			t.Errorf("the password is in the log:\n%s", got.stderr)
		}
		if !strings.Contains(got.stderr, "not reachable yet") || !strings.Contains(got.stderr, "refused") {
			t.Errorf("the log does not say what it waits for:\n%s", got.stderr)
		}
	})
}

func TestHealthcheckOfAServerThatIsNotHealthyFails(t *testing.T) {
	unhealthy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer unhealthy.Close()
	down := closedPort(t)
	for _, test := range []struct{ addr, says string }{
		{down, down},
		{strings.TrimPrefix(unhealthy.URL, "http://"), "500"},
		{"127.0.0.1:0", "LISTEN_ADDR"},
	} {
		run(t, []string{"LISTEN_ADDR=" + test.addr}, "healthcheck").wantMistake(t, test.says)
	}
}

func TestRedisDownSaysWhy(t *testing.T) {
	addr := closedPort(t)
	got := run(t, []string{"LISTEN_ADDR=127.0.0.1:0", "LOG_LEVEL=error", "REDIS_URL=redis://:hunter2@" + addr, "REDIS_CONNECT_TIMEOUT=1s"})
	got.wantMistake(t, addr, "connection refused")
}

func TestAnUnknownFlagOfASubcommandIsOneLine(t *testing.T) {
	run(t, nil, "stdio", "--port=1").wantMistake(t, "port")
}

func TestAnMCPPathWithATabIsOneLine(t *testing.T) {
	run(t, []string{"LISTEN_ADDR=127.0.0.1:0", "LOG_LEVEL=error", "MCP_PATH=/a\tb"}).wantMistake(t, "MCP_PATH")
}

func TestABadPrefixNamesItsVariable(t *testing.T) {
	run(t, []string{"LISTEN_ADDR=127.0.0.1:0", "LOG_LEVEL=error", "REDIS_PREFIX=a b", "REDIS_URL=redis://" + closedPort(t)}).wantMistake(t, "REDIS_PREFIX")
}

func TestABadDatabaseNamesItsVariable(t *testing.T) {
	run(t, []string{"LISTEN_ADDR=127.0.0.1:0", "LOG_LEVEL=error", "REDIS_URL=redis://:hunter2@" + closedPort(t) + "/abc"}).wantMistake(t, "REDIS_URL")
}
