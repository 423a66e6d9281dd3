package modelcheck

import (
	"slices"

	"balsa/raft"
)

// server is one server at one moment: its core, its disk, its state machine. It never
// changes; what happens to it makes another one (host.go). So worlds share servers,
// and each server is looked at once, however many worlds it stands in.
type server struct {
	id   raft.NodeID
	core *raft.Core
	disk disk
	// log is the core's log: that of the disk after all writes.
	log     storedLog
	machine machine
	// receiving is the state that came with the newest snapshot, or nil.
	receiving *state
}

// disk is what a crash leaves behind, and what it does not.
type disk struct {
	hardState raft.HardState
	log       storedLog
	// witness is the last entry that the log has held: see raft/recovering.go. Here
	// it is always as new as the log was.
	witness raft.EntryID
	// unfinished are the writes under way, oldest first.
	unfinished []pendingWrite
}

// pendingWrite is a write under way, and the messages that may leave after it.
type pendingWrite struct {
	write   *raft.Write
	release []raft.Message
}

// machine is a state machine. It keeps its state in memory, and writes it to the disk
// only when the log is cut or a snapshot takes its place: a crash throws it back to
// that.
type machine struct {
	state
	flushed state
}

// state is what a state machine has come to: all the entries that it has applied.
type state struct {
	applied raft.EntryID
	records []record
	// configuration is the latest that was applied.
	configuration raft.IndexedConfiguration
	// installed says that a snapshot has brought exactly this.
	installed bool
}

func (s *state) apply(r record) {
	s.applied, s.records, s.installed = r.entry.ID(), append(slices.Clip(s.records), r), false
	if r.entry.Kind == raft.EntryConfiguration {
		// The core would have refused one that cannot be decoded.
		configuration, _ := raft.DecodeConfiguration(r.entry.Data)
		s.configuration = raft.IndexedConfiguration{Index: r.entry.Index, Configuration: configuration}
	}
}

// chain is the hash of all that was applied.
func (s *state) chain() uint64 {
	c, _ := chainAt(s.records, raft.Index(len(s.records)))
	return c
}

// snapshot says what the state contains.
func (s *state) snapshot() raft.Snapshot {
	return raft.Snapshot{Last: s.applied, Configuration: s.configuration}
}

// encode appends all that decides what becomes of the server, as if servers had other
// names. What is left out follows from the rest: the log from the disk's and the
// writes, a state from the log if that begins with what was applied.
func (s *server) encode(buf []byte, rename raft.Renaming) []byte {
	buf = s.core.AppendState(buf, rename)
	d := &s.disk
	buf = append(buf, bit(d.hardState.Promised))
	buf = putNumbers(buf, uint64(d.hardState.CurrentTerm), uint64(rename(d.hardState.VotedFor)),
		uint64(d.witness.Term), uint64(d.witness.Index))
	buf = d.log.encode(buf, rename)
	buf = putNumbers(buf, uint64(len(d.unfinished)))
	for _, p := range d.unfinished {
		buf = p.encode(buf, rename)
	}
	buf = s.machine.state.encode(buf, &d.log, rename)
	buf = s.machine.flushed.encode(buf, &d.log, rename)
	if s.receiving != nil && installing(s.core) {
		buf = s.receiving.encode(buf, &storedLog{}, rename)
	}
	return buf
}

func (s *state) encode(buf []byte, log *storedLog, rename raft.Renaming) []byte {
	buf = putNumbers(buf, uint64(s.applied.Index))
	if !log.holds(s.applied.Index, s.chain()) {
		buf = encodeRecords(buf, s.records, rename)
	}
	return append(buf, bit(s.installed))
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func (p *pendingWrite) encode(buf []byte, rename raft.Renaming) []byte {
	w := p.write
	buf = putNumbers(buf, uint64(w.HardState.CurrentTerm), uint64(rename(w.HardState.VotedFor)), uint64(w.TruncateFrom),
		uint64(w.Witness.Term), uint64(w.Witness.Index))
	buf = encodeSnapshot(buf, w.Reset, rename)
	buf = putNumbers(buf, uint64(len(w.Entries)))
	for _, e := range w.Entries {
		buf = e.AppendRenamed(buf, rename)
	}
	// In which order messages leave makes no difference: the network keeps none.
	var release [][]byte
	for _, m := range p.release {
		release = append(release, m.AppendRenamed(nil, rename))
	}
	slices.SortFunc(release, slices.Compare)
	buf = putNumbers(buf, uint64(len(release)))
	for _, m := range release {
		buf = append(putNumbers(buf, uint64(len(m))), m...)
	}
	return buf
}

func encodeSnapshot(buf []byte, s *raft.Snapshot, rename raft.Renaming) []byte {
	if s == nil {
		return putNumbers(buf, 0)
	}
	buf = putNumbers(buf, uint64(s.Last.Term), uint64(s.Last.Index), uint64(s.Configuration.Index))
	return s.Configuration.Configuration.Renamed(rename).AppendTo(buf)
}

func installing(core *raft.Core) bool {
	_, is := core.Installing()
	return is
}

// durable returns what a server would remember if it crashed now. If the stored log does
// not lead to its state, because that came with a snapshot or because the disk has
// forgotten, the log is put behind it.
func (s *server) durable() *storedLog {
	flushed := &s.machine.flushed
	if s.disk.log.holds(flushed.applied.Index, flushed.chain()) {
		return &s.disk.log
	}
	log := behind(flushed)
	return &log
}
