package sim

import (
	"reflect"
	"testing"

	"balsa/raft"
)

// testLog is a log of commands of term 2, with configurations at some indexes.
func testLog(t *testing.T, last raft.Index, configurations ...raft.Index) storedLog {
	t.Helper()
	var l storedLog
	w := &raft.Write{}
	for i := raft.Index(1); i <= last; i++ {
		kind, data := raft.EntryCommand, encodeCommand(0, uint64(i), 0)
		for _, c := range configurations {
			if c == i {
				members := []raft.Member{{ID: raft.NodeID(i), Votes: true}}
				kind, data = raft.EntryConfiguration, raft.Configuration{Members: members}.Encode()
			}
		}
		w.Entries = append(w.Entries, raft.NewEntry(raft.EntryID{Term: 2, Index: i}, kind, data))
	}
	if err := l.write(w, 0); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestACompactedLogKeepsTheTermAtItsBeginningAndTheConfigurationInForceThere(t *testing.T) {
	l := testLog(t, 10, 1, 3, 8)
	chain, _ := l.chainAt(5)
	l.compact(raft.EntryID{Term: 2, Index: 5})
	if got, ok := l.chainAt(5); !ok || got != chain || l.last() != 10 || l.at(6).entry.Index != 6 {
		t.Errorf("log %s to %s, hash %x at its beginning, want %x", l.start, l.lastID(), got, chain)
	}
	if _, ok := l.chainAt(4); ok || l.read(5, 10, 1000) != nil || len(l.read(6, 10, 1000)) != 5 {
		t.Error("entry 5 is still there, or entry 6 is not")
	}
	s := l.state()
	want := []raft.TermSpan{{Term: 2, First: 6}}
	if s.Start != (raft.EntryID{Term: 2, Index: 5}) || s.Last != 10 || !reflect.DeepEqual(s.Spans, want) {
		t.Errorf("the log store says %+v", s)
	}
	if len(s.Configurations) != 2 || s.Configurations[0].Index != 3 || s.Configurations[1].Index != 8 {
		t.Errorf("configurations %+v, want those of 3 and 8", s.Configurations)
	}
	l.compact(raft.EntryID{Term: 2, Index: 4}) // late, and of no effect
	if l.start.Index != 5 || l.last() != 10 {
		t.Errorf("log %s to %s after an old compaction", l.start, l.lastID())
	}
	if err := l.write(&raft.Write{TruncateFrom: 5}, 0); err == nil {
		t.Error("a compacted entry can be removed")
	}
}

func TestATruncationTakesConfigurationsBack(t *testing.T) {
	l := testLog(t, 10, 1, 8)
	if err := l.write(&raft.Write{TruncateFrom: 8}, 0); err != nil {
		t.Fatal(err)
	}
	if l.inForce().Index != 1 || l.last() != 7 {
		t.Errorf("log to %d, the configuration of entry %d is in force", l.last(), l.inForce().Index)
	}
}

func TestAResetReplacesALogByASnapshot(t *testing.T) {
	l := testLog(t, 10, 1)
	snapshot := raft.Snapshot{Last: raft.EntryID{Term: 3, Index: 20}, Configuration: raft.IndexedConfiguration{Index: 12}}
	next := raft.NewEntry(raft.EntryID{Term: 4, Index: 21}, raft.EntryNoop, nil)
	if err := l.write(&raft.Write{Reset: &snapshot, Entries: []raft.Entry{next}}, 77); err != nil {
		t.Fatal(err)
	}
	if chain, _ := l.chainAt(20); l.start != snapshot.Last || chain != 77 || l.last() != 21 || l.inForce().Index != 12 {
		t.Errorf("log %s to %s with hash %d, configuration of entry %d", l.start, l.lastID(), chain, l.inForce().Index)
	}
}

func TestACrashAfterAnInstallationFindsTheSnapshotAgain(t *testing.T) {
	m := newMachine(2)
	m.apply(raft.NewEntry(raft.EntryID{Term: 1, Index: 1}, raft.EntryCommand, encodeCommand(1, 5, 0)))
	other := newMachine(2)
	other.apply(raft.NewEntry(raft.EntryID{Term: 2, Index: 9}, raft.EntryCommand, encodeCommand(0, 7, 0)))
	m.install(other.state, other.snapshot())
	m.crash()
	if m.installed == nil || m.installed.Last.Index != 9 || m.values[0] != 7 || m.values[1] != 0 || m.digest != other.digest {
		t.Errorf("after the crash: %+v", m.state)
	}
	m.apply(raft.NewEntry(raft.EntryID{Term: 2, Index: 10}, raft.EntryNoop, nil))
	if m.installed != nil || other.values[0] != 7 {
		t.Error("the state is not exactly the snapshot's any more, and says so")
	}
}
