package project

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// asNobody runs fn without root's power to read everything, which tests in a
// container usually have. Linux keeps the identity for file access per thread:
// only fn's changes, and ends with its goroutine.
func asNobody(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		defer close(done)
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // and never unlock: the thread dies here
			const nobody = 65534
			if err := errors.Join(syscall.Setfsgid(nobody), syscall.Setfsuid(nobody)); err != nil {
				done <- err
				return
			}
		}
		fn()
	}()
	if err := <-done; err != nil {
		t.Fatalf("drop root's power over files: %v", err)
	}
}

// openTempDir is a temporary directory that others may pass through.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir := tempDir(t)
	for _, d := range []string{dir, filepath.Dir(dir)} {
		chmod(t, d, 0o755)
	}
	return dir
}

func chmod(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(path, 0o755) })
}

func TestPermissions(t *testing.T) {
	dir := openTempDir(t)
	write(t, named("top"), dir, first)

	unreadable := write(t, named("x"), dir, "unreadable-file", first)
	chmod(t, unreadable, 0)

	mkdir(t, dir, "unreadable-level")
	write(t, named("nobody sees it"), dir, "unreadable-level", first)
	chmod(t, filepath.Join(dir, "unreadable-level"), 0o600)

	write(t, named("nobody sees it"), dir, "unreadable-config-dir", first)
	chmod(t, filepath.Join(dir, "unreadable-config-dir", ".codebase-mcp"), 0)

	passable := mkdir(t, dir, "searchable-only", "below")
	chmod(t, filepath.Dir(passable), 0o711)

	hidden := mkdir(t, dir, "locked", "below")
	chmod(t, filepath.Dir(hidden), 0)

	linked := link(t, filepath.Join(hidden, "config.json"), dir, "link-to-locked", first)

	find := func(f *Finder, dir string) (Found, error) {
		var found Found
		var err error
		asNobody(t, func() {
			// Otherwise nothing below proves anything.
			if _, readErr := os.ReadFile(unreadable); !errors.Is(readErr, fs.ErrPermission) {
				t.Errorf("this test can read everything: %v", readErr)
			}
			found, err = f.Find(t.Context(), dir)
		})
		return found, err
	}
	for name, f := range map[string]*Finder{"unconfined": newFinder(t), "confined": newFinder(t, dir)} {
		t.Run(name, func(t *testing.T) {
			t.Run("a candidate that may not be read is an error", func(t *testing.T) {
				_, err := find(f, filepath.Dir(filepath.Dir(unreadable)))
				if !errors.Is(err, ErrInvalidConfig) {
					t.Fatalf("%v, want ErrInvalidConfig", err)
				}
				wantError(t, err, unreadable, "cannot be opened", "permission denied")
			})
			t.Run("so is a link to where nobody may look", func(t *testing.T) {
				_, err := find(f, filepath.Dir(filepath.Dir(linked)))
				if !errors.Is(err, ErrInvalidConfig) {
					t.Fatalf("%v, want ErrInvalidConfig", err)
				}
				wantError(t, err, linked, "permission denied")
			})
			for _, sub := range []string{"unreadable-level", "unreadable-config-dir"} {
				t.Run("skipped: "+sub, func(t *testing.T) {
					found, err := find(f, filepath.Join(dir, sub))
					if err != nil || found.Config.Project.Name != "top" {
						t.Errorf("%+v, %v, want the configuration above", found, err)
					}
				})
			}
			t.Run("a directory below a locked one says why it cannot be used", func(t *testing.T) {
				_, err := find(f, hidden)
				wantError(t, err, hidden, "cannot be looked at", "permission denied")
			})
		})
	}
	t.Run("unconfined, a parent that is only searchable is passed through", func(t *testing.T) {
		found, err := find(newFinder(t), passable)
		if err != nil || found.Config.Project.Name != "top" {
			t.Errorf("%+v, %v, want the configuration above", found, err)
		}
	})
	t.Run("a cached file that may no longer be read is an error", func(t *testing.T) {
		f := newFinder(t)
		path := write(t, named("was readable"), dir, "cached", first)
		if _, err := find(f, filepath.Join(dir, "cached")); err != nil {
			t.Fatal(err)
		}
		chmod(t, path, 0)
		_, err := find(f, filepath.Join(dir, "cached"))
		wantError(t, err, path, "permission denied")
	})
}
