package kv

import (
	"errors"
	"fmt"
)

// The ways in which a request can fail. Each means something different for what
// the caller may conclude and do next; tell them apart with errors.Is. Besides
// these, a failed comparison is a [*ConflictError].
var (
	// ErrKeyEmpty, ErrKeyTooLarge and ErrValueTooLarge refuse a request at the
	// door. Nothing was done.
	ErrKeyEmpty      = errors.New("the key is empty; a key has at least one byte")
	ErrKeyTooLarge   = errors.New("the key is too large")
	ErrValueTooLarge = errors.New("the value is too large")

	// ErrBusy means that too many requests are waiting already. Nothing was
	// done; trying again after a pause is safe.
	ErrBusy = errors.New("too many requests are waiting; nothing was done, try again after a pause")
	// ErrNoLeader means that no leader took the command before the time was up.
	// Nothing was done; trying again is safe.
	ErrNoLeader = errors.New("no leader took the command in time; nothing was done, trying again is safe")
	// ErrOutcomeUnknown means that the command may have taken effect, or may
	// still do so later, or never. It is not a failure. Read the key to find
	// out; sending the command again may apply it twice.
	ErrOutcomeUnknown = errors.New("outcome unknown: the command may or may not take effect; read the key before trying again")
	// ErrNoQuorum means that a linearizable read could not be confirmed in time.
	ErrNoQuorum = errors.New("the read could not be confirmed in time: is a majority of the voters up and connected?")
	// ErrStopped means that this node is stopping. Nothing was done; another
	// node may be asked at once.
	ErrStopped = errors.New("this node is stopping; nothing was done")
	// ErrNotUnderstood means that the program that should have executed the
	// command does not know its kind or encoding: it is of an older version.
	// Nothing was done.
	ErrNotUnderstood = errors.New("the command was not understood: does a node run an older version? nothing was done")

	// ErrCorrupt means that bytes read back from the state store are not what
	// was written there.
	ErrCorrupt = errors.New("state store is damaged: " +
		"remove this node from the cluster and add it again with an empty data directory")
	// ErrWrongIdentity means that the directory holds the state of another
	// node, of another cluster, or something else altogether.
	ErrWrongIdentity = errors.New("the directory does not hold this node's state")
	// ErrFailed means that a write to the state store has failed, or a read in
	// the background. The store does nothing more.
	ErrFailed = errors.New("state store has failed")
)

// ConflictError means that a comparison failed: somebody else has written the
// key. Nothing was changed.
type ConflictError struct {
	Key []byte
	// Expected is the revision that the command asked for and Actual the one
	// that it met. Zero stands for no such key.
	Expected, Actual uint64
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("key %q is at revision %d, not %d", e.Key, e.Actual, e.Expected)
}
