package kv

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// crashPoint is what a machine that lost power at some moment finds on its
// disk.
type crashPoint struct {
	fs *vfs.MemFS
	op string
	// flushed is the highest FlushedIndex that anybody had been told by then.
	flushed raft.Index
}

// crashRecorder is an errorfs injector that injects nothing, but takes copies
// of the disk before every operation that changes it.
type crashRecorder struct {
	mu      sync.Mutex
	disk    *vfs.MemFS
	rng     *rand.Rand
	flushed raft.Index
	points  []crashPoint
	// orderly says that what was not synced is lost, or none of it is. Pebble
	// counts on that for the directory that it opens a store in again, and the
	// file systems with a journal keep it.
	orderly bool
}

func (c *crashRecorder) String() string { return "crash recorder" }

func (c *crashRecorder) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// What had not been synced is lost, or some blocks of it are not, or none.
	for _, percent := range []int{0, 50, 100} {
		if percent == 50 && c.orderly {
			continue
		}
		c.points = append(c.points, crashPoint{
			fs:      c.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: c.rng}),
			op:      op.Path,
			flushed: c.flushed,
		})
	}
	return nil
}

// record returns the file system that is recorded. In it no file is linked while
// a copy is made: MemFS would wait for itself for ever.
func (c *crashRecorder) record() vfs.FS {
	return errorfs.Wrap(linksApart{FS: c.disk, mu: &c.mu}, c)
}

type linksApart struct {
	vfs.FS
	mu *sync.Mutex
}

func (fs linksApart) Link(oldname, newname string) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.FS.Link(oldname, newname)
}

func (c *crashRecorder) saw(flushed raft.Index) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flushed = max(c.flushed, flushed)
}

// The sweep of every persist point: whatever operation of the file system the
// machine dies at, including those that create the store, the store opens
// again, holds everything up to its applied index and nothing beyond it, and
// applying the rest of the log leads to the same state and to the same outcomes
// as if nothing had happened. An entry applied twice, or skipped, would change
// the outcomes of the commands that compare or delete.
//
// Trap 59.
// Rules: apply.once.
func TestCrashAtEveryPersistPoint(t *testing.T) {
	entries := randomLog(1, 250)
	wantOutcome, wantHash := serially(t, entries)

	disk := vfs.NewCrashableMem()
	recorder := &crashRecorder{disk: disk, rng: rand.New(rand.NewPCG(1, 2))}
	s := mustOpen(t, testOptions(t, recorder.record()))
	rng := rand.New(rand.NewPCG(3, 4))
	for rest := entries; len(rest) > 0; {
		n := min(1+rng.IntN(16), len(rest))
		mustApply(t, s, rest[:n])
		rest = rest[n:]
		if rng.IntN(3) == 0 {
			if err := s.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		flushed, err := s.FlushedIndex()
		if err != nil {
			t.Fatal(err)
		}
		recorder.saw(flushed)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	starts := map[raft.Index]bool{}
	for i, p := range recorder.points {
		s, err := OpenState("state", testOptions(t, p.fs))
		if err != nil {
			t.Fatalf("crash point %d, at %s: %v", i, p.op, err)
		}
		from := appliedID(t, s).Index
		starts[from] = true
		if from < p.flushed {
			t.Errorf("crash point %d, at %s: applied is %d, and %d was said to be on disk", i, p.op, from, p.flushed)
		}
		var got []outcome
		for rest := entries[from:]; len(rest) > 0; {
			n := min(1+rng.IntN(200), len(rest))
			got = append(got, mustApply(t, s, rest[:n])...)
			rest = rest[n:]
		}
		if from < raft.Index(len(entries)) {
			wantOutcomes(t, got, wantOutcome[from:]...)
		}
		if contentHash(t, s) != wantHash {
			t.Errorf("crash point %d, at %s: contents differ after applying from %d", i, p.op, from+1)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d crash points, reopened at %d different applied indexes", len(recorder.points), len(starts))
	if len(starts) < 8 || !starts[0] {
		t.Errorf("the crashes left only %d different applied indexes: the sweep proves little", len(starts))
	}
}

// A flush may cut between any two batches. So no moment may exist at which the
// store holds the effect of an entry without the record of it, or the reverse.
//
// Trap 59.
// Rules: apply.once.
func TestEffectsAndAppliedRecordAreNeverApart(t *testing.T) {
	s := openMem(t)
	l := logOf(put("a", "1"))
	mustApply(t, s, l)
	done := make(chan struct{})
	// How many different moments were looked at: one look is worth little, since the
	// applier may be anywhere, and a machine with one processor gives few.
	var moments atomic.Int64
	var observer sync.WaitGroup
	observer.Go(func() {
		for last := raft.Index(0); ; {
			revision, applied := observe(t, s)
			if revision != applied {
				t.Errorf("the store holds the effect of entry %d and says that it has applied %d", revision, applied)
				moments.Store(math.MaxInt64)
				return
			}
			if applied != last {
				last = applied
				moments.Add(1)
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for index := raft.Index(2); index < 5000 || moments.Load() < 100; index++ {
		id := raft.EntryID{Term: 1, Index: index}
		mustApply(t, s, []raft.Entry{raft.NewEntry(id, raft.EntryCommand, l[0].Data)})
	}
	close(done)
	observer.Wait()
}

// observe reads the revision of "a" and the applied index at the same moment.
func observe(t *testing.T, s *State) (revision, applied raft.Index) {
	iter, err := s.db.NewIter(nil)
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	defer iter.Close()
	if !iter.SeekGE(storedKey(nil, []byte("a"))) {
		t.Error("the key is gone")
		return 0, 0
	}
	if revision, _, err = openValue(iter.Key(), iter.Value()); err != nil {
		t.Error(err)
	}
	if !iter.SeekGE(appliedKey) {
		t.Error("the applied record is gone")
		return 0, 0
	}
	id, err := openEntryID(appliedKey, iter.Value())
	if err != nil {
		t.Error(err)
	}
	return revision, id.Index
}
