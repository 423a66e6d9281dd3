package kv

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
	"balsa/raft/node"
)

func TestStateContinuesAfterAnOrderlyClose(t *testing.T) {
	opts := testOptions(t, vfs.NewMem())
	l := logOf(put("a", "1"), put("b", "2"), cas("a", 1, "3"))
	s := mustOpen(t, opts)
	mustApply(t, s, l[:2])
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, opts)
	if got := appliedID(t, s); got != l[1].ID() {
		t.Errorf("applied is %s after reopening, want %s", got, l[1].ID())
	}
	wantOutcomes(t, mustApply(t, s, l[2:]), applied(3))
	wantItem(t, s, "a", "3", 3)
	wantItem(t, s, "b", "2", 2)
}

func TestStateWorksOnARealDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	opts := testOptions(t, nil)
	s, err := OpenState(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, logOf(put("a", "1")))
	if second, err := OpenState(dir, opts); err == nil {
		second.Close()
		t.Error("one directory was opened twice at the same time")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = OpenState(dir, opts); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	wantItem(t, s, "a", "1", 1)
}

func TestACrashTakesTheStateBackToTheLastFlush(t *testing.T) {
	fs := vfs.NewCrashableMem()
	l := logOf(put("a", "1"), put("a", "2"), put("a", "3"))
	s := mustOpen(t, testOptions(t, fs))
	mustApply(t, s, l[:1])
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, l[1:])

	s = mustOpen(t, testOptions(t, fs.CrashClone(vfs.CrashCloneCfg{})))
	if got := appliedID(t, s); got != l[0].ID() {
		t.Errorf("applied is %s after the crash, want %s", got, l[0].ID())
	}
	wantItem(t, s, "a", "1", 1)
	mustApply(t, s, l[1:])
	wantItem(t, s, "a", "3", 3)
}

