package sim

import (
	"encoding/binary"

	"balsa/raft"
)

// record is an entry together with a hash of the log up to it. Two logs whose
// records at an index have the same hash hold the same entries up to there.
type record struct {
	entry raft.Entry
	chain uint64
}

// storedLog is a log that begins with index 1.
type storedLog struct{ records []record }

func (l *storedLog) last() raft.Index { return raft.Index(len(l.records)) }

// at returns the record at index i; the zero record stands before the log.
func (l *storedLog) at(i raft.Index) record {
	if i == 0 {
		return record{}
	}
	return l.records[i-1]
}

// holds reports whether the log has, at index i, the record of the given chain.
func (l *storedLog) holds(i raft.Index, chain uint64) bool {
	return i == 0 || i <= l.last() && l.at(i).chain == chain
}

func (l *storedLog) lastID() raft.EntryID { return l.at(l.last()).entry.ID() }

// write does what a [raft.Write] asks for. It returns false if that would leave
// a hole.
func (l *storedLog) write(w *raft.Write) bool {
	if w.TruncateFrom != 0 && w.TruncateFrom <= l.last() {
		l.records = l.records[:w.TruncateFrom-1]
	}
	for _, e := range w.Entries {
		if e.Index != l.last()+1 {
			return false
		}
		l.records = append(l.records, record{e, chain(l.at(l.last()).chain, e)})
	}
	return true
}

// read returns entries from index first on, at least one, none beyond last, and
// at most about maxBytes of them.
func (l *storedLog) read(first, last raft.Index, maxBytes int) []raft.Entry {
	var entries []raft.Entry
	size := 0
	for i := first; i <= min(last, l.last()); i++ {
		e := l.at(i).entry
		size += e.Size()
		if size > maxBytes && i > first {
			break
		}
		entries = append(entries, e)
	}
	return entries
}

// state describes the log as a log store does at its start.
func (l *storedLog) state() (raft.LogState, error) {
	s := raft.LogState{Last: l.last()}
	var term raft.Term
	for _, r := range l.records {
		if r.entry.Term != term {
			term = r.entry.Term
			s.Spans = append(s.Spans, raft.TermSpan{Term: term, First: r.entry.Index})
		}
		if r.entry.Kind != raft.EntryConfiguration {
			continue
		}
		configuration, err := raft.DecodeConfiguration(r.entry.Data)
		if err != nil {
			return s, err
		}
		s.Configurations = append(s.Configurations, raft.IndexedConfiguration{Index: r.entry.Index, Configuration: configuration})
	}
	return s, nil
}

// chain continues the hash of a log by an entry. The entry's own checksum
// stands for its content.
func chain(before uint64, e raft.Entry) uint64 {
	checksum := uint64(binary.LittleEndian.Uint32(e.Encoded()))
	return mix(mix(mix(before, checksum), uint64(e.Term)), uint64(e.Index))
}

// mix joins a value to a hash, so that every bit of both matters.
func mix(hash, value uint64) uint64 {
	hash ^= value + 0x9e3779b97f4a7c15 + hash<<6 + hash>>2
	hash = (hash ^ hash>>30) * 0xbf58476d1ce4e5b9
	hash = (hash ^ hash>>27) * 0x94d049bb133111eb
	return hash ^ hash>>31
}
