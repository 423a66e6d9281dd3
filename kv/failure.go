package kv

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// failure remembers that the disk under the state store has failed. Pebble
// itself would go on: it answers nil to a commit that failed, it retries a
// failed flush in a loop without end, and whoever waits for that flush waits
// for ever. So the first failure is the last thing that happens. The store
// calls fatal, which normally ends the process; if it returns, whoever waits in
// Flush is released, and every later call fails with [ErrFailed]. Only an Apply
// that Pebble itself holds back, because its memtables are full, cannot be
// released: it waits until the process ends.
type failure struct {
	fatal  func(error)
	failed chan struct{} // closed when fatal has returned

	mu    sync.Mutex
	cause error
}

func newFailure(fatal func(error)) *failure {
	return &failure{fatal: fatal, failed: make(chan struct{})}
}

// report may be called from inside Pebble, with its locks held.
func (f *failure) report(cause error) {
	f.mu.Lock()
	first := f.cause == nil
	if first {
		f.cause = describe(cause)
	}
	err := f.cause
	f.mu.Unlock()
	if first {
		f.fatal(err)
		close(f.failed)
	}
}

func describe(cause error) error {
	if pebble.IsCorruptionError(cause) {
		return fmt.Errorf("%w: %w", ErrFailed, readError(cause))
	}
	return fmt.Errorf("%w (%w): free space on the disk or replace it, then restart the node", ErrFailed, cause)
}

// err returns what was reported first, wrapped in ErrFailed, or nil.
func (f *failure) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cause
}

// exit is the default for [Options.Fatal]. The logger may be nil.
func exit(logger *slog.Logger) func(error) {
	return func(err error) {
		if logger != nil {
			logger.Error("ending the process", "error", err)
		} else {
			fmt.Fprintln(os.Stderr, "kv: ending the process:", err)
		}
		os.Exit(1)
	}
}

// eventListener connects Pebble's reports to f. A damaged block that a read
// meets is not a failure of the whole store: the read returns it as an error.
// The same block in the way of a compaction arrives as a background error.
func eventListener(f *failure, logger *slog.Logger) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: f.report,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			logger.Error("state store is damaged", "file", info.Path, "detail", firstLine(info.Details))
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			logger.Info("state store is slower than the log: applying waits for it", "reason", info.Reason)
		},
	}
}

// firstLine is what an operator can use of Pebble's account of some damage. The
// rest are Go stack traces.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// pebbleLogger hands Pebble's log lines to slog. Pebble relies on Fatalf not
// returning: after a failed commit that is all that keeps it from reporting
// success.
type pebbleLogger struct {
	log     *slog.Logger
	failure *failure
}

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Error(fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.failure.report(fmt.Errorf(format, args...))
}
