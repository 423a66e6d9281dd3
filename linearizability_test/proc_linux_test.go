package linearizability_test

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes the kernel end the process when the test ends, however
// that happens.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
