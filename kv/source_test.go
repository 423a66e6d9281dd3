package kv

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
	"balsa/raft/node"
)

// Trap 58.
// Rules: snap.config.
func TestASnapshotIsLabelledWithWhatItContains(t *testing.T) {
	l := logBuilder{term: 3}
	l.configuration(1)
	l.command(put("a", "1"))
	l.term = 4
	l.configuration(3)
	l.command(put("b", "2"))
	s := openMem(t)
	for i := range l.entries {
		mustApply(t, s, l.entries[i:i+1])
		got := mustSnapshot(t, s).Snapshot()
		wantConfiguration := raft.Index(1)
		if i >= 2 {
			wantConfiguration = 3
		}
		if got.Last != l.entries[i].ID() || got.Configuration.Index != wantConfiguration ||
			len(got.Configuration.Configuration.Members) != int(wantConfiguration) {
			t.Errorf("after entry %s the snapshot is %s with configuration %+v", l.entries[i].ID(), got, got.Configuration)
		}
	}
}

func TestOfNothingThereIsNoSnapshot(t *testing.T) {
	s := openMem(t)
	if src, err := s.Snapshot(); err == nil {
		src.Close()
		t.Errorf("a snapshot of an empty state: %s", src.Snapshot())
	}
	if len(s.sources) > 0 {
		t.Error("a picture is left open")
	}
}

// A snapshot that is taken while entries are applied contains what its label
// says, whatever becomes of the state afterwards.
//
// Trap 58.
func TestASnapshotBesideTheApplierIsExact(t *testing.T) {
	const perSnapshot, count = 150, 15
	entries := randomLog(4, perSnapshot*count)
	hashes := hashesOf(t, entries)
	s := leaderAt(t, entries[:1])
	next := make(chan struct{})
	var applier sync.WaitGroup
	applier.Go(func() {
		for i := 1; i < len(entries); i++ {
			if i%perSnapshot == 1 {
				<-next
			}
			if _, err := s.Apply(entries[i : i+1]); err != nil {
				t.Error(err)
			}
		}
	})
	var taken []*source
	for range count {
		next <- struct{}{}
		src, err := s.Snapshot() // beside the next entries
		if err != nil {
			t.Error(err)
			continue
		}
		taken = append(taken, src.(*source))
	}
	applier.Wait()
	if err := s.db.Compact(t.Context(), everything.Start, everything.End, false); err != nil {
		t.Fatal(err)
	}
	for _, src := range taken {
		index := src.Snapshot().Last.Index
		receiver := openMem(t)
		mustTransfer(t, src, receiver, offerOf(src, 1))
		if contentHash(t, receiver) != hashes[index] {
			t.Errorf("the snapshot of entry %d is not what a replay up to there gives", index)
		}
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is installed over a state does not show in pictures that were taken of it
// before, of what was in files and of what was in memory.
func TestAnOpenSnapshotSurvivesAnInstall(t *testing.T) {
	old, later := randomLog(1, 100), randomLog(2, 300)
	s := leaderAt(t, old[:50])
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	mustApply(t, s, old[50:])
	src := mustSnapshot(t, s)
	want := chunks(t, src, node.Position{})
	if err := src.Seek(node.Position{}); err != nil {
		t.Fatal(err)
	}
	got := []node.Chunk{}
	for i := range want {
		if i == 2 { // in the middle of it
			newer := mustSnapshot(t, leaderAt(t, later))
			mustTransfer(t, newer, s, offerOf(newer, 1))
		}
		c, err := src.Next()
		if err != nil {
			t.Fatal(err)
		}
		c.Data = bytes.Clone(c.Data)
		got = append(got, c)
	}
	if len(want) < 4 || !reflect.DeepEqual(got, want) {
		t.Error("the picture has changed")
	}
	if appliedID(t, s).Index != 300 {
		t.Error("and nothing was installed")
	}
}

func TestSeekGoesOnWithTheSameChunks(t *testing.T) {
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 200)))
	all := chunks(t, src, node.Position{})
	if len(all) < 5 {
		t.Fatalf("only %d chunks", len(all))
	}
	k := mustReceive(t, openMem(t), offerOf(src, 1))
	for i, c := range all {
		if got := chunks(t, src, k.Position()); !reflect.DeepEqual(got, all[i:]) {
			t.Fatalf("from chunk %d on: other chunks than at first", i)
		}
		if err := k.Write(c); err != nil {
			t.Fatal(err)
		}
	}
	// After the end comes an empty chunk that says so, however often one asks.
	for range 2 {
		rest := chunks(t, src, k.Position())
		if len(rest) != 1 || !rest[0].Last || len(rest[0].Data) != chunkHeader {
			t.Errorf("after the end: %+v", rest)
		}
		if err := k.Write(rest[0]); err != nil {
			t.Error(err)
		}
	}
	if err := k.Finish(); err != nil {
		t.Error(err)
	}
}

