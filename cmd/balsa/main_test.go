package main

import (
	"errors"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes a program named balsa of this test binary, first in the PATH
// of every test: processes that tests start are real ones.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"balsa": main})
}

// TestCommandLine plays the scripts in testdata/script. In them, "exits N ..."
// runs balsa and expects that exit code.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: exits CODE ARGUMENTS...")
	}
	got := 0
	if err := ts.Exec("balsa", args[1:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("balsa did not run: %v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
