package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"balsa/api/client"
	"balsa/cmd/balsa/internal/server"
)

// What the process says when it ends. Scripts depend on the numbers.
const (
	exitOK             = 0
	exitError          = 1
	exitUsage          = 2
	exitNotFound       = 3
	exitConflict       = 4
	exitUnavailable    = 5
	exitOutcomeUnknown = 6
)

const exitCodesHelp = `0 done, 1 failed, 2 wrong usage, 3 no such key or member, 4 the key
is at another revision, or the members cannot change like this now, 5 no node
could do it and nothing was done, 6 nobody knows whether the write happened.`

func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	for _, known := range []struct {
		err  error
		code int
	}{
		{errUsage, exitUsage},
		{server.ErrConfig, exitUsage},
		{client.ErrNotFound, exitNotFound},
		{client.ErrNoSuchMember, exitNotFound},
		{client.ErrConflict, exitConflict},
		{client.ErrNotNow, exitConflict},
		{client.ErrUnavailable, exitUnavailable},
		{client.ErrOutcomeUnknown, exitOutcomeUnknown},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return exitError
}

// errUsage means that the command line makes no sense.
var errUsage = errors.New("wrong usage")

// usageError is an errUsage that says where to read on.
type usageError struct {
	command string
	err     error
}

func usageErrorf(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{command: cmd.CommandPath(), err: fmt.Errorf(format, args...)}
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%v (see %s --help)", e.err, e.command)
}

func (e *usageError) Unwrap() []error { return []error{errUsage, e.err} }

// oneLine returns the text of an error without line breaks: errors that were
// joined have them, and so do Pebble's.
func oneLine(message string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(message, "\n", "; ")), " ")
}
