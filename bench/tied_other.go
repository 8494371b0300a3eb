//go:build !linux

package main

import "os/exec"

// startTied starts cmd. Only Linux can tie a child's life to its parent's.
func startTied(cmd *exec.Cmd) error { return cmd.Start() }
