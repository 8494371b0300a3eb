//go:build unix

package project

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// confined makes root and a neighbour with a configuration that must stay hidden.
func confined(t *testing.T) (f *Finder, root, secret string) {
	t.Helper()
	dir := tempDir(t)
	write(t, named("above"), dir, first)
	root = mkdir(t, dir, "root")
	secret = mkdir(t, dir, "secret")
	write(t, named("secret"), secret, first)
	return newFinder(t, root), root, secret
}

func TestOutsideTheRootsNothingCanBeProbed(t *testing.T) {
	f, root, secret := confined(t)
	file := write(t, "x", secret, "file")
	none := filepath.Join(secret, "none")
	link(t, secret, root, "absolute")
	link(t, "../secret", root, "relative")
	link(t, none, root, "dangling")
	link(t, file, root, "to-file")
	link(t, "absolute", root, "twice")

	outsideError := func(dir string) string {
		t.Helper()
		_, err := f.CheckDirectory(dir)
		if !errors.Is(err, ErrOutsideRoots) {
			t.Errorf("%s: %v, want ErrOutsideRoots", dir, err)
			return ""
		}
		wantError(t, err, root)
		if strings.HasPrefix(dir, root) && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %q tells where the link leads", dir, err)
		}
		_, findErr := f.Find(t.Context(), dir)
		if findErr == nil || findErr.Error() != err.Error() {
			t.Errorf("%s: Find says %v, CheckDirectory %v", dir, findErr, err)
		}
		return strings.ReplaceAll(err.Error(), `"`+dir+`"`, "DIR")
	}
	want := outsideError(secret)
	for _, dir := range []string{
		none, file, "/", filepath.Dir(root), root + "-neighbour", filepath.Join(file, "deeper"),
		filepath.Join(root, "absolute"), filepath.Join(root, "relative"), filepath.Join(root, "dangling"),
		filepath.Join(root, "to-file"), filepath.Join(root, "twice"), filepath.Join(root, "absolute", "none"),
		filepath.Join(root, "to-file", "deeper"), "/proc/self/cwd",
	} {
		if got := outsideError(dir); got != want {
			t.Errorf("%s: error %q differs from %q", dir, got, want)
		}
	}
	if _, err := f.CheckDirectory(root + "/../secret"); !errors.Is(err, ErrOutsideRoots) {
		t.Errorf("upwards: %v, want ErrOutsideRoots", err)
	}
}

func TestTheSearchEndsAtTheRoot(t *testing.T) {
	f, root, _ := confined(t)
	for _, dir := range []string{root, mkdir(t, root, "a", "b")} {
		if _, err := f.Find(t.Context(), dir); !errors.Is(err, ErrNoConfig) {
			t.Errorf("%s: %v, want ErrNoConfig", dir, err)
		}
	}
	write(t, named("in the root"), root, first)
	wantName(t, f, filepath.Join(root, "a", "b"), "in the root")
}

func TestACandidateThatLinksOutOfTheRootsIsAnError(t *testing.T) {
	for name, target := range map[string]string{"to a file": first, "to nothing": "none"} {
		t.Run(name, func(t *testing.T) {
			f, root, secret := confined(t)
			path := link(t, filepath.Join(secret, target), root, first)
			_, err := f.Find(t.Context(), root)
			if !errors.Is(err, ErrInvalidConfig) || !errors.Is(err, ErrOutsideRoots) {
				t.Fatalf("%v, want ErrInvalidConfig and ErrOutsideRoots", err)
			}
			wantError(t, err, path)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("error %q tells where the link leads", err)
			}
		})
	}
	t.Run("its directory", func(t *testing.T) {
		f, root, secret := confined(t)
		link(t, filepath.Join(secret, ".codebase-mcp"), root, ".codebase-mcp")
		if _, err := f.Find(t.Context(), root); !errors.Is(err, ErrOutsideRoots) {
			t.Fatalf("%v, want ErrOutsideRoots", err)
		}
	})
}

func TestLinksInsideTheRootsAreFollowed(t *testing.T) {
	f, root, _ := confined(t)
	write(t, named("real"), root, "real", first)
	mkdir(t, root, "real", "sub")
	write(t, named("shared"), root, "shared", "any.json")
	link(t, filepath.Join(root, "real"), root, "absolute")
	link(t, "x/../../real/./sub/", root, "links", "relative")
	mkdir(t, root, "links", "x")
	link(t, "../root/real", root, "out-and-in")
	link(t, "../../shared/any.json", root, "a", first)
	link(t, filepath.Join(root, "shared", "any.json"), root, "b", second)

	for dir, want := range map[string]string{
		"absolute": "real", "absolute/sub": "real", "links/relative": "real", "out-and-in": "real",
		"a": "shared", "b": "shared",
	} {
		wantName(t, f, filepath.Join(root, dir), want)
		wantName(t, newFinder(t), filepath.Join(root, dir), want)
	}
	found := wantName(t, f, filepath.Join(root, "absolute", "sub"), "real")
	if want := filepath.Join(root, "real", first); found.Path != want {
		t.Errorf("path %q, want that in the real directory, %q", found.Path, want)
	}
}

