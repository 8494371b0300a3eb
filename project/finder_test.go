package project

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestNewFinderRefuses(t *testing.T) {
	dir := tempDir(t)
	file := write(t, "x", dir, "file")
	for name, c := range map[string]struct {
		options FinderOptions
		says    string
	}{
		"a relative root":       {FinderOptions{Roots: []string{"work"}}, "not absolute"},
		"an empty root":         {FinderOptions{Roots: []string{""}}, "not absolute"},
		"a missing root":        {FinderOptions{Roots: []string{filepath.Join(dir, "none")}}, "no such file"},
		"a file as root":        {FinderOptions{Roots: []string{file}}, "is not a directory"},
		"an absolute name":      {FinderOptions{Names: []string{"/etc/config.json"}}, "relative"},
		"a name leading up":     {FinderOptions{Names: []string{"../config.json"}}, "relative"},
		"an empty name":         {FinderOptions{Names: []string{""}}, "relative"},
		"the directory itself":  {FinderOptions{Names: []string{"a/.."}}, "relative"},
		"a NUL in a name":       {FinderOptions{Names: []string{"a\x00"}}, "relative"},
		"a negative cache size": {FinderOptions{CacheSize: -1}, "cache size -1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewFinder(c.options)
			wantError(t, err, c.says)
		})
	}
}

func TestFindWalksUpwards(t *testing.T) {
	dir := tempDir(t)
	f := newFinder(t, dir)
	sub := mkdir(t, dir, "app", "src", "pkg")

	_, err := f.Find(t.Context(), sub)
	if !errors.Is(err, ErrNoConfig) {
		t.Fatalf("with no configuration anywhere: %v", err)
	}
	wantError(t, err, first, second, sub)

	write(t, named("parent"), dir, "app", second)
	found := wantName(t, f, sub, "parent")
	if want := filepath.Join(dir, "app", second); found.Path != want {
		t.Errorf("path %q, want %q", found.Path, want)
	}

	write(t, named("parent, first name"), dir, "app", first)
	wantName(t, f, sub, "parent, first name")

	write(t, named("nearer, second name"), sub, second)
	wantName(t, f, sub, "nearer, second name")
}

func TestFindUsesTheNamesConfigured(t *testing.T) {
	dir := tempDir(t)
	write(t, named("default name"), dir, first)
	write(t, named("own name"), dir, "project.json")
	f, err := NewFinder(FinderOptions{Names: []string{"other.json", "project.json"}})
	if err != nil {
		t.Fatal(err)
	}
	wantName(t, f, dir, "own name")
}

func TestFindSearchesTwentyDirectories(t *testing.T) {
	dir := tempDir(t)
	f := newFinder(t, dir)
	write(t, named("top"), dir, first)
	nineteenBelow := mkdir(t, dir, strings.Repeat("d/", 19))
	twentyBelow := mkdir(t, nineteenBelow, "d")
	wantName(t, f, nineteenBelow, "top")
	if _, err := f.Find(t.Context(), twentyBelow); !errors.Is(err, ErrNoConfig) {
		t.Errorf("21 directories away: %v, want ErrNoConfig", err)
	}
}

func TestTheNearestCandidateDecidesEvenIfItIsUnusable(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		says    string
	}{
		"it is empty":      {"", "not valid JSON"},
		"it is no JSON":    {"project: x", "not valid JSON"},
		"it is too large":  {strings.Repeat(" ", maxConfigBytes) + "{}", "larger than 1048576 bytes"},
		"it is no UTF-8":   {"\xff\xfe{\x00}\x00", "not UTF-8"},
		"it has no name":   {`{"version": "1.0"}`, "project.name is missing"},
		"it is too modern": {`{"version": "2.0", "project": {"name": "x"}}`, "newer"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			write(t, named("parent"), dir, first)
			write(t, named("second name"), dir, "app", second)
			path := write(t, c.content, dir, "app", first)
			f := newFinder(t, dir)
			for range 2 { // from the disk, then from the cache
				_, err := f.Find(t.Context(), filepath.Join(dir, "app"))
				if !errors.Is(err, ErrInvalidConfig) {
					t.Fatalf("%v, want ErrInvalidConfig", err)
				}
				wantError(t, err, path, c.says)
			}
		})
	}
}

func TestACandidateThatIsADirectoryIsAnError(t *testing.T) {
	dir := tempDir(t)
	mkdir(t, dir, first)
	_, err := newFinder(t).Find(t.Context(), dir)
	if !errors.Is(err, ErrInvalidConfig) {
		t.Fatalf("%v, want ErrInvalidConfig", err)
	}
	wantError(t, err, filepath.Join(dir, first), "is a directory")
}

