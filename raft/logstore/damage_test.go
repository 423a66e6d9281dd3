package logstore

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// mustBeCorrupt fails the test unless err is a CorruptError about that entry,
// zero for anything else, that names the directory and says what to do.
func mustBeCorrupt(t testing.TB, err error, index raft.Index) *CorruptError {
	t.Helper()
	corrupt, ok := errors.AsType[*CorruptError](err)
	if !ok {
		t.Fatalf("error %v, want a CorruptError", err)
	}
	if corrupt.Index != index || corrupt.Dir != testDir {
		t.Fatalf("damage in %q at entry %d, want entry %d: %v", corrupt.Dir, corrupt.Index, index, err)
	}
	remedy := cmp.Or(corrupt.remedy, remedyWipe)
	if !strings.Contains(err.Error(), testDir) || !strings.Contains(err.Error(), remedy) {
		t.Fatalf("error %q does not say where, and what to do", err)
	}
	return corrupt
}

// flip flips a bit of what is stored under a key.
func flip(db *pebble.DB, key []byte, i int) error {
	value, closer, err := db.Get(key)
	if err != nil {
		return err
	}
	value = bytes.Clone(value)
	value[i] ^= 4
	return errors.Join(closer.Close(), db.Set(key, value, pebble.Sync))
}

func TestDamagedLogIsReportedAndNotRepaired(t *testing.T) {
	tests := map[string]struct {
		damage func(db *pebble.DB) error
		// index is the entry that is blamed, zero for none; open says that Open
		// already notices, otherwise reading does.
		index raft.Index
		open  bool
	}{
		"bit flip in a configuration": {func(db *pebble.DB) error { return flip(db, indexKey('c', 1), 30) }, 1, false},
		"missing first entry":         {func(db *pebble.DB) error { return db.Delete(indexKey('e', 1), nil) }, 1, true},
		"entry stored as a configuration": {func(db *pebble.DB) error {
			return db.Set(indexKey('c', 9), configurationEntry(1, 9, 1).Encoded(), nil)
		}, 9, false},
		"configuration beyond the end": {func(db *pebble.DB) error {
			return db.Set(indexKey('c', 21), sealRecord(indexKey('c', 21), configuration(1).Encode()), nil)
		}, 21, false},
		"bit flip in the hard state": {func(db *pebble.DB) error { return flip(db, hardStateKey, 5) }, 0, true},
		"bit flip in the identity":   {func(db *pebble.DB) error { return flip(db, identityKey, 5) }, 0, true},
		"bit flip in the start":      {func(db *pebble.DB) error { return flip(db, startKey, 5) }, 0, true},
		"bit flip in the format":     {func(db *pebble.DB) error { return flip(db, formatKey, 5) }, 0, true},
		"missing hard state":         {func(db *pebble.DB) error { return db.Delete(hardStateKey, nil) }, 0, true},
		"missing identity":           {func(db *pebble.DB) error { return db.Delete(identityKey, nil) }, 0, true},
		"missing start":              {func(db *pebble.DB) error { return db.Delete(startKey, nil) }, 0, true},
		"missing format":             {func(db *pebble.DB) error { return db.Delete(formatKey, nil) }, 0, true},
		"empty record":               {func(db *pebble.DB) error { return db.Set(hardStateKey, nil, nil) }, 0, true},
		"record of another length": {func(db *pebble.DB) error {
			return db.Set(hardStateKey, sealRecord(hardStateKey, make([]byte, 15)), nil)
		}, 0, true},
		"identity of another length": {func(db *pebble.DB) error { return db.Set(identityKey, sealRecord(identityKey, nil), nil) }, 0, true},
		"format of another length":   {func(db *pebble.DB) error { return db.Set(formatKey, sealRecord(formatKey, nil), nil) }, 0, true},
		"record in another's place":  {func(db *pebble.DB) error { return db.Set(startKey, sealRecord(hardStateKey, encodePair(0, 0)), nil) }, 0, true},
		"key that is no index":       {func(db *pebble.DB) error { return db.Set([]byte("e last"), []byte("?"), nil) }, 0, true},
		"configuration at no index":  {func(db *pebble.DB) error { return db.Set([]byte("c"), []byte("?"), nil) }, 0, false},
		"record that is no configuration": {func(db *pebble.DB) error {
			return db.Set(indexKey('c', 2), sealRecord(indexKey('c', 2), []byte("?")), nil)
		}, 2, false},
	}
	entries := append([]raft.Entry{configurationEntry(1, 1, 1, 2, 3)}, append(commands(1, 2, 10), commands(2, 11, 20)...)...)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fs := storeWith(t, entries...)
			tamper(t, fs, test.damage)
			for range 2 { // the second time: nothing was "repaired"
				s, err := Open(testDir, Options{NodeID: 1, FS: fs})
				if test.open != (err != nil) {
					t.Fatalf("Open: %v", err)
				}
				if err == nil {
					_, err = read(s)
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				mustBeCorrupt(t, err, test.index)
			}
		})
	}
}

