package project

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// maxLevels is how many directories are searched: the one asked about and
	// its nearest 19 parents.
	maxLevels = 20

	defaultCacheSize = 1024

	// settleTime: a file may change twice within one tick of its file system's
	// clock (2 s on FAT) and keep its size. Until its modification time is
	// older than this, a later change might not show, so it is not cached.
	settleTime = 2 * time.Second
)

var (
	// ErrNoConfig: neither the directory nor any parent searched has a
	// configuration file.
	ErrNoConfig = errors.New("no project configuration found")

	// ErrInvalidConfig: the nearest configuration file cannot be read, or its
	// content is wrong. The message names the file and what to change.
	ErrInvalidConfig = errors.New("invalid project configuration")

	// ErrOutsideRoots: the path leads outside FinderOptions.Roots, so it was
	// not looked at. It says nothing about what exists there.
	ErrOutsideRoots = errors.New("outside the allowed roots")
)

// FinderOptions configures a [Finder]. The zero value searches the whole disk
// for the default names.
type FinderOptions struct {
	// Roots are existing directories, absolute paths. If there are any,
	// nothing outside them is looked at, and the search ends at them. Every
	// directory inside that is passed through must be readable, not merely
	// searchable, by this process. Default: the whole disk.
	Roots []string

	// Names are the candidate files of a directory, most important first, as
	// slash-separated paths relative to it. Default:
	// .codebase-mcp/config.json, then .workflow-mcp/config.json.
	Names []string

	// CacheSize is how many directories' configurations are remembered; the
	// least recently used is forgotten first. Default 1024.
	CacheSize int
}

// Finder finds project configurations on this machine's disk. It is safe for
// concurrent use and holds no open files.
type Finder struct {
	roots []root
	names []string
	cache *lru.Cache[string, cached] // by resolved directory
}

type root struct {
	name string // as configured, clean
	real string // with symbolic links resolved, once, by NewFinder
}

// cached is what was read for a directory. It counts for as long as the search
// ends at the same file and the file looks the same.
type cached struct {
	path   string // of the candidate, links in it not resolved
	info   fs.FileInfo
	config Config
	err    error // the file was read, and is wrong
}

// Found is a configuration and the file it was read from. The path is absolute;
// links are resolved in its directory but not in the candidate's own name.
type Found struct {
	Path   string
	Config Config
}

// NewFinder checks the options and returns a Finder. Roots must be absolute and
// existing directories; their symbolic links are resolved now, once.
func NewFinder(o FinderOptions) (*Finder, error) {
	f := &Finder{}
	for _, name := range o.Roots {
		real, err := resolveRoot(name)
		if err != nil {
			return nil, fmt.Errorf("root %q %w", name, err)
		}
		f.roots = append(f.roots, root{name: filepath.Clean(name), real: real})
	}

	names := o.Names
	if len(names) == 0 {
		names = []string{".codebase-mcp/config.json", ".workflow-mcp/config.json"}
	}
	for _, name := range names {
		local := filepath.Clean(filepath.FromSlash(name))
		if !filepath.IsLocal(name) || local == "." || strings.ContainsRune(name, 0) {
			return nil, fmt.Errorf("candidate name %q must be a relative path to a file that does not lead upwards", name)
		}
		f.names = append(f.names, local)
	}

	size := o.CacheSize
	if size == 0 {
		size = defaultCacheSize
	}
	cache, err := lru.New[string, cached](size)
	if err != nil {
		return nil, fmt.Errorf("cache size %d: %w", size, err)
	}
	f.cache = cache
	return f, nil
}

func resolveRoot(name string) (string, error) {
	if !filepath.IsAbs(name) {
		return "", errors.New("is not absolute: give the full path")
	}
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return "", fmt.Errorf("cannot be used: %w", cause(err))
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", fmt.Errorf("cannot be used: %w", cause(err))
	}
	if !info.IsDir() {
		return "", errNotDirectory
	}
	return real, nil
}

// Find returns the configuration of the project that dir belongs to: the first
// candidate that exists in dir or, failing that, in its parents, at most 20
// directories in all and none outside the roots. Symbolic links in dir are
// resolved first, so parents are those of the real directory.
//
// A place that may not be looked at is skipped. A candidate that exists decides,
// even if it is unusable: a broken link or one that leaves the roots, no regular
// file, not readable, over 1 MB, or wrong in its content. Such an error wraps
// [ErrInvalidConfig]; if there is no candidate, it wraps [ErrNoConfig]; if dir
// itself is no good, it is that of [Finder.CheckDirectory].
//
// Find always sees the disk as it is: what it remembers spares only reading and
// parsing a file that did not change. ctx is checked between disk accesses; one
// that hangs in the operating system is not interrupted.
func (f *Finder) Find(ctx context.Context, dir string) (Found, error) {
	if err := ctx.Err(); err != nil {
		return Found{}, fmt.Errorf("find project configuration: %w", err)
	}
	d := f.look()
	defer d.close()
	clean, start, err := d.locate(dir)
	if err != nil {
		return Found{}, err
	}

	level := start
	for range maxLevels {
		for _, name := range f.names {
			if err := ctx.Err(); err != nil {
				return Found{}, fmt.Errorf("find project configuration: %w", err)
			}
			path := filepath.Join(level, name)
			target, info, err := d.resolve(level, name)
			if errors.Is(err, errLink) {
				return Found{}, invalid(path, err)
			}
			if err != nil {
				continue // missing, or nobody may know whether it exists
			}
			return f.load(d, start, path, target, info)
		}
		parent := filepath.Dir(level)
		if _, _, inside := f.inside(parent); parent == level || !inside {
			break
		}
		level = parent
	}
	return Found{}, fmt.Errorf("%w: no %s in %q or up to %d directories above it",
		ErrNoConfig, strings.Join(f.names, " or "), clean, maxLevels-1)
}

// load returns the configuration in the file target, which is what path leads
// to and which lstat described as info, from the cache if it has not changed.
func (f *Finder) load(d *disk, dir, path, target string, info fs.FileInfo) (Found, error) {
	entry, ok := f.cache.Get(dir)
	if !ok || entry.path != path || !unchanged(entry.info, info) {
		if err := checkFile(info); err != nil { // do not even open a device
			return Found{}, invalid(path, err)
		}
		now := time.Now()
		data, opened, err := d.read(target)
		if err != nil {
			return Found{}, invalid(path, err)
		}
		entry = cached{path: path, info: opened}
		entry.config, entry.err = parseConfig(data)
		if now.Sub(opened.ModTime()) > settleTime {
			f.cache.Add(dir, entry)
		}
	}
	if entry.err != nil {
		return Found{}, invalid(path, entry.err)
	}
	return Found{Path: path, Config: entry.config}, nil
}

func unchanged(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime())
}

func invalid(path string, err error) error {
	return fmt.Errorf("%w: %q %w", ErrInvalidConfig, path, err)
}

// inside reports whether path, a resolved path, is in a root, and in which one,
// with the path relative to it. Without roots everything is inside, in none.
func (f *Finder) inside(path string) (in *root, rel string, ok bool) {
	for i := range f.roots {
		if rel, ok := within(f.roots[i].real, path); ok {
			return &f.roots[i], rel, true
		}
	}
	return nil, "", len(f.roots) == 0
}

func (f *Finder) rootNames() []string {
	names := make([]string, len(f.roots))
	for i, r := range f.roots {
		names[i] = r.name
	}
	return names
}
