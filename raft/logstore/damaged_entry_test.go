package logstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// damagedEntries are ways to damage one entry of a log of entries 1 to 20, of which
// those from 11 on are of term 2, and the index of that entry.
var damagedEntries = map[string]struct {
	damage func(db *pebble.DB) error
	index  raft.Index
}{
	"bit flip in the data":   {func(db *pebble.DB) error { return flip(db, indexKey('e', 7), 30) }, 7},
	"bit flip in the header": {func(db *pebble.DB) error { return flip(db, indexKey('e', 7), 17) }, 7},
	"bit flip in the last":   {func(db *pebble.DB) error { return flip(db, indexKey('e', 20), 0) }, 20},
	"cut short":              {func(db *pebble.DB) error { return db.Set(indexKey('e', 8), command(1, 8, "").Encoded()[:20], nil) }, 8},
	"something after it": {func(db *pebble.DB) error {
		return db.Set(indexKey('e', 8), append(command(1, 8, "").Encoded(), 0), nil)
	}, 8},
	"missing":            {func(db *pebble.DB) error { return db.Delete(indexKey('e', 7), nil) }, 7},
	"another's":          {func(db *pebble.DB) error { return db.Set(indexKey('e', 7), command(1, 8, "").Encoded(), nil) }, 7},
	"of an earlier term": {func(db *pebble.DB) error { return db.Set(indexKey('e', 16), command(1, 16, "").Encoded(), nil) }, 16},
}

// damagedStore returns a file system with the closed store of server 1, a log of
// which an entry was damaged, and what was in that log. The voters are those of its
// configuration.
func damagedStore(t *testing.T, damage func(db *pebble.DB) error, voters ...raft.NodeID) (*vfs.MemFS, []raft.Entry) {
	t.Helper()
	entries := slices.Concat([]raft.Entry{configurationEntry(1, 1, voters...)}, commands(1, 2, 10), commands(2, 11, 20))
	fs := storeWith(t, entries...)
	tamper(t, fs, damage)
	// Whoever reads the log comes across it.
	s, err := Open(testDir, Options{NodeID: 1, FS: fs})
	if err == nil {
		_, err = read(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := errors.AsType[*CorruptError](err); !ok {
		t.Fatalf("reading the log: %v", err)
	}
	return fs, entries
}

// The server that has read a damaged entry stops. The next time, its log ends before
// it, and the witness says what it lacks; the leader has the rest.
func TestADamagedEntryIsCutOffWhenTheStoreIsOpenedAgain(t *testing.T) {
	for name, test := range damagedEntries {
		t.Run(name, func(t *testing.T) {
			fs, entries := damagedStore(t, test.damage, 1, 2, 3)
			want := expected(inTerm(2), entries[:test.index-1])
			want.Log.Witness = raft.EntryID{Term: 2, Index: 20}
			var output bytes.Buffer
			s, err := Open(testDir, Options{NodeID: 1, FS: fs, Logger: slog.New(slog.NewTextHandler(&output, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if line := fmt.Sprintf("file=%s entry=%d", testDir, test.index); !strings.Contains(output.String(), "level=WARN") || !strings.Contains(output.String(), line) {
				t.Errorf("the log does not say %q:\n%s", line, &output)
			}
			mustEqual(t, s, want)
			s = reopen(t, s, fs)
			mustEqual(t, s, want)

			// The leader sends the rest, and everything is as it was.
			rest := write(entries[test.index-1:]...)
			mustSave(t, s, rest)
			mustContain(t, s, inTerm(2), entries)
			mustContain(t, reopen(t, s, fs), inTerm(2), entries)
		})
	}
}

// If nobody else votes, nobody can send the rest again. What comes after the damage
// is evidence, and only an operator can give it up.
func TestTheLogOfTheOnlyVoterIsNotCut(t *testing.T) {
	for name, test := range damagedEntries {
		t.Run(name, func(t *testing.T) {
			fs, entries := damagedStore(t, test.damage, 1)
			for range 2 {
				_, err := Open(testDir, Options{NodeID: 1, FS: fs})
				if corrupt := mustBeCorrupt(t, err, test.index); corrupt.remedy != remedyAlone {
					t.Fatalf("Open: %v", err)
				}
			}
			s, err := Open(testDir, Options{NodeID: 1, FS: fs, ForRecovery: true})
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(s)
			want := expected(inTerm(2), entries[:test.index-1])
			want.Log.Witness = raft.EntryID{Term: 2, Index: 20}
			if err != nil || !got.equal(want) {
				t.Fatalf("opened for recovery, the store holds %s, %v; want %s", got, err, want)
			}
			if err := s.Recover(clusterB, raft.Snapshot{Last: raft.EntryID{Term: 1, Index: 3}}, false); err != nil {
				t.Fatal(err)
			}
			m := model{hs: inTerm(2), log: entries[:test.index-1]}
			m = recovered(m, s.Identity())
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			mustEqual(t, openForTest(t, fs), m.contents())
		})
	}
}
