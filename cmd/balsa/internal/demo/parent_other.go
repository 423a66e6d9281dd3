//go:build !linux

package demo

import (
	"io"
	"os"
	"os/exec"
)

// parentVariable tells a node that its stdin is a pipe from the demo that
// started it.
const parentVariable = "BALSA_DEMO_PARENT"

// endWithParent sees to it that no node outlives the demo, even if that is
// killed: the demo holds one end of the node's stdin, which the system closes
// when the demo ends.
func endWithParent(cmd *exec.Cmd) {
	cmd.Env = append(cmd.Env, parentVariable+"=stdin")
	_, _ = cmd.StdinPipe()
}

// EndWithParent, called in a node, ends it together with the demo that started
// it, if one did.
func EndWithParent() {
	if os.Getenv(parentVariable) == "" {
		return
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
}
