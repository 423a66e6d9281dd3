package node

import (
	"context"

	"balsa/raft"
)

// LogStore keeps the log and the hard state on stable storage. Save is called
// by one goroutine, the log writer; Entries by any.
type LogStore interface {
	// State describes what is stored. It is called once, before anything else,
	// and must be quick whatever the length of the log.
	State() (raft.HardState, raft.LogState, error)
	// Save makes all the writes durable, in order, as one atomic operation with
	// one sync. After an error nothing is known about the disk (a failed fsync
	// may have dropped the data and cleared the error): the node stops, and
	// Save is not called again.
	Save(writes []raft.Write) error
	// Entries returns the stored entries from index first on: at least one, and
	// then as many as fit into maxBytes of encoded size, none beyond last. It
	// checks each entry's checksum and that indexes are contiguous. It returns
	// none, and no error, if the log does not hold entry first (any more).
	Entries(first, last raft.Index, maxBytes int) ([]raft.Entry, error)
}

// Transport carries messages to other nodes. It may lose, delay, duplicate and
// reorder them; it must not change them.
type Transport interface {
	// Send queues messages and returns at once. Whatever does not fit into the
	// queue of its receiver is dropped.
	Send(messages []raft.Message)
}

// StateMachine is what the log is replicated for. All methods are called by one
// goroutine, the applier, except that Applied is called before it starts.
type StateMachine interface {
	// Applied returns the last entry whose effect the state machine holds.
	Applied() (raft.EntryID, error)
	// Apply applies entries, contiguous and following the last ones, and
	// returns one result for each, to be handed to whoever proposed it. Entries
	// of every kind arrive: those that are no commands only move the applied
	// index. An error is not a failed command (that is a result) but a state
	// machine that cannot go on: the node stops.
	Apply(entries []raft.Entry) ([]any, error)
}

// Proposer is what a replicated service needs of a node.
type Proposer interface {
	// Propose replicates a command and returns the state machine's result for
	// it, once it is applied here. It fails with
	//
	//   - *NotLeaderError: nothing was appended; the error names the leader, if known
	//   - ErrBusy: nothing was appended; a queue is full, try later
	//   - ErrTooLarge: nothing was appended
	//   - ErrDropped: the entry was overwritten by another leader's; it did not
	//     and will not take effect
	//   - ErrOutcomeUnknown: the context ended, or the node stopped, while the
	//     entry may or may not commit
	//   - ErrStopped: the node had stopped before anything was appended
	Propose(ctx context.Context, command []byte) (result any, err error)
	// ReadIndex returns when this node's state machine holds every write that
	// was acknowledged anywhere in the cluster before the call (thesis 6.4); a
	// read of local state is then linearizable. It works on every member. It
	// fails with ErrNoQuorum when the context ends first, ErrBusy, or
	// ErrStopped.
	ReadIndex(ctx context.Context) (raft.Index, error)
}
