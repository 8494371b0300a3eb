// Package repo finds the repository that a test runs in.
package repo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const moduleLine = "module github.com/mcpsession/mcpsession\n"

// Root returns the absolute path of the repository: the nearest folder, from
// the working directory upwards, whose go.mod is the root module's.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the repository: %w", err)
		}
		if bytes.HasPrefix(mod, []byte(moduleLine)) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find the repository: no root go.mod above %s", start)
		}
	}
}
