// Package logstore keeps what a Raft server must not forget: its log, its
// currentTerm and votedFor (Figure 2, "persistent state on all servers") and
// who it is. It implements the log store of package node on Pebble.
//
// Reading order: layout.go (which keys there are and what is under them),
// store.go (opening and closing), save.go (the one way in), entries.go and
// state.go (the two ways out), witness.go and loss.go (how a loss is noticed, and
// what is done about it), compact.go and reclaim.go (how the beginning of the
// log goes, and then its space), identity.go (cluster, node and instance),
// recover.go (when the rest of the cluster is lost), stats.go, pebble.go, disk.go
// and alarm.go (how Pebble is set up, and what becomes of its failures), errors.go
// (what can go wrong, and what to do about it).
//
// # What it promises
//
// Once [Store.Save] and then [Store.Attest] have returned nil, what Save was given
// survives a crash of the process, of the system and a power failure. A Save that
// was interrupted has happened completely or not at all: term and vote cannot part
// (thesis 3.8), a log is never seen between the removal of a conflicting suffix and
// the entries that replace it, or of everything and the snapshot that it begins
// after, and no hole can appear.
//
// A log that has been cut at its beginning, by [Store.Compact] or by a snapshot
// from the leader, still says what it was cut after: the index and the term of
// that entry and the configuration that is in force there. What Compact removes
// may come back in a crash, all of it; nothing depends on its being gone.
//
// After a failed write or sync nothing is known about the disk. The operating
// system may have dropped the data and cleared the error, so that a second sync
// reports success for something that is gone. The store therefore never tries
// again: it refuses everything from then on, and the process is ended.
//
// What is read is checked: every entry carries the CRC-32C that the leader gave
// it when it was made, every other record one of its own. Damage is reported
// with the directory, the index and a remedy.
//
// # What it does about a loss
//
// Pebble takes a damaged or missing end of its newest write-ahead log for the
// place where the last crash stopped it. If the medium itself loses those last
// kilobytes after they were synced, the log opens without them and without an
// error. So a witness stands beside the log, in a file of its own that is written
// after the log, and says which entry the log ended with, the term and the vote. A
// log that is older than its witness has lost something. The store says so in
// [raft.LogState], and takes term and vote from the witness; the rest is up to the
// core (raft/recovering.go): the server receives again what it has lost.
//
// A damaged entry is such a loss, too. Whoever reads it gets an error, and the node
// stops; the witness remembers the index, and when the store is opened again the
// log is cut there, as long as somebody else votes who can send it again. Nothing
// else is ever repaired by cutting the log. Where the witness is missing,
// unreadable or another log's, the store refuses to open: nobody knows any more what
// this log should hold.
package logstore
