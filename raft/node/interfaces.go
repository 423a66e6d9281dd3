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
	// Compact removes the stored entries up to and including the given one. It is
	// called by the log writer, between two calls of Save, and only for entries
	// whose effect the state machine has on disk. It need not be durable when it
	// returns: a crash may bring the entries back.
	Compact(last raft.EntryID) error
}

// Transport carries messages to other nodes. It may lose, delay, duplicate and
// reorder them; it must not change them.
type Transport interface {
	// Send queues messages and returns at once. Whatever does not fit into the
	// queue of its receiver is dropped.
	Send(messages []raft.Message)
	// SendSnapshot offers a snapshot to offer.To and, if it is wanted, sends it
	// from where the receiver wants it to begin, chunk by chunk. It returns nil
	// when the receiver has all of it on disk. It is called by a goroutine of its
	// own for each receiver; on that goroutine it calls sent, if not nil, with the
	// offset that the receiver has acknowledged.
	//
	// It fails with ErrSnapshotRefused if the receiver does not want the snapshot
	// (any more). After any other error, such as a broken connection, the same
	// offer may be made again, and goes on where it ended. When ctx has ended, a
	// call for the same receiver may come before this one has returned.
	SendSnapshot(ctx context.Context, offer SnapshotOffer, source SnapshotSource, sent func(offset uint64)) error
}

// StateMachine is what the log is replicated for. Apply and Install are called
// by one goroutine, the applier; Contents before it starts; the other methods by
// any goroutine at any time.
type StateMachine interface {
	// Contents says what the state machine holds: the last entry whose effect is
	// in it and the configuration at that entry; the zero value if it is empty.
	// It also says whether that is exactly what Install has made of it, and nothing
	// was applied since.
	Contents() (contents raft.Snapshot, installed bool, err error)
	// Apply applies entries, contiguous and following the last ones, and
	// returns one result for each, to be handed to whoever proposed it. Entries
	// of every kind arrive: those that are no commands only move the applied
	// index. An error is not a failed command (that is a result) but a state
	// machine that cannot go on: the node stops.
	Apply(entries []raft.Entry) ([]any, error)

	// FlushedIndex returns an index up to which every effect is certainly on
	// disk; the log may be compacted up to there and no further.
	FlushedIndex() (raft.Index, error)
	// Flush returns when everything applied before the call is on disk.
	Flush() error

	// Snapshot returns a picture of the state as it is after the last entry that
	// was applied, which later ones do not change.
	Snapshot() (SnapshotSource, error)
	// Receive prepares to receive a snapshot. If the beginning of the very same
	// one (by its ID) is there already, from before a broken connection or a
	// restart, it goes on from there; anything else that was received and not
	// installed is deleted. There is one sink at a time: the earlier one is
	// not used any more.
	Receive(offer SnapshotOffer) (SnapshotSink, error)
	// Install replaces the state by a snapshot that was received and finished:
	// atomically, and durably when it returns. The sink is used up. An error
	// means that the state machine cannot go on: the node stops.
	Install(sink SnapshotSink) error
}

// Proposer is what a replicated service needs of a node.
type Proposer interface {
	// Propose replicates a command and returns the state machine's result for
	// it, once it is applied here. It fails with
	//
	//   - *NotLeaderError: nothing was appended; the error names the leader, if
	//     known. It is not while leadership is being handed over
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
	// LeaseRead is like ReadIndex, but may be answered from the leader's lease,
	// without asking a majority: under the assumption about clocks that
	// raft/lease.go states.
	LeaseRead(ctx context.Context) (raft.Index, error)
}