func TestDamageToACompactedLogIsReportedAndNotRepaired(t *testing.T) {
	putConfiguration := func(db *pebble.DB, i raft.Index) error {
		key := indexKey('c', i)
		return db.Set(key, sealRecord(key, configuration(1).Encode()), nil)
	}
	putStart := func(db *pebble.DB, term raft.Term, i raft.Index) error {
		return db.Set(startKey, sealRecord(startKey, encodeEntryID(raft.EntryID{Term: term, Index: i})), nil)
	}
	tests := map[string]struct {
		damage func(db *pebble.DB) error
		index  raft.Index
		open   bool
	}{
		"missing first entry":             {func(db *pebble.DB) error { return db.Delete(indexKey('e', 13), nil) }, 13, true},
		"start that has gone back":        {func(db *pebble.DB) error { return putStart(db, 2, 10) }, 11, true},
		"start of a later term":           {func(db *pebble.DB) error { return putStart(db, 4, 12) }, 0, false},
		"missing configuration at start":  {func(db *pebble.DB) error { return db.Delete(indexKey('c', 5), nil) }, 0, false},
		"a second configuration at start": {func(db *pebble.DB) error { return putConfiguration(db, 7) }, 0, false},
		"configuration at index zero":     {func(db *pebble.DB) error { return putConfiguration(db, 0) }, 0, false},
		"configuration in another's place": {func(db *pebble.DB) error {
			return db.Set(indexKey('c', 5), sealRecord(indexKey('c', 4), configuration(1).Encode()), nil)
		}, 5, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, _ := storeOfTwoTerms(t, fs)
			mustCompact(t, s, 3, 12)
			if err := errors.Join(s.db.Flush(), s.reclaim(0), s.Close()); err != nil {
				t.Fatal(err)
			}
			tamper(t, fs, test.damage)
			for range 2 {
				s, err := Open(testDir, Options{NodeID: 1, FS: fs})
				if test.open != (err != nil) {
					t.Fatalf("Open: %v", err)
				}
				if err == nil {
					_, err = read(s)
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
				}
				mustBeCorrupt(t, err, test.index)
			}
		})
	}
}

func TestCompactionNoticesDamage(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(db *pebble.DB) error
		index  raft.Index
	}{
		"no configuration":       {func(db *pebble.DB) error { return db.DeleteRange(indexKey('c', 0), indexKey('c', 12), nil) }, 0},
		"configuration nowhere":  {func(db *pebble.DB) error { return db.Set([]byte("c"), []byte("?"), nil) }, 0},
		"last entry missing":     {func(db *pebble.DB) error { return db.Delete(indexKey('e', 12), nil) }, 12},
		"last entry of no value": {func(db *pebble.DB) error { return db.Set(indexKey('e', 12), []byte("?"), nil) }, 12},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, _ := storeOfTwoTerms(t, fs)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			tamper(t, fs, test.damage)
			s = openForTest(t, fs)
			mustBeCorrupt(t, s.Compact(raft.EntryID{Term: 3, Index: 12}), test.index)
			if got := *s.start.Load(); got != (raft.EntryID{}) {
				t.Errorf("the refused compaction has moved the start to %s", got)
			}
		})
	}
}

