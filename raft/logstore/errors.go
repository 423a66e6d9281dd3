package logstore

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

var (
	// ErrInUse means that another process holds the lock on the directory.
	ErrInUse = errors.New("the directory is in use by another balsa process: " +
		"stop that one first, or give this node a data directory of its own")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("the log store is closed")
	// ErrNotPristine means that a cluster cannot be founded with this data
	// directory, because it already belongs to one.
	ErrNotPristine = errors.New("the data directory already holds the state of a cluster member: " +
		"start the node without founding a cluster, or found it with an empty data directory")
	// ErrNothingToRecover means that a cluster cannot be recovered from this data
	// directory, because it holds no log.
	ErrNothingToRecover = errors.New("the data directory holds no log that a cluster could be recovered from: " +
		"recover it from the data directory of a server that was a member")
)

// WrongNodeError means that the data directory is another node's.
type WrongNodeError struct {
	Dir           string
	Stored, Given raft.NodeID
}

func (e *WrongNodeError) Error() string {
	return fmt.Sprintf("%q is the log of node %d, but this node was started as node %d: "+
		"start it with --id %d, or give node %d a data directory of its own",
		e.Dir, uint64(e.Stored), uint64(e.Given), uint64(e.Stored), uint64(e.Given))
}

// WrongClusterError means that the node belongs to another cluster already. A
// node never changes from one cluster to another; only [Store.Recover] makes a
// new cluster of an old one.
type WrongClusterError struct {
	Dir           string
	Stored, Given [16]byte
}

func (e *WrongClusterError) Error() string {
	return fmt.Sprintf("%q belongs to cluster %s and cannot join cluster %s: "+
		"correct the addresses that this node joins by, or give it an empty data directory",
		e.Dir, formatUUID(e.Stored), formatUUID(e.Given))
}

// FormatError means that the store was written by a program with another
// layout.
type FormatError struct {
	Dir           string
	Stored, Known uint32
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%q is a log store of layout version %d, this program knows version %d: "+
		"use the release of balsa that wrote it", e.Dir, e.Stored, e.Known)
}

// CorruptError means that something that was stored is damaged or missing. The
// node must not take part in its cluster any more: what it has lost, it may have
// acknowledged.
type CorruptError struct {
	// Dir is the directory of the store.
	Dir string
	// File is the damaged file, if it is known.
	File string
	// Index is the index of the damaged entry, or zero if the damage is not in
	// an entry.
	Index raft.Index
	// Err says what was found. It wraps raft.ErrCorrupt if a checksum or a
	// check of this package failed; otherwise it is Pebble's.
	Err error

	// remedy says what to do; empty: remedyWipe.
	remedy string
}

const (
	remedyWipe = "Stop this node, wipe its data directory and let it rejoin the cluster under a new id. An older copy of " +
		"the directory is no replacement: it has forgotten votes and entries that others rely on"
	remedyOthers = "Start this node again: it then cuts its log there, and receives the rest from the leader once more. " +
		"Until it has all of it, it votes for nobody who lacks it"
	remedyAlone = "No other server votes, so nobody could send it again, and the log is not cut. Restore the whole data " +
		"directory from a copy, or make a cluster of what comes before the damage with \"balsa recover\""
)

func (e *CorruptError) Error() string {
	where := fmt.Sprintf("the log store in %q", e.Dir)
	if e.File != "" {
		where += fmt.Sprintf(" (file %q)", e.File)
	}
	what := "is damaged"
	if e.Index != 0 {
		what = fmt.Sprintf("is damaged at entry %d", e.Index)
	}
	// What follows the first line of Pebble's errors is not meant for reading.
	cause, _, _ := strings.Cut(e.Err.Error(), "\n")
	return fmt.Sprintf("%s %s: %s. %s", where, what, cause, cmp.Or(e.remedy, remedyWipe))
}

func (e *CorruptError) Unwrap() error { return e.Err }

// readError describes what went wrong when something was read: an entry, or for
// index zero anything else. What is damaged becomes a [CorruptError], unless it
// is one already; a device that fails to answer is none.
func readError(dir string, index raft.Index, err error) error {
	if _, ok := errors.AsType[*CorruptError](err); ok || err == nil {
		return err
	}
	if !pebble.IsCorruptionError(err) && !errors.Is(err, raft.ErrCorrupt) {
		return fmt.Errorf("reading the log store in %q: %w", dir, err)
	}
	e := &CorruptError{Dir: dir, Index: index, Err: err}
	if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
		e.File = info.Path
	}
	return e
}

func (s *Store) readError(index raft.Index, err error) error { return readError(s.dir, index, err) }

func formatUUID(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
