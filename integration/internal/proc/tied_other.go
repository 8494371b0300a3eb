//go:build !linux

package proc

import "os/exec"

// startTied starts cmd. Only Linux can tie a child's life to its parent's:
// elsewhere a test process that ends without cleaning up leaves it behind.
func startTied(cmd *exec.Cmd) error { return cmd.Start() }
