package raft

// WriteID numbers the writes of one core, from 1, in the order in which they
// must reach the disk.
type WriteID uint64

// Write is something to make durable, all of it or none of it.
type Write struct {
	ID WriteID
	// HardState replaces the stored one. It is always set, changed or not.
	HardState HardState
	// Witness is what the durability witness says from now on: see recovering.go.
	// It is always set. It must be durable, with HardState, before this write
	// counts as durable; but never before the rest of the write if it is newer
	// than what the witness says so far, and never after it if it is older.
	Witness EntryID
	// Reset, if set, replaces the whole stored log by an empty one that begins
	// after the snapshot's last entry, in the snapshot's configuration. It comes
	// before Entries; TruncateFrom is then zero.
	Reset *Snapshot
	// TruncateFrom removes every entry at this index and above before Entries
	// are stored; zero removes nothing.
	TruncateFrom Index
	// Entries are contiguous. The first continues the stored log, after the
	// truncation.
	Entries []Entry
}

// Output is all that a core wants done after it has been told something: the
// core itself does nothing. What the host owes it:
//
//   - Send may leave at once, while the write is still under way (thesis
//     10.2.1: the leader's disk and the network work side by side).
//   - Write must become durable, after all earlier writes. Writes may be merged
//     into one disk operation. [Core.Written] reports the newest durable one.
//   - SendAfterWrite may leave only when this Write and every earlier one is
//     durable; if Write is nil, the earlier ones still count. Messages here may
//     be addressed to the core itself: hand them to [Core.Step].
//   - Apply goes to the state machine, in order; [Core.Applied] reports.
//   - Reads tell waiting readers where they stand.
//   - Load asks for old entries back from the disk; [Core.Loaded] delivers.
//   - SendSnapshot names followers that need a copy of the state machine, taken
//     while this server still leads in this term: what is sent in a term must
//     have been committed in that term or before. [Core.SnapshotSent] reports how
//     that ended.
//   - Install replaces the state machine by the one that came with an
//     [InstallSnapshot], durably and at once, after all that was handed out to
//     apply before; [Core.Installed] reports. No Apply is handed out meanwhile.
//
// The host may take the next Output before any of this is finished.
type Output struct {
	Write          *Write
	Send           []Message
	SendAfterWrite []Message
	Apply          Apply
	Reads          []ReadResult
	Load           []Load
	SendSnapshot   []NodeID
	Install        *Snapshot
}

// Apply is a run of committed entries, First to Last. Entries holds all of them
// if the core still had them in memory and is nil otherwise: then the host
// reads them from its log store, where they are durable and can never change.
// The zero value asks for nothing.
type Apply struct {
	First, Last Index
	Entries     []Entry
}

// Load asks the host to read durable entries from First on, at least one, none
// after Last and at most about MaxBytes of them, for the follower To that lags
// behind what the core keeps in memory.
type Load struct {
	To          NodeID
	First, Last Index
	MaxBytes    int
}

// ReadResult is the fate of one read that was requested with [Core.ReadIndex].
type ReadResult struct {
	ID uint64
	// Index is where the state machine must be before the read is served.
	// If Failed is set there is none: no leader was known, or it changed. The
	// read had no effect and may be requested again under another ID.
	Index  Index
	Failed bool
}

// InitialState is what a server remembers when it starts: what its log store
// and its state machine hold.
type InitialState struct {
	// HardState is the newer of the one in the log store and the one in the
	// witness.
	HardState HardState
	Log       LogState
	// State is what the state machine holds. All of it was committed.
	State Snapshot
	// Installed says that the state machine is exactly what the installation of
	// a snapshot has made of it: nothing was applied since. The log may not know
	// yet, if the server crashed between the two; it is then brought in line.
	Installed bool
}

// LogState describes a stored log without its entries.
type LogState struct {
	// Witness is what the durability witness beside the log says: see
	// recovering.go. The zero value says nothing.
	//
	// A crash can leave the witness behind the log. The host brings it up to date
	// before it starts a core: this server acknowledges what it finds in its log
	// without another write, and what is lost after that has to be missed.
	Witness EntryID
	// Start is the entry just before the first stored one: the last that
	// compaction removed, or the zero EntryID.
	Start EntryID
	// Last is the index of the last stored entry, or Start.Index.
	Last Index
	// Spans says for each stored index its term, as runs of equal terms in
	// ascending order; empty if no entry is stored.
	Spans []TermSpan
	// Configurations are all configuration entries stored, in ascending order,
	// preceded by the configuration in force at Start if there is one.
	Configurations []IndexedConfiguration
}

// TermSpan says that entries from index First on have term Term, up to the
// next span or the end of the log.
type TermSpan struct {
	Term  Term
	First Index
}

// IndexedConfiguration is a configuration and the index of its entry.
type IndexedConfiguration struct {
	Index         Index
	Configuration Configuration
}
