package logstore

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

const testDir = "data/n1/log"

// mustOpen opens the store of node 1 on fs. Whoever calls closes it.
func mustOpen(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(message string) { panic(message) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openForTest opens the store of node 1 on fs and closes it after the test.
func openForTest(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s := mustOpen(t, fs)
	t.Cleanup(func() {
		if err := s.Close(); err != nil && err != ErrClosed {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// reopen closes the store and opens it again.
func reopen(t testing.TB, s *Store, fs vfs.FS) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return openForTest(t, fs)
}

func command(term raft.Term, i raft.Index, data string) raft.Entry {
	return raft.NewEntry(raft.EntryID{Term: term, Index: i}, raft.EntryCommand, []byte(data))
}

// commands returns the entries first to last, all of one term, each with data
// that names it.
func commands(term raft.Term, first, last raft.Index) []raft.Entry {
	var entries []raft.Entry
	for i := first; i <= last; i++ {
		entries = append(entries, command(term, i, fmt.Sprintf("command %d of term %d", i, term)))
	}
	return entries
}

// configurationEntry returns an entry that makes the given servers the voters.
func configurationEntry(term raft.Term, i raft.Index, voters ...raft.NodeID) raft.Entry {
	return raft.NewEntry(raft.EntryID{Term: term, Index: i}, raft.EntryConfiguration, configuration(voters...).Encode())
}

func configuration(voters ...raft.NodeID) raft.Configuration {
	var c raft.Configuration
	for _, id := range voters {
		c.Members = append(c.Members, raft.Member{ID: id, Votes: true, Address: fmt.Sprintf("10.0.0.%d:21001", id)})
	}
	return c
}

func inTerm(term raft.Term) raft.HardState { return raft.HardState{CurrentTerm: term} }

// write is a Write of entries by a server in the term of the last of them.
func write(entries ...raft.Entry) raft.Write {
	last := entries[len(entries)-1].ID()
	return raft.Write{HardState: inTerm(last.Term), Witness: last, Entries: entries}
}

// mustSave saves writes, and completes those that do not say what the witness is to
// say: that the log ends where it ends.

func mustSave(t testing.TB, s *Store, writes ...raft.Write) {
	t.Helper()
	known, _ := s.witness.current()
	last := known.last
	terms := map[raft.Index]raft.Term{}
	for i := range writes {
		w := &writes[i]
		switch n := len(w.Entries); {
		case n > 0:
			last = w.Entries[n-1].ID()
		case w.Reset != nil:
			last = w.Reset.Last
		case w.TruncateFrom != 0 && w.TruncateFrom <= last.Index:
			last.Index = w.TruncateFrom - 1
			if stored, err := s.Entries(last.Index, last.Index, 0); err == nil && len(stored) > 0 {
				last.Term = stored[0].Term
			}
			if term, ok := terms[last.Index]; ok {
				last.Term = term
			}
		}
		for _, e := range w.Entries {
			terms[e.Index] = e.Term
		}
		if w.Witness == (raft.EntryID{}) {
			w.Witness = last
		}
	}
	if err := saveAndAttest(s, writes...); err != nil {
		t.Fatal(err)
	}
}

// saveAndAttest makes the writes durable.
func saveAndAttest(s *Store, writes ...raft.Write) error {
	if err := s.Save(writes); err != nil {
		return err
	}
	return s.Attest()
}

// contents is everything that a store says about itself.
type contents struct {
	HardState raft.HardState
	Log       raft.LogState
	Entries   []raft.Entry
}

// read returns everything that is in the store.
func read(s *Store) (contents, error) {
	var c contents
	var err error
	if c.HardState, c.Log, err = s.State(); err != nil {
		return contents{}, err
	}
	for next := c.Log.Start.Index + 1; next <= c.Log.Last; {
		entries, err := s.Entries(next, c.Log.Last, 1<<20)
		if err != nil {
			return contents{}, err
		}
		c.Entries = append(c.Entries, entries...)
		next += raft.Index(len(entries))
	}
	return c, nil
}

// expected returns what a store with that hard state and these entries, from
// index 1 on, must say about itself.
func expected(hs raft.HardState, entries []raft.Entry) contents {
	m := model{hs: hs, log: entries}
	return m.contents()
}

func (c contents) equal(other contents) bool { return reflect.DeepEqual(c, other) }

func (c contents) String() string {
	return fmt.Sprintf("%+v, log %s to %d, spans %v, configurations %v", c.HardState, c.Log.Start, c.Log.Last, c.Log.Spans, c.Log.Configurations)
}

// mustEqual fails the test unless the store says exactly that about itself.
func mustEqual(t testing.TB, s *Store, want contents) {
	t.Helper()
	got, err := read(s)
	if err != nil {
		t.Fatal(err)
	}
	if !got.equal(want) {
		t.Fatalf("store holds %s\n%v\nwant %s\n%v", got, got.Entries, want, want.Entries)
	}
}

// mustContain fails the test unless the store holds exactly that hard state and
// these entries, from index 1 on.
func mustContain(t testing.TB, s *Store, hs raft.HardState, entries []raft.Entry) {
	t.Helper()
	mustEqual(t, s, expected(hs, entries))
}

func mustCompact(t testing.TB, s *Store, term raft.Term, i raft.Index) {
	t.Helper()
	if err := s.Compact(raft.EntryID{Term: term, Index: i}); err != nil {
		t.Fatal(err)
	}
}

// snapshotOf describes a snapshot whose state has everything up to the given
// entry, in the configuration of entry 1, which has servers 1 to 3.
func snapshotOf(term raft.Term, i raft.Index) *raft.Snapshot {
	return &raft.Snapshot{
		Last:          raft.EntryID{Term: term, Index: i},
		Configuration: raft.IndexedConfiguration{Index: 1, Configuration: configuration(1, 2, 3)},
	}
}

// compactedStore returns a store whose log is empty after start, in the
// configuration of snapshotOf.
func compactedStore(t testing.TB, fs vfs.FS, start raft.EntryID) *Store {
	t.Helper()
	s := openForTest(t, fs)
	mustSave(t, s, raft.Write{HardState: inTerm(start.Term), Reset: snapshotOf(start.Term, start.Index)})
	return reopen(t, s, fs)
}
