package modelcheck

import (
	"encoding/binary"
	"fmt"
	"slices"

	"balsa/raft"
)

// record is an entry together with a hash of the log up to it. Two logs whose
// records at an index have the same hash hold the same entries up to there.
type record struct {
	entry raft.Entry
	chain uint64
}

// storedLog is a log as a disk holds it. Its slices are shared between copies and
// never written to: a change makes new ones.
type storedLog struct {
	// start is the last entry that compaction has removed, or zero.
	start raft.EntryID
	// records are all entries from index 1 on. No log store remembers those up to
	// start: they are here for the judge.
	records []record
	// configurations are those after the one in force at start, which comes first.
	configurations []raft.IndexedConfiguration
}

func (l *storedLog) last() raft.Index { return raft.Index(len(l.records)) }

// at returns the record at an index from 1 to last.
func (l *storedLog) at(i raft.Index) record { return l.records[i-1] }

// chainAt returns the hash of the log up to index i, and whether it is that long.
func (l *storedLog) chainAt(i raft.Index) (uint64, bool) { return chainAt(l.records, i) }

func chainAt(records []record, i raft.Index) (uint64, bool) {
	switch {
	case i == 0:
		return 0, true
	case i > raft.Index(len(records)):
		return 0, false
	}
	return records[i-1].chain, true
}

// holds reports whether the log is, up to index i, the one with that hash.
func (l *storedLog) holds(i raft.Index, chain uint64) bool {
	c, known := l.chainAt(i)
	return known && c == chain
}

// id identifies the entry at an index up to last.
func (l *storedLog) id(i raft.Index) raft.EntryID {
	if i == 0 {
		return raft.EntryID{}
	}
	return l.at(i).entry.ID()
}

// inForce returns the latest configuration in the log.
func (l *storedLog) inForce() raft.IndexedConfiguration {
	if n := len(l.configurations); n > 0 {
		return l.configurations[n-1]
	}
	return raft.IndexedConfiguration{}
}

// write does what a [raft.Write] asks for. If it replaces the log by a snapshot,
// installed is the state that the snapshot describes.
func (l *storedLog) write(w *raft.Write, installed *state) error {
	if s := w.Reset; s != nil {
		if installed.applied != s.Last {
			return fmt.Errorf("begins anew after %s, the state is that of %s", s.Last, installed.applied)
		}
		*l = behind(installed)
	}
	if i := w.TruncateFrom; i != 0 && i <= l.last() {
		if i <= l.start.Index {
			return fmt.Errorf("removes entry %d, which was compacted", i)
		}
		l.truncate(i - 1)
	}
	for _, e := range w.Entries {
		if e.Index != l.last()+1 {
			return fmt.Errorf("leaves a hole before entry %s: the log ends at %d", e.ID(), l.last())
		}
		before, _ := l.chainAt(l.last())
		l.records = append(slices.Clip(l.records), record{e, chain(before, e)})
		if e.Kind != raft.EntryConfiguration {
			continue
		}
		configuration, err := raft.DecodeConfiguration(e.Data)
		if err != nil {
			return err
		}
		l.configurations = append(slices.Clip(l.configurations), raft.IndexedConfiguration{Index: e.Index, Configuration: configuration})
	}
	return nil
}

// truncate removes the entries after an index.
func (l *storedLog) truncate(last raft.Index) {
	l.records = l.records[:last]
	for n := len(l.configurations); n > 0 && l.configurations[n-1].Index > last; n-- {
		l.configurations = l.configurations[:n-1]
	}
}

// behind is the empty log that begins after a state.
func behind(s *state) storedLog {
	return storedLog{start: s.applied, records: s.records, configurations: []raft.IndexedConfiguration{s.configuration}}
}

// compact removes the entries up to one that the log holds.
func (l *storedLog) compact(to raft.EntryID) {
	if to.Index <= l.start.Index {
		return
	}
	l.start = to
	for len(l.configurations) > 1 && l.configurations[1].Index <= to.Index {
		l.configurations = l.configurations[1:]
	}
}

// read returns entries from index first on, at least one, none beyond last, and at
// most about maxBytes of them; none if the first is not there.
func (l *storedLog) read(first, last raft.Index, maxBytes int) []raft.Entry {
	if first <= l.start.Index {
		return nil
	}
	var entries []raft.Entry
	size := 0
	for i := first; i <= min(last, l.last()); i++ {
		e := l.at(i).entry
		if size += e.Size(); size > maxBytes && i > first {
			break
		}
		entries = append(entries, e)
	}
	return entries
}

// state describes the log as a log store does at its start.
func (l *storedLog) state() raft.LogState {
	s := raft.LogState{Start: l.start, Last: l.last(), Configurations: slices.Clone(l.configurations)}
	for _, r := range l.records[l.start.Index:] {
		if len(s.Spans) == 0 || r.entry.Term != s.Spans[len(s.Spans)-1].Term {
			s.Spans = append(s.Spans, raft.TermSpan{Term: r.entry.Term, First: r.entry.Index})
		}
	}
	return s
}

// encode appends what the log holds.
func (l *storedLog) encode(buf []byte, rename raft.Renaming) []byte {
	return encodeRecords(putNumbers(buf, uint64(l.start.Index)), l.records, rename)
}

func encodeRecords(buf []byte, records []record, rename raft.Renaming) []byte {
	buf = putNumbers(buf, uint64(len(records)))
	for _, r := range records {
		buf = r.entry.AppendRenamed(buf, rename)
	}
	return buf
}

func putNumbers(buf []byte, values ...uint64) []byte {
	for _, v := range values {
		buf = binary.LittleEndian.AppendUint64(buf, v)
	}
	return buf
}

// chain continues the hash of a log by an entry. The entry's own checksum stands for
// its content.
func chain(before uint64, e raft.Entry) uint64 {
	checksum := uint64(binary.LittleEndian.Uint32(e.Encoded()))
	return mix(mix(mix(before, checksum), uint64(e.Term)), uint64(e.Index))
}