func TestAFileInTheCandidatesDirectorysPlaceIsNoCandidate(t *testing.T) {
	dir := tempDir(t)
	write(t, "x", dir, ".codebase-mcp")
	write(t, named("second name"), dir, second)
	wantName(t, newFinder(t), dir, "second name")
}

func TestAFileOfExactlyOneMegabyteIsRead(t *testing.T) {
	dir := tempDir(t)
	content := named("padded")
	write(t, content+strings.Repeat("\n", maxConfigBytes-len(content)), dir, first)
	wantName(t, newFinder(t), dir, "padded")
}

func TestFindHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newFinder(t).Find(ctx, tempDir(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

// overwrite changes a file in place and then restores its modification time:
// only a cache can still know the old content.
func overwrite(t *testing.T, path, content string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func TestCache(t *testing.T) {
	setUp := func(t *testing.T) (f *Finder, dir, path string) {
		dir = tempDir(t)
		path = write(t, named("old"), dir, first)
		f = newFinder(t, dir)
		dir = mkdir(t, dir, "sub")
		wantName(t, f, dir, "old")
		return f, dir, path
	}
	t.Run("spares reading a file that looks the same", func(t *testing.T) {
		f, dir, path := setUp(t)
		overwrite(t, path, named("new"))
		wantName(t, f, dir, "old")
	})
	t.Run("ends with another modification time", func(t *testing.T) {
		f, dir, path := setUp(t)
		overwrite(t, path, named("new"))
		age(t, path, 2*time.Hour)
		wantName(t, f, dir, "new")
	})
	t.Run("ends with another size", func(t *testing.T) {
		f, dir, path := setUp(t)
		overwrite(t, path, named("newer"))
		wantName(t, f, dir, "newer")
	})
	t.Run("ends with another file of the same size and time", func(t *testing.T) {
		f, dir, path := setUp(t)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		other := write(t, named("new"), filepath.Dir(path), "other.json")
		if err := os.Chtimes(other, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(other, path); err != nil {
			t.Fatal(err)
		}
		wantName(t, f, dir, "new")
	})
	t.Run("ends when a nearer candidate appears, and returns when it goes", func(t *testing.T) {
		f, dir, path := setUp(t)
		nearer := write(t, named("nearer"), dir, second)
		wantName(t, f, dir, "nearer")
		if err := os.Remove(nearer); err != nil {
			t.Fatal(err)
		}
		if found := wantName(t, f, dir, "old"); found.Path != path {
			t.Errorf("path %q, want %q", found.Path, path)
		}
	})
	t.Run("ends when the file goes", func(t *testing.T) {
		f, dir, path := setUp(t)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Find(t.Context(), dir); !errors.Is(err, ErrNoConfig) {
			t.Errorf("%v, want ErrNoConfig", err)
		}
	})
	t.Run("keeps errors too, until the file is corrected", func(t *testing.T) {
		f, dir, path := setUp(t)
		write(t, "{", path)
		for range 2 {
			if _, err := f.Find(t.Context(), dir); !errors.Is(err, ErrInvalidConfig) {
				t.Fatalf("%v, want ErrInvalidConfig", err)
			}
		}
		write(t, named("corrected"), path)
		wantName(t, f, dir, "corrected")
	})
	t.Run("does not trust a file that changed a moment ago", func(t *testing.T) {
		f, dir, path := setUp(t)
		write(t, named("one"), path)
		age(t, path, 0)
		wantName(t, f, dir, "one")
		overwrite(t, path, named("two"))
		wantName(t, f, dir, "two")
	})
	t.Run("is bounded", func(t *testing.T) {
		dir := tempDir(t)
		write(t, named("x"), dir, first)
		f, err := NewFinder(FinderOptions{CacheSize: 2})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			wantName(t, f, mkdir(t, dir, fmt.Sprint(i)), "x")
		}
		if n := f.cache.Len(); n != 2 {
			t.Errorf("%d directories cached, want 2", n)
		}
	})
}

func TestConcurrentFindsSeeOneWholeVersion(t *testing.T) {
	dir := tempDir(t)
	sub := mkdir(t, dir, "sub")
	write(t, named("version 0"), dir, first)
	f := newFinder(t, dir)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for last := 0; ; {
				found, err := f.Find(context.Background(), sub)
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				if _, err := fmt.Sscanf(found.Config.Project.Name, "version %d", &n); err != nil || n < last {
					t.Errorf("%q after version %d", found.Config.Project.Name, last)
					return
				}
				last = n
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := 1; i <= 100; i++ {
		next := write(t, named(fmt.Sprintf("version %d", i)), dir, "next")
		age(t, next, time.Hour+time.Duration(i)*time.Second)
		if err := os.Rename(next, filepath.Join(dir, first)); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	wg.Wait()
	wantName(t, f, sub, "version 100")
}