func TestFlushedIndexIsWhatACrashWouldLeave(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := mustOpen(t, testOptions(t, fs))
	flushed := func() raft.Index {
		t.Helper()
		index, err := s.FlushedIndex()
		if err != nil {
			t.Fatal(err)
		}
		survivor := mustOpen(t, testOptions(t, fs.CrashClone(vfs.CrashCloneCfg{})))
		if got := appliedID(t, survivor).Index; got != index {
			t.Errorf("FlushedIndex is %d, and %d survives a crash", index, got)
		}
		return index
	}
	entries := logOf(put("a", "1"), put("a", "2"), del("a"))
	if got := flushed(); got != 0 {
		t.Errorf("FlushedIndex is %d on a new store, want 0", got)
	}
	mustApply(t, s, entries[:2])
	if got := flushed(); got != 0 {
		t.Errorf("FlushedIndex is %d before any flush, want 0", got)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := flushed(); got != 2 {
		t.Errorf("FlushedIndex is %d after a flush at 2, want 2", got)
	}
	mustApply(t, s, entries[2:])
	if got := flushed(); got != 2 {
		t.Errorf("FlushedIndex is %d with entry 3 not flushed, want 2", got)
	}
}

// A node that is never restarted and never told to flush must not pile up work
// for its next start: as memtables fill, what waits to be flushed stays bounded.
func TestTheTailThatACrashWouldLoseIsBounded(t *testing.T) {
	opts := testOptions(t, vfs.NewMem())
	s := mustOpen(t, opts)
	const writes, valueSize = 40_000, 100
	var entries []raft.Entry
	var longest raft.Index
	for index := raft.Index(1); index <= writes; index++ {
		c := command{kind: commandPut, key: fmt.Appendf(nil, "key%d", index%1000), value: make([]byte, valueSize)}
		entries = append(entries, raft.NewEntry(raft.EntryID{Term: 1, Index: index}, raft.EntryCommand, c.encode()))
		if len(entries) < 50 {
			continue
		}
		mustApply(t, s, entries)
		entries = entries[:0]
		flushed, err := s.FlushedIndex()
		if err != nil {
			t.Fatal(err)
		}
		longest = max(longest, index-flushed)
	}
	if most := raft.Index((memTables + 1) * opts.MemTableBytes / valueSize); longest > most || most > writes/3 {
		t.Errorf("up to %d of %d writes waited to be flushed, want at most %d", longest, writes, most)
	}
}

func TestAStateDirectoryOfAnotherIsRefused(t *testing.T) {
	opts := testOptions(t, vfs.NewMem())
	s := mustOpen(t, opts)
	mustApply(t, s, logOf(put("a", "1")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	otherNode, otherCluster := opts, opts
	otherNode.Identity.Node = 2
	otherCluster.Identity.Cluster[3]++
	for name, other := range map[string]Options{"node": otherNode, "cluster": otherCluster} {
		_, err := OpenState("state", other)
		wantError(t, err, ErrWrongIdentity)
		for _, part := range []string{"state", opts.Identity.String(), other.Identity.String()} {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("another %s: the error does not name %q: %v", name, part, err)
			}
		}
	}
	s = mustOpen(t, opts) // and it has not been spoilt
	wantItem(t, s, "a", "1", 1)
}

func TestAForeignPebbleStoreIsRefused(t *testing.T) {
	opts := testOptions(t, vfs.NewMem())
	db, err := pebble.Open("state", &pebble.Options{FS: opts.FS, Logger: pebbleLogger{log: slog.New(slog.DiscardHandler)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Set([]byte("somebody's"), []byte("data"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = OpenState("state", opts)
	wantError(t, err, ErrWrongIdentity)
}

func TestAStateMustBeSomebodys(t *testing.T) {
	for name, id := range map[string]Identity{
		"nobody":     {},
		"no node":    {Cluster: testIdentity.Cluster},
		"no cluster": {Node: 1},
	} {
		opts := testOptions(t, vfs.NewMem())
		opts.Identity = id
		if s, err := OpenState("state", opts); err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func TestAnOpenErrorNamesTheDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(file, testOptions(t, nil)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("error is %v, want one that names %s", err, file)
	}
}

func TestAfterCloseEverythingSaysStopped(t *testing.T) {
	s := openMem(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	_, _, err := s.Get([]byte("a"))
	wantError(t, err, ErrStopped)
	_, err = s.Apply(logOf(put("a", "1")))
	wantError(t, err, ErrStopped)
	_, err = s.FlushedIndex()
	wantError(t, err, ErrStopped)
	wantError(t, s.Flush(), ErrStopped)
	_, _, err = s.Contents()
	wantError(t, err, ErrStopped)
	_, err = s.Snapshot()
	wantError(t, err, ErrStopped)
	_, err = s.Receive(node.SnapshotOffer{})
	wantError(t, err, ErrStopped)
}

func TestTheStoreHasTheFormatOfItsName(t *testing.T) {
	if got := openMem(t).db.FormatMajorVersion(); got != pebble.FormatValueSeparation {
		t.Errorf("format is %s, want %s", got, pebble.FormatValueSeparation)
	}
}

// Readers see batches whole, see time go forward only, and are told an applied
// index that is no promise too much.
func TestReadersBesideTheApplierSeeAConsistentState(t *testing.T) {
	s := openMem(t)
	const batches, perBatch = 300, 4
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last Item
			for {
				item, _, err := s.Get([]byte("a"))
				if err != nil {
					t.Error(err)
					return
				}
				// Each batch writes "a" first, so whoever has seen the last
				// index of a batch has seen its "a".
				if item.Applied < last.Applied || item.Revision < last.Revision ||
					item.Revision+perBatch <= item.Applied {
					t.Errorf("read %+v after %+v", item, last)
					return
				}
				last = item
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	l := logBuilder{term: 1}
	for i := range batches {
		start := len(l.entries)
		l.command(put("a", fmt.Sprint(i)))
		for j := range perBatch - 1 {
			l.command(put(fmt.Sprintf("b%d", j), fmt.Sprint(i)))
		}
		mustApply(t, s, l.entries[start:])
	}
	close(done)
	readers.Wait()
}

// A flush that comes in the middle of a batch takes nothing away from those who
// read at the same time of what they were told about. It takes some luck to come
// there; half of the runs under the race detector do.
func TestAFlushBesideTheApplierHidesNothing(t *testing.T) {
	const keys, writes = 8, 4000
	s := openMem(t)
	var acknowledged atomic.Int64
	done := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := s.Flush(); err != nil {
				t.Error(err)
				return
			}
			at := acknowledged.Load()
			for i := range keys {
				item, _, err := s.Get(key(i))
				if int64(item.Revision) <= at-keys || err != nil {
					t.Errorf("read %+v, %v after entry %d was acknowledged", item, err, at)
					return
				}
			}
		}
	})
	for i := range writes {
		c := command{kind: commandPut, key: key(i % keys), value: []byte("value")}
		id := raft.EntryID{Term: 1, Index: raft.Index(i + 1)}
		mustApply(t, s, []raft.Entry{raft.NewEntry(id, raft.EntryCommand, c.encode())})
		acknowledged.Store(int64(i + 1))
	}
	close(done)
	others.Wait()
}

// Get reads the applied index first and the value after it. Here is what it sees
// when the applier gets in between.
func TestAnItemIsNeverNewerThanItsAppliedIndex(t *testing.T) {
	s := openMem(t)
	mustApply(t, s, logOf(put("a", "1"), put("a", "2"), put("a", "3")))
	s.applied.Index = 1 // as it was before the last two
	item, _, err := s.Get([]byte("a"))
	if err != nil || item.Revision != 3 || item.Applied != 3 {
		t.Errorf("Get = %+v, %v; want revision and applied index 3", item, err)
	}
}

func TestClosingWhileOthersReadIsSafe(t *testing.T) {
	s := openMem(t)
	mustApply(t, s, logOf(put("a", "1")))
	var readers sync.WaitGroup
	started := make(chan struct{}, 2)
	for range 2 {
		readers.Go(func() {
			started <- struct{}{}
			for {
				if _, _, err := s.Get([]byte("a")); err != nil {
					wantError(t, err, ErrStopped)
					return
				}
			}
		})
	}
	<-started
	<-started
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	readers.Wait()
}
