// Package replica builds the server of this repository and runs it as real
// processes.
package replica

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mcpsession/mcpsession/integration/internal/repo"
)

// buildDir is where Main lets Binary build; empty before Main.
var buildDir string

// Main runs the tests of a package that starts replicas and returns their exit
// code. It removes the built binary afterwards:
//
//	func TestMain(m *testing.M) { os.Exit(replica.Main(m)) }
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mcpsession-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "replica:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	buildDir = dir
	return m.Run()
}

// Binary returns the path of cmd/mcpsession, built once in this test process
// from the working tree, with the race detector if the tests run with it.
func Binary(t testing.TB) string {
	t.Helper()
	return built(t, buildServer)
}

// built returns the path of a program that build builds.
func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	if buildDir == "" {
		t.Fatal("the package needs: func TestMain(m *testing.M) { os.Exit(replica.Main(m)) }")
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var (
	buildServer     = sync.OnceValues(func() (string, error) { return build("cmd/mcpsession") })
	buildEverything = sync.OnceValues(func() (string, error) { return build("examples/everything") })
)

// build builds a command of this repository.
func build(command string) (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	race, err := raceEnabled()
	if err != nil {
		return "", err
	}
	path := filepath.Join(buildDir, filepath.Base(command))
	cmd := exec.Command("go", "build", "-buildvcs=false", fmt.Sprintf("-race=%t", race), "-o", path, "./"+command)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return path, nil
}

// raceEnabled reports whether this test binary has the race detector.
func raceEnabled() (bool, error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	info, err := buildinfo.ReadFile(self)
	if err != nil {
		return false, err
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true", nil
		}
	}
	return false, nil
}
