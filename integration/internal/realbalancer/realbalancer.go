// Package realbalancer runs HAProxy and nginx before the replicas of a test, with
// the settings of deploy/.
package realbalancer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mcpsession/mcpsession/integration/internal/poll"
	"github.com/mcpsession/mcpsession/integration/internal/proc"
	"github.com/mcpsession/mcpsession/integration/internal/repo"
)

const (
	startTimeout = 20 * time.Second
	startTries   = 10

	// Ports are drawn from a range below those of the Redis servers and proxies
	// of other tests.
	firstPort, ports = 10000, 2000
)

// Names of the balancers, as Start takes them.
const (
	HAProxy = "haproxy"
	Nginx   = "nginx"
)

// A Balancer listens on loopback until the test ends.
type Balancer struct {
	*proc.Process
	addr string
}

// URL returns the balancer's base URL.
func (b *Balancer) URL() string { return "http://" + b.addr }

// Start starts a balancer over the replicas with these host:port addresses, as
// deploy/ configures it: only addresses, and what concerns looking them up, are
// replaced.
func Start(t testing.TB, name string, replicas ...string) *Balancer {
	t.Helper()
	root, err := repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(root, "scripts", "balancer.sh"), name).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatal(strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		t.Fatalf("scripts/balancer.sh: %v", err)
	}
	path := strings.TrimSpace(string(out))
	for range startTries {
		dir := t.TempDir()
		b := &Balancer{addr: net.JoinHostPort("127.0.0.1", fmt.Sprint(firstPort+rand.IntN(ports)))}
		var args []string
		switch name {
		case HAProxy:
			args = []string{"-db", "-f", write(t, dir, "haproxy.cfg", edit(t, root, "haproxy.cfg", haproxyEdits(b.addr, replicas)))}
		case Nginx:
			// One process: a master that is killed would leave its workers.
			args = []string{"-p", dir, "-g", "daemon off; master_process off;", "-c", write(t, dir, "nginx.conf", edit(t, root, "nginx.conf", nginxEdits(b.addr, dir, replicas)))}
		default:
			t.Fatalf("no balancer is called %s", name)
		}
		b.Process = proc.Start(t, name, os.Environ(), path, args...)
		err := poll.Until(startTimeout, func() error {
			if !b.Running() {
				return poll.Stop(fmt.Errorf("it ended with exit code %d", b.ExitCode()))
			}
			conn, err := net.DialTimeout("tcp", b.addr, time.Second)
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err == nil {
			return b
		}
		if b.Running() || !inUse.MatchString(b.Log()) {
			t.Fatalf("start %s: %v\n%s", name, err, b.Log())
		}
	}
	t.Fatalf("start %s: no port to listen on after %d tries", name, startTries)
	return nil
}

var inUse = regexp.MustCompile(`(?i)address already in use|cannot bind socket`)

// change replaces one occurrence of what, of which the file must have as many as
// are replaced.
type change struct{ what, by string }

func haproxyEdits(addr string, replicas []string) []change {
	var servers []string
	for i, r := range replicas {
		servers = append(servers, fmt.Sprintf("server replica%d %s", i+1, r))
	}
	return []change{
		{"bind :8080", "bind " + addr},
		{"server-template replica 10 mcpsession:8080", strings.Join(servers, "\n    ")},
		{" resolvers docker resolve-prefer ipv4 init-addr none", ""},
		{"resolvers docker\n    parse-resolv-conf\n    accepted_payload_size 8192\n    timeout resolve 1s\n    timeout retry 1s\n    hold valid 1s\n", ""},
	}
}

func nginxEdits(addr, dir string, replicas []string) []change {
	const server = "server mcpsession:8080 max_fails=1 fail_timeout=2s;"
	var servers []string
	for _, r := range replicas {
		servers = append(servers, strings.Replace(server, "mcpsession:8080", r, 1))
	}
	changes := []change{
		{"listen 8080;", "listen " + addr + ";"},
		{server, strings.Join(servers, "\n        ")},
	}
	for _, file := range []string{"nginx.pid", "client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		changes = append(changes, change{" /tmp/" + file + ";", " " + filepath.Join(dir, file) + ";"})
	}
	return changes
}

// edit returns a file of deploy/ with changes.
func edit(t testing.TB, root, name string, changes []change) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, c := range changes {
		if strings.Count(text, c.what) != 1 {
			t.Fatalf("deploy/%s does not have %q once: this test has to learn how it names replicas now", name, c.what)
		}
		text = strings.Replace(text, c.what, c.by, 1)
	}
	return text
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