func TestStateNoticesEntriesThatAreMissing(t *testing.T) {
	for name, hole := range map[string][2]raft.Index{"in the middle": {2, 60}, "all but the first": {2, 100}} {
		t.Run(name, func(t *testing.T) {
			fs := storeWith(t, append(commands(1, 1, 50), commands(2, 51, 100)...)...)
			tamper(t, fs, func(db *pebble.DB) error {
				// The last entry stays where it is, or the log would just be short.
				return db.DeleteRange(indexKey('e', hole[0]), indexKey('e', min(hole[1], 100)), nil)
			})
			_, _, err := openForTest(t, fs).State()
			corrupt, ok := errors.AsType[*CorruptError](err)
			if !ok || corrupt.Index < hole[0] || corrupt.Index >= hole[1] || !errors.Is(err, raft.ErrCorrupt) {
				t.Fatalf("State of a log without entries %d to %d: %v", hole[0], hole[1]-1, err)
			}
		})
	}
}

// fileContaining returns the file of the store that contains b, and where.
func fileContaining(t testing.TB, fs *vfs.MemFS, suffix string, b []byte) (data []byte, at int, name string) {
	t.Helper()
	names, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		data, err := fs.UnsafeGetFileDataBuffer(fs.PathJoin(testDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(data, b); at >= 0 {
			return data, at, fs.PathJoin(testDir, name)
		}
	}
	t.Fatalf("no file %s contains %q", suffix, b)
	return nil, 0, ""
}

func TestBitFlipInATableNamesTheEntryAndTheFile(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	var entries []raft.Entry
	for i := raft.Index(1); i <= 9; i++ {
		// Each entry fills a block, so that the damage is to one entry only.
		entries = append(entries, command(1, i, strings.Repeat(string(rune('0'+i)), 2*blockSize)))
	}
	mustSave(t, s, write(entries...))
	// One table, so that no compaction meets the damage first.
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, at, name := fileContaining(t, fs, ".sst", []byte("555555"))
	data[at+1000] ^= 1

	s = openForTest(t, fs)
	if got, err := s.Entries(1, 4, 1<<30); err != nil || len(got) != 4 {
		t.Fatalf("the entries before the damage: %d, %v", len(got), err)
	}
	_, err := s.Entries(1, 9, 1<<30)
	if corrupt := mustBeCorrupt(t, err, 5); corrupt.File != name {
		t.Fatalf("damage in file %q, want %q: %v", corrupt.File, name, err)
	}
	if got, err := s.Entries(6, 9, 1<<30); err != nil || len(got) != 4 {
		t.Fatalf("the entries after the damage: %d, %v", len(got), err)
	}
}

// diskWithTwoLogs returns what is on disk when a memtable is about to be
// flushed: a write-ahead log that is complete, and a newer one.
func diskWithTwoLogs(t *testing.T) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewCrashableMem()
	var once sync.Once
	var clone *vfs.MemFS
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst") {
			once.Do(func() { clone = disk.CrashClone(vfs.CrashCloneCfg{}) })
		}
		return nil
	}))
	s := mustOpen(t, disk)
	mustSave(t, s, write(commands(1, 1, 100)...))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openForTest(t, fs)
	once = sync.Once{} // forget the flush of Open
	mustSave(t, s, write(commands(2, 101, 200)...))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	return clone
}

