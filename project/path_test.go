package project

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckPathRefuses(t *testing.T) {
	for name, c := range map[string]struct{ dir, says string }{
		"an empty path":             {"", "empty"},
		"a relative path":           {"src/app", "not absolute"},
		"a home directory":          {"~/app", "not absolute"},
		"a drive without a slash":   {"C:app", "not absolute"},
		"a lone backslash":          {`\app`, "not absolute"},
		"NUL":                       {"/a\x00b", "NUL"},
		"what is no UTF-8":          {"/a\xff", "UTF-8"},
		"more than 4096 bytes":      {"/" + strings.Repeat("a", 4096), "4097 bytes"},
		"NUL in a Windows path":     {"C:\\a\x00", "NUL"},
		"a number in drive's place": {`1:\a`, "not absolute"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := CheckPath(c.dir)
			wantError(t, err, c.says)
		})
	}
}

func TestCheckPathAccepts(t *testing.T) {
	longest := "/" + strings.Repeat("a", 4095)
	for dir, want := range map[string]string{
		"/":               "/",
		"/a/./b//../c/":   "/a/c",
		"/with space/é":   "/with space/é",
		longest:           longest,
		`C:\work\app`:     `C:\work\app`,
		"c:/src/app":      "c:/src/app",
		`\\server\share`:  `\\server\share`,
		"/no/such/thing":  "/no/such/thing",
		"/a/../../../etc": "/etc",
	} {
		got, err := CheckPath(dir)
		if err != nil || got != want {
			t.Errorf("CheckPath(%.40q) = %.40q, %v, want %.40q", dir, got, err, want)
		}
	}
}

func TestCheckDirectorySaysWhatIsWrong(t *testing.T) {
	dir := tempDir(t)
	file := write(t, "x", dir, "file")
	f := newFinder(t)
	for name, c := range map[string]struct{ dir, says string }{
		"relative":                {"app", "not absolute"},
		"for another system":      {`C:\work`, "not absolute"},
		"missing":                 {filepath.Join(dir, "none"), "does not exist"},
		"below something missing": {filepath.Join(dir, "none", "deeper"), "does not exist"},
		"a file":                  {file, "is not a directory"},
		"below a file":            {filepath.Join(file, "deeper"), "a part of it is not a directory"},
		"a NUL":                   {dir + "\x00", "NUL"},
		"too long for the system": {"/" + strings.Repeat("a", 300), "cannot be looked at"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.CheckDirectory(c.dir)
			wantError(t, err, c.says)
			if _, findErr := f.Find(t.Context(), c.dir); findErr == nil || findErr.Error() != err.Error() {
				t.Errorf("Find says %v, CheckDirectory %v", findErr, err)
			}
		})
	}
	if _, err := f.CheckDirectory(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory is no fs.ErrNotExist: %v", err)
	}
}

func TestCheckDirectoryReturnsThePathAsTheClientNamedIt(t *testing.T) {
	dir := tempDir(t)
	mkdir(t, dir, "real", "sub")
	link(t, "real", dir, "alias")
	f := newFinder(t, dir)
	got, err := f.CheckDirectory(dir + "/alias/./sub/")
	if want := filepath.Join(dir, "alias", "sub"); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestCheckDirectoryAcceptsTheRootOfTheDisk(t *testing.T) {
	if got, err := newFinder(t).CheckDirectory("/"); err != nil || got != "/" {
		t.Errorf("unconfined: %q, %v", got, err)
	}
	if got, err := newFinder(t, "/").CheckDirectory("/"); err != nil || got != "/" {
		t.Errorf("with the root /: %q, %v", got, err)
	}
}
