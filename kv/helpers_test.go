package kv

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

var testIdentity = Identity{Cluster: [16]byte{0xba, 0x15, 0xa}, Node: 1}

// testOptions are small, so that a test can fill a memtable. A failure of the
// disk that the test has not announced fails the test.
func testOptions(t testing.TB, fs vfs.FS) Options {
	return Options{
		Identity:      testIdentity,
		FS:            fs,
		CacheBytes:    1 << 20,
		MemTableBytes: 256 << 10,
		Fatal:         func(err error) { t.Errorf("the state store failed: %v", err) },
	}
}

func mustOpen(t testing.TB, opts Options) *State {
	t.Helper()
	s, err := OpenState("state", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openMem(t testing.TB) *State {
	t.Helper()
	return mustOpen(t, testOptions(t, vfs.NewMem()))
}

// log builds entries in a row.
type logBuilder struct {
	term    raft.Term
	entries []raft.Entry
}

func (l *logBuilder) add(kind raft.EntryKind, data []byte) {
	id := raft.EntryID{Term: l.term, Index: raft.Index(len(l.entries) + 1)}
	l.entries = append(l.entries, raft.NewEntry(id, kind, data))
}

func (l *logBuilder) command(c command) { l.add(raft.EntryCommand, c.encode()) }

// configuration adds an entry with a configuration of so many voters.
func (l *logBuilder) configuration(voters int) {
	var c raft.Configuration
	for id := range voters {
		c.Members = append(c.Members, raft.Member{ID: raft.NodeID(id + 1), Address: "127.0.0.1:1", Votes: true})
	}
	l.add(raft.EntryConfiguration, c.Encode())
}

func logOf(commands ...command) []raft.Entry {
	l := logBuilder{term: 1}
	for _, c := range commands {
		l.command(c)
	}
	return l.entries
}

func put(key, value string) command {
	return command{kind: commandPut, key: []byte(key), value: []byte(value)}
}

func del(key string) command { return command{kind: commandDelete, key: []byte(key)} }

func cas(key string, expected raft.Index, value string) command {
	return command{kind: commandCompareAndSet, key: []byte(key), expected: expected, value: []byte(value)}
}

func cad(key string, expected raft.Index) command {
	return command{kind: commandCompareAndDelete, key: []byte(key), expected: expected}
}

func applied(revision raft.Index) outcome {
	return outcome{code: outcomeApplied, revision: revision}
}

func deleted(revision raft.Index) outcome {
	return outcome{code: outcomeApplied, revision: revision, existed: true}
}

func conflict(actual raft.Index) outcome { return outcome{code: outcomeConflict, revision: actual} }

// mustApply applies the entries and returns their outcomes, the zero outcome
// for entries that are no commands.
func mustApply(t testing.TB, s *State, entries []raft.Entry) []outcome {
	t.Helper()
	results, err := s.Apply(entries)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(entries) {
		t.Fatalf("%d results for %d entries", len(results), len(entries))
	}
	return outcomes(results)
}

func outcomes(results []any) []outcome {
	os := make([]outcome, len(results))
	for i, r := range results {
		if r != nil {
			os[i] = *r.(*outcome)
		}
	}
	return os
}

func wantOutcomes(t testing.TB, got []outcome, want ...outcome) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("outcomes are\n%+v\nwant\n%+v", got, want)
	}
}

// wantItem checks the value and revision of a key.
func wantItem(t testing.TB, s *State, key, value string, revision uint64) {
	t.Helper()
	item, found, err := s.Get([]byte(key))
	if err != nil || !found || string(item.Value) != value || item.Revision != revision {
		t.Errorf("Get(%q) = %q at revision %d, found %v, error %v; want %q at revision %d",
			key, item.Value, item.Revision, found, err, value, revision)
	}
}

func wantAbsent(t testing.TB, s *State, key string) {
	t.Helper()
	if item, found, err := s.Get([]byte(key)); found || err != nil {
		t.Errorf("Get(%q) = %+v, found %v, error %v; want nothing", key, item, found, err)
	}
}

func appliedID(t testing.TB, s *State) raft.EntryID {
	t.Helper()
	id, err := s.Applied()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// contentHash is a hash of everything in the store that is replicated: two
// replicas at the same applied index must agree on it.
func contentHash(t testing.TB, s *State) string {
	t.Helper()
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: replicated.Start, UpperBound: replicated.End})
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for ok := iter.First(); ok; ok = iter.Next() {
		fmt.Fprintf(h, "%q=%q\n", iter.Key(), iter.Value())
	}
	if err := iter.Close(); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want %v", err, want)
	}
}
