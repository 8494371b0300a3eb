package project

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tempDir is t.TempDir with its links resolved, so that paths compare.
func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// write makes a file and its directories, an hour old: settled, so cacheable.
func write(t testing.TB, content string, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	mkdir(t, filepath.Dir(path))
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	age(t, path, time.Hour)
	return path
}

func age(t testing.TB, path string, by time.Duration) {
	t.Helper()
	when := time.Now().Add(-by).Truncate(time.Second)
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t testing.TB, elements ...string) string {
	t.Helper()
	dir := filepath.Join(elements...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func link(t testing.TB, target string, elements ...string) string {
	t.Helper()
	path := filepath.Join(elements...)
	mkdir(t, filepath.Dir(path))
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	first  = ".codebase-mcp/config.json"
	second = ".workflow-mcp/config.json"
)

func named(name string) string {
	return fmt.Sprintf(`{"version": "1.0", "project": {"name": %q}}`, name)
}

func newFinder(t testing.TB, roots ...string) *Finder {
	t.Helper()
	f, err := NewFinder(FinderOptions{Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func wantName(t testing.TB, f *Finder, dir, name string) Found {
	t.Helper()
	found, err := f.Find(t.Context(), dir)
	if err != nil {
		t.Fatalf("Find(%q): %v", dir, err)
	}
	if found.Config.Project.Name != name {
		t.Fatalf("Find(%q) found project %q, want %q", dir, found.Config.Project.Name, name)
	}
	return found
}

func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}
