package kv

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
	"balsa/raft/node"
)

// nthWrite fails the n-th operation that changes one of the files or directories
// on a path that contains part, counted from 0. It fails once.
func nthWrite(part string, n int, errno syscall.Errno) (inj errorfs.Injector, struck func() bool) {
	var count atomic.Int64
	inj = errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && strings.Contains(op.Path, part) && count.Add(1) == int64(n+1) {
			return errno
		}
		return nil
	})
	return inj, func() bool { return count.Load() > int64(n) }
}

// Each operation on what is being received fails once, in one run each. The live
// state must not notice, and the snapshot arrives in the end.
func TestAFailureOfTheReceivingDiskIsNotOneOfTheState(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		entries := randomLog(1, 150)
		src := mustSnapshot(t, leaderAt(t, entries))
		src.state.chunkBytes = 300
		hashes := hashesOf(t, entries)
		failures := 0
		for n := 0; ; n++ {
			inj, struck := nthWrite("received", n, errno)
			s := smallTables(mustOpen(t, testOptions(t, errorfs.Wrap(vfs.NewMem(), inj))))
			mustApply(t, s, entries[:40])
			k, err := receiveAll(s, src)
			if err != nil {
				failures++
				wantError(t, err, errno)
				mustApply(t, s, entries[40:50])
				if err := s.Flush(); err != nil {
					t.Error(err)
				}
				if contentHash(t, s) != hashes[50] {
					t.Errorf("operation %d failed, and the live state shows it", n)
				}
				if k != nil {
					if got := k.Position().Offset; got != 0 {
						t.Errorf("operation %d failed: goes on at %d", n, got)
					}
					if names := received(t, s); len(names) > 0 {
						t.Errorf("operation %d failed, and left %q", n, names)
					}
				}
				if k, err = receiveAll(s, src); err != nil {
					t.Fatalf("again, after operation %d failed: %v", n, err)
				}
			}
			if !struck() {
				break
			}
			if err := s.Install(k); err != nil {
				t.Fatal(err)
			}
			if contentHash(t, s) != hashes[150] {
				t.Errorf("operation %d failed: the state is not the snapshot's", n)
			}
		}
		if failures < 15 {
			t.Errorf("%d operations failed: the test proves little", failures)
		}
	}
}

// receiveAll receives a snapshot up to its end. The sink is nil if none was made.
func receiveAll(s *State, src node.SnapshotSource) (node.SnapshotSink, error) {
	k, err := s.Receive(offerOf(src, 1))
	if err != nil {
		return nil, err
	}
	if _, err := send(src, k, -1); err != nil {
		return k, err
	}
	return k, k.Finish()
}

// A snapshot is not allowed to fill the disk to its last byte, which the live
// store and the log need.
func TestASnapshotLeavesRoomOnTheDisk(t *testing.T) {
	fs := vfs.NewMem()
	entries := randomLog(1, 150)
	src := mustSnapshot(t, leaderAt(t, entries))
	s := smallTables(mustOpen(t, testOptions(t, fs)))
	k := mustReceive(t, s, offerOf(src, 1))
	if _, err := send(src, k, 2); err != nil {
		t.Fatal(err)
	}
	at := k.Position()
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: spareBytes, TotalBytes: 1 << 40})
	_, err := send(src, k, 1)
	wantError(t, err, syscall.ENOSPC)
	if got := k.Position(); got.Offset != at.Offset {
		t.Errorf("what was received is lost: goes on at %d, want %d", got.Offset, at.Offset)
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: spareBytes + 1<<20, TotalBytes: 1 << 40})
	mustTransfer(t, src, s, offerOf(src, 1))
	if contentHash(t, s) != contentHash(t, src.state) {
		t.Error("the state is not the snapshot's")
	}
}

// Each operation that installing does on the live store's own files fails once,
// in one run each: that is the end of this process, and the next one finds the
// old state or the new one.
func TestAFailureWhileInstallingIsFatal(t *testing.T) {
	entries := randomLog(1, 150)
	hashes := hashesOf(t, entries)
	src := mustSnapshot(t, leaderAt(t, entries[:100]))
	failed := 0
	for n := 0; ; n++ {
		disk := vfs.NewCrashableMem()
		fault, struck := nthWrite("", n, syscall.EIO)
		toggle := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
			if strings.Contains(op.Path, "received") && op.Kind != errorfs.OpLink {
				return nil
			}
			return fault.MaybeError(op)
		})}
		opts := testOptions(t, errorfs.Wrap(disk, toggle))
		reported := expectFailure(&opts)
		s := mustOpen(t, opts)
		mustApply(t, s, entries[:40])
		// Pebble makes a mess of a flush whose failure does not end the process.
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		k, err := receiveAll(s, src)
		if err != nil {
			t.Fatal(err)
		}
		toggle.On()
		err = s.Install(k)
		toggle.Off()
		want := raft.Index(100)
		if err != nil {
			failed++
			want = 40
			wantError(t, err, ErrFailed)
			select {
			case err := <-reported:
				wantError(t, err, ErrFailed)
			case <-time.After(20 * time.Second):
				t.Fatal("nobody was told")
			}
			_, err := s.Apply(entries[40:41])
			wantError(t, err, ErrFailed)
			_, _, err = s.Get([]byte("key1"))
			wantError(t, err, ErrFailed)
		}
		next := mustOpen(t, testOptions(t, disk.CrashClone(vfs.CrashCloneCfg{})))
		if from := appliedID(t, next).Index; from != want || contentHash(t, next) != hashes[from] {
			t.Errorf("operation %d failed, Install returned %v: applied is %d, want %d", n, err, from, want)
		}
		if !struck() {
			break
		}
	}
	if failed < 5 {
		t.Errorf("%d failures were noticed: the test proves little", failed)
	}
}
