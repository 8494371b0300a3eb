package project

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxPathBytes is Linux's PATH_MAX; nothing longer can be opened in one call.
const maxPathBytes = 4096

// CheckPath checks dir as far as that needs no disk: it is absolute, valid
// UTF-8 without NUL, and at most 4096 bytes long. It is for directories that
// are stored but not looked at, so dir may lie on another machine: absolute
// Unix and Windows paths both pass.
//
// A Unix path is returned cleaned (path.Clean), a Windows path as it is.
func CheckPath(dir string) (string, error) {
	switch {
	case dir == "":
		return "", errors.New("the directory is empty: give an absolute path")
	case len(dir) > maxPathBytes:
		return "", fmt.Errorf("the directory is %d bytes long: at most %d are allowed", len(dir), maxPathBytes)
	case !utf8.ValidString(dir):
		return "", fmt.Errorf("directory %q is not valid UTF-8", dir)
	case strings.ContainsRune(dir, 0):
		return "", fmt.Errorf("directory %q contains a NUL character", dir)
	case path.IsAbs(dir):
		return path.Clean(dir), nil
	case isWindowsAbs(dir):
		return dir, nil
	}
	return "", notAbsolute(dir)
}

func notAbsolute(dir string) error {
	return fmt.Errorf("directory %q is not absolute: give the full path (~ and variables are not expanded)", dir)
}

// isWindowsAbs reports whether dir is like C:\dir, C:/dir or \\server\share,
// whatever system this runs on.
func isWindowsAbs(dir string) bool {
	if len(dir) >= 3 && dir[1] == ':' && (dir[2] == '\\' || dir[2] == '/') {
		letter := dir[0] | 0x20
		return 'a' <= letter && letter <= 'z'
	}
	return len(dir) > 2 && strings.HasPrefix(dir, `\\`)
}

// CheckDirectory checks that dir can be a working directory: what [CheckPath]
// checks, and that on this machine it exists, is a directory, and lies within
// the roots once its symbolic links are resolved.
//
// It returns dir cleaned (filepath.Clean), as the client named it: symbolic
// links are not resolved, so that the client recognises its own path. The
// error says what is wrong. One about a directory outside the roots wraps
// [ErrOutsideRoots] and is the same whether or not that directory exists.
func (f *Finder) CheckDirectory(dir string) (string, error) {
	d := f.look()
	defer d.close()
	clean, _, err := d.locate(dir)
	return clean, err
}

// locate returns the directory dir cleaned, and with all links resolved.
func (d *disk) locate(dir string) (clean, real string, err error) {
	if _, err := CheckPath(dir); err != nil {
		return "", "", err
	}
	if !filepath.IsAbs(dir) {
		return "", "", notAbsolute(dir)
	}
	clean = filepath.Clean(dir)

	outside := fmt.Errorf("directory %q is %w (%s)", clean, ErrOutsideRoots, strings.Join(d.finder.rootNames(), ", "))
	base, rest, ok := d.finder.enter(clean)
	if !ok {
		return "", "", outside
	}
	real, info, err := d.resolve(base, rest)
	switch {
	case errors.Is(err, ErrOutsideRoots):
		return "", "", outside
	case errors.Is(err, errNotDirectory):
		return "", "", fmt.Errorf("directory %q does not exist: a part of it %w", clean, errNotDirectory)
	case errors.Is(err, fs.ErrNotExist):
		return "", "", fmt.Errorf("directory %q does not exist: %w", clean, err)
	case err != nil:
		return "", "", fmt.Errorf("directory %q cannot be looked at: %w", clean, err)
	case !info.IsDir():
		return "", "", fmt.Errorf("directory %q %w", clean, errNotDirectory)
	}
	return clean, real, nil
}

// enter translates a clean absolute path, which may name a root as configured
// or as resolved, into a directory whose links are resolved and the rest of the
// path from there. It looks at no disk, and is false when path is not, in its
// text, inside a root.
func (f *Finder) enter(path string) (base, rest string, ok bool) {
	if len(f.roots) == 0 {
		volume := filepath.VolumeName(path)
		return volume + string(filepath.Separator), path[len(volume):], true
	}
	for _, root := range f.roots {
		for _, name := range []string{root.name, root.real} {
			if rest, ok := within(name, path); ok {
				return root.real, rest, true
			}
		}
	}
	return "", "", false
}

// within returns the path relative to dir, and whether it is dir or below it.
// Both are clean and absolute.
func within(dir, path string) (string, bool) {
	rel, err := filepath.Rel(dir, path)
	return rel, err == nil && filepath.IsLocal(rel)
}
