package sim

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

// storedLog is a log whose beginning may have been compacted away.
type storedLog struct {
	// start is the last entry that is gone, or zero, and startChain the hash of
	// the log up to it. No log store keeps such a hash: it is the oracle's.
	start      raft.EntryID
	startChain uint64
	records    []record
	// configurations are those of the records, in order, after the one that was
	// in force at start, if there was one.
	configurations []raft.IndexedConfiguration
}

func (l *storedLog) last() raft.Index { return l.start.Index + raft.Index(len(l.records)) }

// at returns the record at an index after start, up to last.
func (l *storedLog) at(i raft.Index) record { return l.records[i-l.start.Index-1] }

// chainAt returns the hash of the log up to index i, if the log knows it.
func (l *storedLog) chainAt(i raft.Index) (uint64, bool) {
	switch {
	case i == l.start.Index:
		return l.startChain, true
	case i < l.start.Index || i > l.last():
		return 0, false
	}
	return l.at(i).chain, true
}

// id identifies the entry at an index from start to last.
func (l *storedLog) id(i raft.Index) raft.EntryID {
	if i == l.start.Index {
		return l.start
	}
	return l.at(i).entry.ID()
}

func (l *storedLog) lastID() raft.EntryID { return l.id(l.last()) }

// inForce returns the latest configuration in the log: the zero value if there
// is none.
func (l *storedLog) inForce() raft.IndexedConfiguration {
	if n := len(l.configurations); n > 0 {
		return l.configurations[n-1]
	}
	return raft.IndexedConfiguration{}
}

// write does what a [raft.Write] asks for. The hash is that of the log up to the
// entry with which a reset begins. It returns an error if the write would leave a
// hole.
func (l *storedLog) write(w *raft.Write, resetChain uint64) error {
	if s := w.Reset; s != nil {
		*l = storedLog{start: s.Last, startChain: resetChain, configurations: []raft.IndexedConfiguration{s.Configuration}}
	}
	if i := w.TruncateFrom; i != 0 && i <= l.last() {
		if i <= l.start.Index {
			return fmt.Errorf("removes entry %d, which was compacted", i)
		}
		l.records = l.records[:i-l.start.Index-1]
		for n := len(l.configurations); n > 0 && l.configurations[n-1].Index >= i; n-- {
			l.configurations = l.configurations[:n-1]
		}
	}
	for _, e := range w.Entries {
		if e.Index != l.last()+1 {
			return fmt.Errorf("leaves a hole after %s", l.lastID())
		}
		before, _ := l.chainAt(l.last())
		l.records = append(l.records, record{e, chain(before, e)})
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

// compact removes the entries up to one that the log holds, if it is not gone
// already.
func (l *storedLog) compact(to raft.EntryID) {
	if to.Index <= l.start.Index {
		return
	}
	chain, _ := l.chainAt(to.Index)
	l.records = l.records[to.Index-l.start.Index:]
	l.start, l.startChain = to, chain
	for len(l.configurations) > 1 && l.configurations[1].Index <= to.Index {
		l.configurations = l.configurations[1:]
	}
}

// clone returns a copy that can be changed independently.
func (l *storedLog) clone() storedLog {
	c := *l
	c.records = slices.Clone(l.records)
	return c
}

// read returns entries from index first on, at least one, none beyond last, and
// at most about maxBytes of them; none if the first is not there any more.
func (l *storedLog) read(first, last raft.Index, maxBytes int) []raft.Entry {
	if first <= l.start.Index {
		return nil
	}
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
func (l *storedLog) state() raft.LogState {
	s := raft.LogState{Start: l.start, Last: l.last(), Configurations: slices.Clone(l.configurations)}
	var term raft.Term
	for i, r := range l.records {
		if i == 0 || r.entry.Term != term {
			term = r.entry.Term
			s.Spans = append(s.Spans, raft.TermSpan{Term: term, First: r.entry.Index})
		}
	}
	return s
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
