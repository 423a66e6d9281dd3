package kv

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// The sweep of every persist point of a snapshot: its receiving, with a broken
// connection and a first snapshot that another one replaces, its finishing, its
// installation and the entries after it. Whatever operation of the file system
// the machine dies at, the state that opens again is wholly the old one or wholly
// the new one, says truly which one it is, and the rest of the log leads it to
// where a serial replay is. What was received is gone on with, or not, and is the
// right thing in either case.
//
// Trap 53.
// Rules: snap.order.
func TestCrashAtEveryPersistPointOfASnapshot(t *testing.T) {
	const before, snapshotAt, after = 60, 200, 260
	entries := randomLog(7, after)
	hashes := hashesOf(t, entries)
	first := mustSnapshot(t, leaderAt(t, entries[:120]))
	src := mustSnapshot(t, leaderAt(t, entries[:snapshotAt]))
	want := src.Snapshot()
	firstOffer, offer := offerOf(first, 1), offerOf(src, 2)

	disk := vfs.NewCrashableMem()
	recorder := &crashRecorder{disk: disk, rng: rand.New(rand.NewPCG(1, 2))}
	s := smallTables(mustOpen(t, testOptions(t, recorder.record())))
	mustApply(t, s, entries[:before/2])
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	recorder.saw(before / 2)
	recorder.points = nil // creating a store is another test's
	mustApply(t, s, entries[before/2:before])
	if _, err := send(first, mustReceive(t, s, firstOffer), 4); err != nil {
		t.Fatal(err)
	}
	if _, err := send(src, mustReceive(t, s, offer), 3); err != nil {
		t.Fatal(err)
	}
	s.receiver.tableBytes = 4 << 10 // tables of several chunks
	mustTransfer(t, src, s, offer)
	recorder.saw(snapshotAt)
	for i := snapshotAt; i < after; i += 10 {
		mustApply(t, s, entries[i:i+10])
		if i%30 == 0 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	starts := map[raft.Index]int{}
	resumed := map[uint64]bool{}
	for i, p := range recorder.points {
		s, err := OpenState("state", testOptions(t, p.fs))
		if err != nil {
			t.Fatalf("crash point %d, at %s: %v", i, p.op, err)
		}
		from := appliedID(t, s).Index
		starts[from]++
		if from < p.flushed || from > before && from < snapshotAt {
			t.Errorf("applied is %d, and %d was said to be on disk", from, p.flushed)
		}
		if contentHash(t, s) != hashes[from] {
			t.Errorf("the contents are not those of a replay up to %d", from)
		}
		if from == snapshotAt {
			wantInstalled(t, s, &want)
		} else {
			wantInstalled(t, s, nil)
		}
		if i%2 == 0 && from < snapshotAt { // the log is gone: the snapshot is sent again
			k := mustReceive(t, s, offer)
			resumed[k.Position().Offset] = true
			mustTransfer(t, src, s, offer)
			wantInstalled(t, s, &want)
			from = snapshotAt
		}
		mustApply(t, s, entries[from:])
		if contentHash(t, s) != hashes[after] {
			t.Errorf("the contents differ after applying from %d", from+1)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Fatalf("crash point %d, at %s", i, p.op)
		}
	}
	t.Logf("%d crash points, applied indexes %v, went on at %v", len(recorder.points), starts, resumed)
	if starts[before/2] == 0 || starts[snapshotAt] == 0 || len(starts) < 4 || len(resumed) < 4 {
		t.Error("the crashes left too few different states: the sweep proves little")
	}
}
