// Package kv is the replicated key-value store: what the Raft log is replicated
// for. It has two halves.
//
// [State] is the state machine. It lives below the log: the applier of the node
// hands it committed entries in order, and it turns them into the contents of a
// Pebble store. It is deterministic. Two replicas that have applied the same
// entries hold the same keys, values and revisions, whatever the batches in
// which the entries arrived, whatever the clocks and settings of the two
// machines (§2: "replicated state machines").
//
// [Store] is what a client of one node sees. It lives above the log: it checks
// a request at the door, encodes it as a command, proposes it here or sends it
// to the leader, and reports what became of it.
//
// # Revisions
//
// The revision of a key is the Raft index of the entry that last wrote it. It
// costs nothing to make, it is the same on every replica, it never repeats and
// it grows with every write, so a client can write on condition that nobody
// else has written since it read: compare-and-set. Revision 0 stands for "there
// is no such key".
//
// # What is on disk
//
// The state store has no write-ahead log of its own, because the Raft log is
// one. Each call of [State.Apply] is a single atomic batch that holds the
// effects of the entries together with the index and term of the last of them.
// After a crash the store reopens at the last batch that was flushed, says
// which entry that was ([State.Applied]), and the node applies the rest of the
// log again. No entry can be applied twice or skipped, because the effects and
// the record of them are never apart.
//
// This is why the Raft log may be compacted only up to [State.FlushedIndex]:
// what lies above it exists on this machine in the Raft log and in memory.
//
// # Snapshots
//
// A server that is too far behind for the log gets the state instead (§7). A
// snapshot is a run of records in chunks: all that is replicated, the latest
// configuration and the record of the last applied entry among it, and nothing
// that is the sender's own. So what the snapshot contains is written in the
// snapshot, and the label that goes before it is checked against that.
//
// The sender reads it from a picture of the state that later entries do not
// change ([State.Snapshot]). The receiver writes it into tables, beside its live
// state ([State.Receive]), and when all of it is on disk it puts those tables in
// the place of everything it had, in one step of Pebble's: keys, applied index,
// configuration, and the note that this is an installed snapshot
// ([State.Install], [State.Installed]). There is no moment at which a crash or a
// reader would find some of each. Neither side ever holds more than a chunk and
// a few blocks of a table in memory.
//
// A connection that breaks costs nothing, a restart of the receiver at most the
// table that was being written. The files of a snapshot that is on its way are
// not the state's: a disk that fails or is full there ends the snapshot, and the
// server lives.
//
// # Reading order
//
//	command.go   what clients may ask for, and its binary form
//	outcome.go   what can become of a command, and the form that travels back
//	record.go    keys and values as Pebble sees them: prefixes and checksums
//	state.go     opening, flushing and closing the state store
//	apply.go     the state machine proper: one batch of entries, one Pebble batch
//	read.go      local reads
//	chunk.go     a piece of a snapshot on the wire
//	source.go    taking a snapshot and reading it chunk by chunk
//	receive.go   where a snapshot that arrives is kept, also across restarts
//	progress.go  the record of how far it has come
//	sink.go      checking chunks and making tables of them
//	install.go   putting a snapshot in the place of the state
//	readdress.go giving the state to the next incarnation of the cluster
//	failure.go   what happens when the disk fails underneath
//	store.go     the client's view: writes and reads
//	forward.go   carrying a command to the leader, one hop
//	limiter.go   the bound on requests that wait
//	errors.go    every way in which a request can end without success
//
// # What this leaves out
//
// A client that hears [ErrOutcomeUnknown] cannot safely send its command again:
// the store keeps no record of whose commands it has applied (thesis 6.3 does,
// with sessions), so a second copy would be a second command. A
// compare-and-set is the exception that clients can use today: its second copy
// fails if the first one took effect.
package kv
