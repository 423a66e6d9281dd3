package logstore

import (
	"errors"
	"fmt"
	"sync"
)

// alarm takes what Pebble cannot return to whoever called it: a failed flush in
// the background, a full disk, and the failures that it considers fatal.
//
// Pebble expects that a fatal failure ends the process. If it does not, the
// commit that failed returns nil, and its data can be read until the next start.
// So a commit of this package has succeeded only if it returned nil and the
// alarm is silent.
type alarm struct {
	dir string
	// raised is closed when the first failure is recorded.
	raised chan struct{}

	mu      sync.Mutex
	failure error
	// fatal ends the process. It is nil while the store is being opened.
	fatal func(message string)
}

func newAlarm(dir string) *alarm {
	return &alarm{dir: dir, raised: make(chan struct{})}
}

// record remembers a failure; only the first one counts.
func (a *alarm) record(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failure != nil {
		return
	}
	a.failure = err
	if _, ok := errors.AsType[*CorruptError](err); !ok {
		a.failure = fmt.Errorf("the log store in %q has failed: %w", a.dir, err)
	}
	close(a.raised)
}

// raise records a failure and ends the process. While the store is being opened
// it instead stops the calling goroutine for good, and [alarm.guard]
// returns the failure.
//
// Pebble's goroutine must be stopped there, because it would try the same thing
// again at once and without an end. It must be stopped in its tracks and not by
// a panic or runtime.Goexit, which would run Pebble's deferred calls: some of
// them release locks that are not held at that moment, which ends the process
// without a word of explanation.
func (a *alarm) raise(err error) {
	a.record(err)
	a.mu.Lock()
	failure, fatal := a.failure, a.fatal
	a.mu.Unlock()
	if fatal == nil {
		select {}
	}
	fatal(failure.Error())
}

// err returns the first failure that was recorded, always the same value.
func (a *alarm) err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failure
}

// guard runs what opens or closes the store, and waits for its end or for the
// first failure. After a failure it may never end: it is left behind, and it keeps
// the lock on the directory until the process ends.
func (a *alarm) guard(run func() error) error {
	done := make(chan error, 1)
	go func() { done <- run() }()
	select {
	case err := <-done:
		return err
	case <-a.raised:
		return a.err()
	}
}

// opened arms the alarm: from now on, a failure ends the process by calling
// fatal.
func (a *alarm) opened(fatal func(message string)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fatal = fatal
	return a.failure
}