func TestDamageToAnOlderWriteAheadLogIsReported(t *testing.T) {
	disk := diskWithTwoLogs(t)
	data, at, _ := fileContaining(t, disk, ".log", []byte("command 150 of term 2"))
	data[at] ^= 1
	_, err := Open(testDir, Options{NodeID: 1, FS: disk})
	mustBeCorrupt(t, err, 0)
	if !strings.Contains(err.Error(), "replaying wal") {
		t.Fatalf("error %q does not say which log", err)
	}
}

func TestDamageInTheMiddleOfTheNewestWriteAheadLogIsReported(t *testing.T) {
	for name, reopened := range map[string]bool{"first run of the store": false, "later run": true} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewCrashableMem()
			s := openForTest(t, disk)
			if reopened {
				s = reopen(t, s, disk)
			}
			for i := raft.Index(1); i <= 200; i++ {
				mustSave(t, s, write(command(1, i, strings.Repeat("x", 1000))))
			}
			clone := disk.CrashClone(vfs.CrashCloneCfg{})
			data, at, _ := fileContaining(t, clone, ".log", bytes.Repeat([]byte("x"), 500))
			data[at] ^= 1
			_, err := Open(testDir, Options{NodeID: 1, FS: clone})
			mustBeCorrupt(t, err, 0)
		})
	}
}

// TestNoDamageGoesUnnoticed flips bits anywhere in any file. Whatever that
// breaks must be reported by an error: never by a panic, never by entries that
// nobody wrote. The known exception is the end of the newest write-ahead log,
// which may be missing without an error: see the package's documentation.
//
// Trap 63.
func TestNoDamageGoesUnnoticed(t *testing.T) {
	entries := append(commands(1, 1, 300), commands(2, 301, 600)...)
	disk := vfs.NewCrashableMem()
	s := openForTest(t, disk)
	mustSave(t, s, write(entries[:200]...))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, write(entries[200:400]...))
	mustSave(t, s, write(entries[400:]...))
	want := expected(inTerm(2), entries)
	names, err := disk.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var newestLog string
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			newestLog = name
		}
	}

	rng := rand.New(rand.NewPCG(3, 4))
	outcomes := map[string]int{}
	for range 200 {
		clone := disk.CrashClone(vfs.CrashCloneCfg{})
		name := flipSomewhere(t, clone, rng)
		outcome, err := openDamaged(clone, want)
		if err != nil {
			t.Fatalf("bit flip in %s: %v", name, err)
		}
		if outcome == "shortened" && name != newestLog {
			t.Fatalf("bit flip in %s: the log is shorter, without an error", name)
		}
		outcomes[outcome]++
	}
	t.Logf("outcomes: %v", outcomes)
	if outcomes["reported"] == 0 || outcomes["harmless"] == 0 {
		t.Fatalf("outcomes: %v", outcomes)
	}
}

// flipSomewhere flips one bit of one file of the store and returns its name.
func flipSomewhere(t testing.TB, fs *vfs.MemFS, rng *rand.Rand) string {
	t.Helper()
	names, err := fs.List(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for {
		name := names[rng.IntN(len(names))]
		data, err := fs.UnsafeGetFileDataBuffer(fs.PathJoin(testDir, name))
		if err == nil && len(data) > 0 {
			data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
			return name
		}
	}
}

// openDamaged reads a store that holds want, but for the damage, and says what
// became of it, or what is wrong with that.
func openDamaged(fs vfs.FS, want contents) (string, error) {
	s, err := Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(string) {}})
	if err != nil {
		return "reported", nil
	}
	got, err := read(s)
	if closeErr := s.Close(); err == nil && closeErr == nil {
		if got.equal(want) {
			return "harmless", nil
		}
		for i, e := range got.Entries {
			if string(e.Encoded()) != string(want.Entries[i].Encoded()) {
				return "", errors.New("the store returns entries that nobody wrote")
			}
		}
		return "shortened", nil
	}
	return "reported", nil
}