func TestARootMayBeNamedThroughALink(t *testing.T) {
	dir := tempDir(t)
	write(t, named("app"), dir, "real", "app", first)
	link(t, "real", dir, "alias")
	f := newFinder(t, filepath.Join(dir, "alias"))
	wantName(t, f, filepath.Join(dir, "alias", "app"), "app")
	wantName(t, f, filepath.Join(dir, "real", "app"), "app")
}

func TestALinkMayLeadFromOneRootToAnother(t *testing.T) {
	dir := tempDir(t)
	write(t, named("b"), dir, "b", first)
	mkdir(t, dir, "b", "sub")
	link(t, filepath.Join(dir, "b", "sub"), dir, "a", "to-b")
	f := newFinder(t, filepath.Join(dir, "a"), filepath.Join(dir, "b"))
	wantName(t, f, filepath.Join(dir, "a", "to-b"), "b")
}

func TestARootMadeAgainWorks(t *testing.T) {
	f, root, _ := confined(t)
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	_, err := f.CheckDirectory(root)
	wantError(t, err, "does not exist")
	write(t, named("again"), root, first)
	wantName(t, f, root, "again")
}

func TestBrokenLinksAreErrorsThatSaySo(t *testing.T) {
	dir := tempDir(t)
	link(t, "none", dir, "broken")
	link(t, "loop", dir, "loop")
	link(t, "none", dir, "a", first)
	link(t, "none", dir, "b", ".codebase-mcp")
	link(t, "config.json", dir, "c", first)
	write(t, named("parent"), dir, first)
	for _, f := range []*Finder{newFinder(t), newFinder(t, dir)} {
		_, err := f.CheckDirectory(filepath.Join(dir, "broken"))
		wantError(t, err, "does not exist", "symbolic link")
		_, err = f.CheckDirectory(filepath.Join(dir, "loop"))
		wantError(t, err, "too many links")
		for _, sub := range []string{"a", "b", "c"} {
			_, err := f.Find(t.Context(), filepath.Join(dir, sub))
			if !errors.Is(err, ErrInvalidConfig) {
				t.Errorf("%s: %v, want ErrInvalidConfig", sub, err)
			}
			wantError(t, err, filepath.Join(dir, sub, first), "symbolic link")
		}
	}
}

func TestFIFOsAndDevicesNeverBlock(t *testing.T) {
	dir := tempDir(t)
	mkdir(t, dir, ".codebase-mcp")
	fifo := filepath.Join(dir, first)
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	link(t, "/dev/zero", dir, "device", first)
	for _, f := range []*Finder{newFinder(t), newFinder(t, dir)} {
		_, err := f.Find(t.Context(), dir)
		if !errors.Is(err, ErrInvalidConfig) {
			t.Fatalf("%v, want ErrInvalidConfig", err)
		}
		wantError(t, err, fifo, "no regular file")

		// One that takes a file's place after the look at it.
		d := f.look()
		defer d.close()
		_, _, err = d.read(fifo)
		wantError(t, err, "no regular file")
	}
	_, err := newFinder(t).Find(t.Context(), filepath.Join(dir, "device"))
	wantError(t, err, "no regular file")
}

// A link inside the root is switched to and fro while Find runs.
func TestConfinementHoldsWhileLinksChange(t *testing.T) {
	f, root, secret := confined(t)
	write(t, named("inside"), root, "inside", first)
	mkdir(t, root, "inside", "sub")
	mkdir(t, secret, "sub")
	current := filepath.Join(root, "current")

	ctx, stop := context.WithCancel(t.Context())
	switched := make(chan error, 1)
	go func() {
		for i := 0; ctx.Err() == nil; i++ {
			next := filepath.Join(root, "next")
			if err := os.Symlink([]string{"inside", secret, "../secret"}[i%3], next); err != nil {
				switched <- err
				return
			}
			if err := os.Rename(next, current); err != nil {
				switched <- err
				return
			}
		}
		switched <- nil
	}()
	for range 3000 {
		found, err := f.Find(t.Context(), filepath.Join(current, "sub"))
		if err == nil && found.Config.Project.Name != "inside" {
			t.Errorf("found %q outside the root", found.Path)
			break
		}
	}
	stop()
	if err := <-switched; err != nil {
		t.Fatal(err)
	}
}

// The last step before the open: what was resolved has become a link outside.
func TestAFileThatBecomesALinkIsNotOpenedOutside(t *testing.T) {
	f, root, secret := confined(t)
	link(t, filepath.Join(secret, ".codebase-mcp"), root, "dir")
	link(t, "../secret/.codebase-mcp/config.json", root, "file")
	d := f.look()
	defer d.close()
	for _, path := range []string{"dir/config.json", "file"} {
		if data, _, err := d.read(filepath.Join(root, path)); err == nil {
			t.Errorf("read %d bytes from outside through %s", len(data), path)
		}
	}
}
