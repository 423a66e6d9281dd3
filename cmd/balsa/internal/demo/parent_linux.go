package demo

import (
	"os/exec"
	"syscall"
)

// endWithParent sees to it that no node outlives the demo, even if that is
// killed, and that Ctrl-C reaches the demo alone, which then stops the nodes in
// order: a process group of their own keeps the terminal's signal away.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// EndWithParent does nothing here: the kernel does it.
func EndWithParent() {}