func TestPositionsThatCannotBeAreRefused(t *testing.T) {
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 20)))
	for name, p := range map[string]node.Position{
		"offset without key": {Offset: 7},
		"key without offset": {After: []byte("ka")},
		"endless key":        {Offset: 7, After: bytes.Repeat([]byte("k"), node.MaxPosition+1)},
		"what is not sent":   {Offset: 7, After: []byte("L")},
	} {
		if err := src.Seek(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A new kind of replicated record travels without anybody having thought of it,
// and what is this server's own does not.
func TestWhatIsReplicatedTravelsAndNothingElse(t *testing.T) {
	s := leaderAt(t, randomLog(1, 20))
	travels := map[string]bool{"lexpiry": true, "sclient": true, "zlast": true, "Lother": false}
	for key := range travels {
		record := make([]byte, valueHeader)
		putValue(record, []byte(key), 1, nil)
		if err := s.db.Set([]byte(key), record, pebble.NoSync); err != nil {
			t.Fatal(err)
		}
	}
	opts := testOptions(t, vfs.NewMem())
	opts.Identity.Node = 7
	receiver := mustOpen(t, opts)
	src := mustSnapshot(t, s)
	mustTransfer(t, src, receiver, offerOf(src, 1))
	if contentHash(t, receiver) != contentHash(t, s) {
		t.Error("the receiver's state differs")
	}
	for key, travels := range travels {
		if _, err := read(receiver.db, []byte(key)); (err == nil) != travels {
			t.Errorf("%q: %v", key, err)
		}
	}
	if err := receiver.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, opts) // with the identity that it always had
}

func TestChunksAreOfTheSizeThatWasAgreed(t *testing.T) {
	l := logBuilder{term: 1}
	l.configuration(1)
	for i := range 2000 {
		l.command(put(fmt.Sprintf("small %d", i), strings.Repeat("x", 400)))
	}
	largest := raft.MaxEntryData - commandOverhead - MaxKey
	l.command(put(strings.Repeat("l", MaxKey), strings.Repeat("x", largest)))
	l.command(put("m", "after the large one"))
	opts := testOptions(t, vfs.NewMem())
	opts.MemTableBytes = 32 << 20
	s := mustOpen(t, opts)
	mustApply(t, s, l.entries)
	src := mustSnapshot(t, s)
	var total, exceeding int
	for i, c := range chunks(t, src, node.Position{}) {
		if c.Offset != uint64(total) {
			t.Errorf("chunk %d is at %d, want %d", i, c.Offset, total)
		}
		total += len(c.Data)
		if len(c.Data) > node.ChunkSize {
			exceeding++
		}
		if len(c.Data) > node.MaxChunk {
			t.Errorf("chunk %d has %d bytes, at most %d are allowed", i, len(c.Data), node.MaxChunk)
		}
		if len(c.Data) < node.ChunkSize/2 && exceeding == 0 && i < 3 {
			t.Errorf("chunk %d has only %d bytes", i, len(c.Data))
		}
	}
	if exceeding != 1 {
		t.Errorf("%d chunks exceed %d bytes, want the one that cannot be divided", exceeding, node.ChunkSize)
	}
	if size := src.Size(); size < uint64(total)*8/10 || size > uint64(total)*12/10 {
		t.Errorf("the size was announced as %d, and there were %d bytes", size, total)
	}
}

func TestADamagedRecordIsNotSent(t *testing.T) {
	s := leaderAt(t, randomLog(1, 50))
	rewrite(t, s, string(appliedKey), "kdamaged", func(r []byte) []byte { return r })
	src := mustSnapshot(t, s)
	for {
		c, err := src.Next()
		if err != nil {
			wantError(t, err, ErrCorrupt)
			break
		}
		if bytes.Contains(c.Data, []byte("kdamaged")) || c.Last {
			t.Fatal("sent")
		}
	}
}

func TestAClosedSnapshotGivesItsSpaceBack(t *testing.T) {
	s := leaderAt(t, randomLog(1, 50))
	src := mustSnapshot(t, s)
	if err := s.db.Compact(t.Context(), everything.Start, everything.End, false); err != nil {
		t.Fatal(err)
	}
	if s.db.Metrics().Table.ZombieCount == 0 {
		t.Fatal("the open snapshot holds no files: the test proves nothing")
	}
	for range 2 {
		if err := src.Close(); err != nil {
			t.Error(err)
		}
	}
	// Pebble's own work in the background may hold them a little longer.
	for deadline := time.Now().Add(20 * time.Second); s.db.Metrics().Table.ZombieCount != 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are kept for a snapshot that was closed", s.db.Metrics().Table.ZombieCount)
		}
	}
	if _, err := src.Next(); err == nil {
		t.Error("a closed snapshot can be read")
	}
}

func TestClosingTheStateEndsItsSnapshots(t *testing.T) {
	s := leaderAt(t, randomLog(1, 50))
	src := mustSnapshot(t, s)
	if _, err := src.Next(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing with a snapshot open: %v", err)
	}
	_, err := src.Next()
	wantError(t, err, ErrStopped)
	if err := src.Close(); err != nil {
		t.Error(err)
	}
	_, err = s.Snapshot()
	wantError(t, err, ErrStopped)
}
