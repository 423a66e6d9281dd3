package logstore

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// tableBytes is how much the table files of a store take.
func tableBytes(t testing.TB, fs vfs.FS, dir string) int64 {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		// A file may be gone by now.
		if info, err := fs.Stat(fs.PathJoin(dir, name)); err == nil {
			total += info.Size()
		}
	}
	return total
}

// fill saves commands of 64 KiB each, from index next on, and returns the index
// after the last one.
func fill(t testing.TB, s *Store, next raft.Index, bytes int) raft.Index {
	t.Helper()
	data := strings.Repeat("x", 64<<10-raft.EntryOverhead)
	for ; bytes > 0; bytes -= 1 << 20 {
		var entries []raft.Entry
		for range 16 {
			entries = append(entries, command(1, next, data))
			next++
		}
		mustSave(t, s, write(entries...))
	}
	return next
}

// TestSpaceOfACompactedLogIsFreedWithoutFurtherWrites compacts a log that nobody
// appends to any more.
func TestSpaceOfACompactedLogIsFreedWithoutFurtherWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		mustSave(t, s, write(configurationEntry(1, 1, 1)))
		next := fill(t, s, 2, 72<<20)
		synctest.Wait()
		before := tableBytes(t, fs, testDir)
		mustCompact(t, s, 1, next-10)
		time.Sleep(10 * time.Second) // Pebble takes its time to remove files
		synctest.Wait()
		after := tableBytes(t, fs, testDir)
		t.Logf("%d MiB in tables before, %d MiB after", before>>20, after>>20)
		if before < memTableSize || after > reclaimBytes {
			t.Errorf("%d bytes in tables before the compaction, %d after it", before, after)
		}
		if got, err := s.Entries(next-9, next, 1<<30); err != nil || len(got) != 9 {
			t.Errorf("%d entries left, %v", len(got), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		// What was in memtables is in tables now.
		s = mustOpen(t, fs)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if size := tableBytes(t, fs, testDir); size > reclaimBytes {
			t.Errorf("%d bytes in tables after reopening", size)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestLogThatIsCompactedAgainAndAgainStaysSmall appends twice as much as the log
// may ever take.
func TestLogThatIsCompactedAgainAndAgainStaysSmall(t *testing.T) {
	const (
		tail   = 8 << 20
		rounds = 75
		// The tail, what a flush adds to it before anything is freed, and what is
		// freed but not removed yet.
		bound = tail + 4*memTableSize
	)
	dir := filepath.Join(t.TempDir(), "log")
	s, err := Open(dir, Options{NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, write(configurationEntry(1, 1, 1)))
	next := fill(t, s, 2, tail)
	var most int64
	for range rounds {
		end := fill(t, s, next, tail/2)
		mustCompact(t, s, 1, end-tail/(64<<10))
		next = end
		most = max(most, tableBytes(t, vfs.Default, dir))
	}
	written := int64(next) * (64 << 10)
	t.Logf("%d MiB written, a tail of %d MiB kept, at most %d MiB in tables", written>>20, tail>>20, most>>20)
	if written < 2*bound || most > bound {
		t.Errorf("%d bytes written, a tail of %d kept, %d bytes in tables, want at most %d", written, tail, most, bound)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSizeIsCompleteAfterOpening(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	mustSave(t, s, write(configurationEntry(1, 1, 1)))
	const perEntry = 64 << 10
	next := fill(t, s, 2, 8<<20)
	s = reopen(t, s, fs)
	mustBeAbout := func(first, last raft.Index, want uint64) {
		t.Helper()
		got, err := s.Size(first, last)
		if err != nil || got < want-want/20-blockSize || got > want+want/20+2*blockSize {
			t.Errorf("entries %d to %d take %d bytes, %v; want about %d", first, last, got, err, want)
		}
	}
	mustBeAbout(0, next+100, 8<<20)
	mustBeAbout(2, 33, 32*perEntry)
	mustBeAbout(100, next, uint64(next-100)*perEntry)
	mustCompact(t, s, 1, 33)
	mustBeAbout(0, next, 8<<20-32*perEntry)
	for _, none := range [][2]raft.Index{{0, 33}, {next, next + 10}, {50, 49}} {
		if got, err := s.Size(none[0], none[1]); err != nil || got != 0 {
			t.Errorf("entries %d to %d, none of which are stored, take %d bytes, %v", none[0], none[1], got, err)
		}
	}
}

func TestSizeReadsNoEntries(t *testing.T) {
	const length = 100_000
	fs := vfs.NewMem()
	longLog(t, fs, length)
	s := openForTest(t, fs)
	misses := func() int64 { return s.Metrics().BlockCache.Misses }
	before := misses()
	if size, err := s.Size(1, length); err != nil || size < length*raft.EntryOverhead {
		t.Fatalf("size %d, %v", size, err)
	}
	if _, err := s.Size(length/3, length/2); err != nil {
		t.Fatal(err)
	}
	forSize := misses() - before
	if _, err := s.Entries(1, length, 1<<30); err != nil {
		t.Fatal(err)
	}
	all := misses() - before
	if forSize > 10 || all < 10*forSize {
		t.Errorf("Size has read %d blocks, to read all entries takes %d", forSize, all)
	}
}
