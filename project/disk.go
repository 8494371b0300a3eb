package project

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links one path may lead through, as in Linux.
const maxLinks = 40

var (
	errNotDirectory = errors.New("is not a directory")
	errLink         = errors.New("leads through a symbolic link that cannot be followed")
)

// disk is what one call sees of the disk. With roots, every access goes through
// an os.Root: whatever is renamed or linked between two steps, nothing outside
// is ever touched. Without roots it is the plain file system.
type disk struct {
	finder *Finder
	open   map[string]*os.Root // by resolved root, opened when first needed
}

func (f *Finder) look() *disk { return &disk{finder: f} }

func (d *disk) close() {
	for _, root := range d.open {
		root.Close()
	}
}

// root returns the os.Root that holds path, and path relative to it; nil when
// there are no roots. Roots are opened anew by each call, so that one that was
// deleted and made again works; their parents are the operator's and trusted.
func (d *disk) root(path string) (*os.Root, string, error) {
	in, rel, ok := d.finder.inside(path)
	switch {
	case !ok:
		return nil, "", ErrOutsideRoots
	case in == nil:
		return nil, path, nil
	}
	if d.open[in.real] == nil {
		opened, err := os.OpenRoot(in.real)
		if err != nil {
			return nil, "", cause(err)
		}
		if d.open == nil {
			d.open = make(map[string]*os.Root)
		}
		d.open[in.real] = opened
	}
	return d.open[in.real], rel, nil
}

func (d *disk) lstat(path string) (fs.FileInfo, error) {
	root, rel, err := d.root(path)
	if err != nil {
		return nil, err
	}
	var info fs.FileInfo
	if root == nil {
		info, err = os.Lstat(path)
	} else {
		info, err = root.Lstat(rel)
	}
	return info, cause(err)
}

func (d *disk) readlink(path string) (string, error) {
	root, rel, err := d.root(path)
	if err != nil {
		return "", err
	}
	var target string
	if root == nil {
		target, err = os.Readlink(path)
	} else {
		target, err = root.Readlink(rel)
	}
	return target, cause(err)
}

// read returns the content of the regular file at path, a resolved path, and
// what fstat said of it before it was read. It never blocks on a FIFO or a
// device, and reads at most one byte more than maxConfigBytes.
func (d *disk) read(path string) ([]byte, fs.FileInfo, error) {
	root, rel, err := d.root(path)
	if err != nil {
		return nil, nil, err
	}
	const flags = os.O_RDONLY | syscall.O_NONBLOCK // or opening a FIFO waits for a writer
	var file *os.File
	if root == nil {
		file, err = os.OpenFile(path, flags, 0)
	} else {
		file, err = root.OpenFile(rel, flags, 0)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be opened, this server needs to read it: %w", cause(err))
	}
	defer file.Close()

	info, err := file.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	if err := checkFile(info); err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxConfigBytes+1))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", cause(err))
	}
	return data, info, nil
}

func checkFile(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return errors.New("is a directory: put a regular file there")
	case !info.Mode().IsRegular():
		return errors.New("is no regular file but a pipe, device or socket: put a regular file there")
	}
	return nil
}

// step is one component of a path that is still to be walked.
type step struct {
	name   string
	linked bool // it comes from the target of a symbolic link
}

func steps(path string, linked bool) []step {
	var all []step
	for name := range strings.SplitSeq(path, string(filepath.Separator)) {
		all = append(all, step{name, linked})
	}
	return all
}

// resolve walks rest from dir, a resolved directory, follows symbolic links,
// and returns the resolved path and its lstat. Unlike filepath.EvalSymlinks it
// stops where a path leaves the roots, before looking at what is there: the
// error is ErrOutsideRoots, be there something or nothing. A component that is
// missing is fs.ErrNotExist; errLink is wrapped as well if a link led to it.
func (d *disk) resolve(dir, rest string) (string, fs.FileInfo, error) {
	at, todo, links := dir, steps(rest, false), 0
	var info fs.FileInfo // of at; nil if nobody looked yet
	for len(todo) > 0 {
		next := todo[0]
		todo = todo[1:]
		switch next.name {
		case "", ".":
			continue
		case "..":
			at, info = filepath.Dir(at), nil
			continue
		}
		path := filepath.Join(at, next.name)
		if d.finder.isAboveRoot(path) {
			at, info = path, nil
			continue
		}

		var err error
		if info, err = d.lstat(path); err != nil {
			return "", nil, linkError(err, next.linked)
		}
		if info.Mode().Type() == fs.ModeSymlink {
			if links++; links > maxLinks {
				return "", nil, linkError(errors.New("too many links"), true)
			}
			target, err := d.readlink(path)
			if err != nil {
				return "", nil, linkError(err, true)
			}
			if filepath.IsAbs(target) {
				volume := filepath.VolumeName(target)
				at, target = volume+string(filepath.Separator), target[len(volume):]
			}
			todo, info = append(steps(target, true), todo...), nil
			continue
		}
		if len(todo) > 0 && !info.IsDir() {
			return "", nil, linkError(errNotDirectory, next.linked)
		}
		at = path
	}
	if info == nil {
		var err error
		if info, err = d.lstat(at); err != nil {
			return "", nil, linkError(err, links > 0)
		}
	}
	return at, info, nil
}

// isAboveRoot reports whether path is a parent of a root. Links may lead
// through such directories, which are known to be directories without a look:
// roots are resolved.
func (f *Finder) isAboveRoot(path string) bool {
	for _, root := range f.roots {
		if rel, ok := within(path, root.real); ok && rel != "." {
			_, _, inside := f.inside(path)
			return !inside
		}
	}
	return false
}

func linkError(err error, linked bool) error {
	if !linked {
		return err
	}
	return fmt.Errorf("%w: %w", errLink, err)
}

// cause strips the operation and path from an error of package os: its path may
// be relative to a root, and the callers name the file themselves.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
