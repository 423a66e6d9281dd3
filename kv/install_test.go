package kv

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestASnapshotReplacesAllOfAnOlderState(t *testing.T) {
	entries := randomLog(1, 500)
	hashes := hashesOf(t, entries)
	l := logBuilder{term: 1} // a state that is larger, and has keys on both sides
	l.configuration(1)
	for i := range 100 {
		l.command(put(fmt.Sprintf("a%03d", i), strings.Repeat("old", 1000)))
		l.command(put(fmt.Sprintf("zz%03d", i), strings.Repeat("old", 1000)))
	}
	disk := vfs.NewCrashableMem()
	opts := testOptions(t, disk)
	opts.Identity.Node = 5
	s := smallTables(mustOpen(t, opts))
	mustApply(t, s, l.entries[:150])
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, l.entries[150:]) // these are in memory only
	wantInstalled(t, s, nil)

	src := mustSnapshot(t, leaderAt(t, entries[:300]))
	want := src.Snapshot()
	mustTransfer(t, src, s, offerOf(src, 1))
	check := func(s *State) {
		t.Helper()
		if contentHash(t, s) != hashes[300] {
			t.Error("the state is not the snapshot's")
		}
		if got := appliedID(t, s); got != want.Last {
			t.Errorf("applied is %s, want %s", got, want.Last)
		}
		if flushed, err := s.FlushedIndex(); err != nil || flushed < want.Last.Index {
			t.Errorf("FlushedIndex is %d, %v, want %d", flushed, err, want.Last.Index)
		}
		if names, err := s.receiver.fs.List("state/received"); err == nil {
			t.Errorf("left where it was received: %q", names)
		}
		wantAbsent(t, s, "a000")
		wantAbsent(t, s, "zz099")
		wantInstalled(t, s, &want)
	}
	check(s)

	// All that is on disk, too. Pebble removes the files that it has linked, and
	// the disk may remember that or not.
	opts.FS = disk.CrashClone(vfs.CrashCloneCfg{})
	check(mustOpen(t, opts))

	mustApply(t, s, entries[300:301])
	wantInstalled(t, s, nil)
	mustApply(t, s, entries[301:])
	if contentHash(t, s) != hashes[500] {
		t.Error("the state that goes on from a snapshot is not that of a replay")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opts.FS = disk
	s = mustOpen(t, opts)
	wantInstalled(t, s, nil)
	next := mustSnapshot(t, s) // and a snapshot of it is nobody's installed one
	if got := next.Snapshot().Last.Index; got != 500 {
		t.Errorf("a snapshot of entry %d, want 500", got)
	}
}

// Until the first flush a crash takes the state back to the snapshot, and then it
// says again that it is that one.
func TestAfterACrashTheStateIsTheInstalledOneAgain(t *testing.T) {
	entries := randomLog(1, 200)
	disk := vfs.NewCrashableMem()
	s := mustOpen(t, testOptions(t, disk))
	src := mustSnapshot(t, leaderAt(t, entries[:100]))
	want := src.Snapshot()
	mustTransfer(t, src, s, offerOf(src, 1))
	mustApply(t, s, entries[100:])
	wantInstalled(t, s, nil)
	s, disk = reopen(t, disk)
	wantInstalled(t, s, &want)
	mustApply(t, s, entries[100:])
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	s, _ = reopen(t, disk)
	wantInstalled(t, s, nil)
}

// Mutant 31: applied never goes back.
func TestAnOlderSnapshotIsNotInstalled(t *testing.T) {
	entries := randomLog(1, 200)
	s := openMem(t)
	mustApply(t, s, entries)
	for _, index := range []int{100, 200} {
		src := mustSnapshot(t, leaderAt(t, entries[:index]))
		k := mustReceive(t, s, offerOf(src, byte(index)))
		if _, err := send(src, k, -1); err != nil {
			t.Fatal(err)
		}
		if err := k.Finish(); err != nil {
			t.Fatal(err)
		}
		if err := s.Install(k); err == nil {
			t.Errorf("a snapshot of entry %d was installed over entry 200", index)
		}
	}
	if contentHash(t, s) != hashesOf(t, entries)[200] || appliedID(t, s).Index != 200 {
		t.Error("the state has changed")
	}
}

func TestOnlyWhatThisStateHasReceivedIsInstalled(t *testing.T) {
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 50)))
	other := openMem(t)
	k := mustReceive(t, other, offerOf(src, 1))
	if _, err := send(src, k, -1); err != nil {
		t.Fatal(err)
	}
	if err := k.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := openMem(t).Install(k); err == nil {
		t.Error("installed what another state has received")
	}
	if err := other.Install(k); err != nil {
		t.Fatal(err)
	}
	if err := other.Install(k); err == nil {
		t.Error("installed twice")
	}
}

// Readers beside the installation see the old state or the new one, at no moment
// neither, and an applied index that is not too high for what they see.
func TestReadersBesideAnInstallSeeOneStateOrTheOther(t *testing.T) {
	const rounds, keys = 40, 50
	l := logBuilder{term: 1}
	leader := openMem(t)
	leader.chunkBytes = 500
	s := smallTables(openMem(t))
	// Each round writes all keys; whoever sees a key of a round has seen all the
	// rounds before.
	round := func() {
		start := len(l.entries)
		l.configuration(1)
		for i := range keys {
			l.command(put(fmt.Sprintf("key%02d", i), strings.Repeat("x", 20)))
		}
		mustApply(t, leader, l.entries[start:])
	}
	round()
	mustApply(t, s, l.entries)
	var reads atomic.Int64
	done := make(chan struct{})
	var readers sync.WaitGroup
	for r := range 2 {
		readers.Go(func() {
			var applied uint64
			for i := r; ; i++ {
				item, found, err := s.Get(fmt.Appendf(nil, "key%02d", i%keys))
				roundOf := func(index uint64) uint64 { return (index - 1) / (keys + 1) }
				if err != nil || !found || item.Applied < applied || roundOf(item.Revision) < roundOf(item.Applied) {
					t.Errorf("read %+v, %v, %v after applied index %d", item, found, err, applied)
					return
				}
				applied = item.Applied
				reads.Add(1)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for i := range rounds {
		round()
		src := mustSnapshot(t, leader)
		before := reads.Load()
		mustTransfer(t, src, s, offerOf(src, byte(i)))
		for reads.Load() == before && !t.Failed() {
			runtime.Gosched()
		}
	}
	close(done)
	readers.Wait()
	if contentHash(t, s) != contentHash(t, leader) {
		t.Error("the states differ in the end")
	}
}

func TestInstallAndCloseDoNotWaitForEachOther(t *testing.T) {
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 50)))
	for range 20 {
		s := openMem(t)
		k := mustReceive(t, s, offerOf(src, 1))
		if _, err := send(src, k, -1); err != nil {
			t.Fatal(err)
		}
		if err := k.Finish(); err != nil {
			t.Fatal(err)
		}
		var closer sync.WaitGroup
		closer.Go(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		if err := s.Install(k); err != nil {
			wantError(t, err, ErrStopped)
		}
		closer.Wait()
	}
}
