package logstore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// storeOfTwoTerms returns a store with entries 1 to 20: commands, but for
// configurations 1, 5 and 15. Entries 11 to 20 are of term 3, the others of term
// 2.
func storeOfTwoTerms(t testing.TB, fs vfs.FS) (*Store, *model) {
	t.Helper()
	log := slices.Concat(
		[]raft.Entry{configurationEntry(2, 1, 1)}, commands(2, 2, 4),
		[]raft.Entry{configurationEntry(2, 5, 1, 2)}, commands(2, 6, 10), commands(3, 11, 14),
		[]raft.Entry{configurationEntry(3, 15, 1, 2, 3)}, commands(3, 16, 20),
	)
	s := openForTest(t, fs)
	mustSave(t, s, write(log...))
	return s, &model{hs: inTerm(3), log: log}
}

func TestCompactionKeepsWhatTheRestOfTheLogNeeds(t *testing.T) {
	for name, test := range map[string]struct {
		last raft.EntryID
		// inForce is the configuration that must be kept.
		inForce raft.Index
	}{
		"one entry, the configuration": {raft.EntryID{Term: 2, Index: 1}, 1},
		"up to before a configuration": {raft.EntryID{Term: 2, Index: 4}, 1},
		"up to a configuration":        {raft.EntryID{Term: 2, Index: 5}, 5},
		"up to the end of a term":      {raft.EntryID{Term: 2, Index: 10}, 5},
		"all configurations":           {raft.EntryID{Term: 3, Index: 17}, 15},
		"everything":                   {raft.EntryID{Term: 3, Index: 20}, 15},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, want := storeOfTwoTerms(t, fs)
			if err := s.Compact(test.last); err != nil {
				t.Fatal(err)
			}
			want.compact(test.last)
			for range 2 {
				_, log, err := s.State()
				if err != nil {
					t.Fatal(err)
				}
				if log.Start != test.last || log.Last != 20 || log.Configurations[0].Index != test.inForce {
					t.Fatalf("after compaction up to %s: %+v", test.last, log)
				}
				mustEqual(t, s, want.contents())
				s = reopen(t, s, fs)
			}
			// The log goes on where it was.
			w := write(command(3, 21, "x"))
			mustSave(t, s, w)
			want.save(w)
			mustEqual(t, s, want.contents())
		})
	}
}

func TestCompactionOfWhatIsGoneChangesNothing(t *testing.T) {
	s, want := storeOfTwoTerms(t, vfs.NewMem())
	mustCompact(t, s, 2, 8)
	want.compact(raft.EntryID{Term: 2, Index: 8})
	before := s.Stats()
	for _, last := range []raft.EntryID{{}, {Term: 2, Index: 8}, {Term: 2, Index: 7}, {Term: 1, Index: 1}} {
		if err := s.Compact(last); err != nil {
			t.Fatalf("compaction up to %s of a log that begins after 8: %v", last, err)
		}
	}
	if after := s.Stats(); after != before {
		t.Errorf("compactions of what is gone have written: %+v, before %+v", after, before)
	}
	mustEqual(t, s, want.contents())
}

func TestCompactionOfWhatTheLogDoesNotHoldPanics(t *testing.T) {
	fs := vfs.NewMem()
	s, want := storeOfTwoTerms(t, fs)
	mustCompact(t, s, 2, 8)
	want.compact(raft.EntryID{Term: 2, Index: 8})
	for name, last := range map[string]raft.EntryID{
		"beyond the end":      {Term: 3, Index: 21},
		"an earlier term":     {Term: 2, Index: 12},
		"a later term":        {Term: 3, Index: 10},
		"the start, of later": {Term: 3, Index: 8},
	} {
		message := panicOf(func() { _ = s.Compact(last) })
		if want := fmt.Sprintf("compaction up to %s, which is not in the log 9 to 20", last); !strings.Contains(message, want) {
			t.Errorf("%s: panic %q, want %q", name, message, want)
		}
	}
	mustEqual(t, s, want.contents())
	mustEqual(t, reopen(t, s, fs), want.contents())
}

func TestCompactionDoesNotSync(t *testing.T) {
	disk := vfs.NewCrashableMem()
	s, want := storeOfTwoTerms(t, disk)
	before := s.Stats().Syncs
	mustCompact(t, s, 3, 12)
	if n := s.Stats().Syncs - before; n != 0 {
		t.Errorf("the compaction took %d syncs", n)
	}
	// Lost by a crash, as a whole.
	mustEqual(t, openForTest(t, disk.CrashClone(vfs.CrashCloneCfg{})), want.contents())
	// Durable together with the next Save.
	want.compact(raft.EntryID{Term: 3, Index: 12})
	w := raft.Write{HardState: inTerm(4)}
	mustSave(t, s, w)
	want.save(w)
	mustEqual(t, openForTest(t, disk.CrashClone(vfs.CrashCloneCfg{})), want.contents())
}

// TestCompactionThatDoesNotReachTheDiskFailsTheNextSave breaks the disk before a
// compaction, which does not wait for it. Whoever does wait next must hear of it.
func TestCompactionThatDoesNotReachTheDiskFailsTheNextSave(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var broken atomic.Bool
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileWrite {
			return syscall.EIO
		}
		return nil
	}))
	s, err := Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	entries := append([]raft.Entry{configurationEntry(1, 1, 1)}, commands(1, 2, 9)...)
	mustSave(t, s, write(entries...))
	broken.Store(true)
	mustCompact(t, s, 1, 4)
	failure := s.Save([]raft.Write{write(commands(1, 10, 10)...)})
	if failure == nil || !strings.Contains(failure.Error(), syscall.EIO.Error()) {
		t.Fatalf("Save after the compaction: %v", failure)
	}
	if err := s.Compact(raft.EntryID{Term: 1, Index: 6}); err != failure {
		t.Errorf("compaction after the failure: %v, want %v", err, failure)
	}
	mustContain(t, openForTest(t, disk.CrashClone(vfs.CrashCloneCfg{})), inTerm(1), entries)
}

// TestCompactionAndAReaderDoNotWaitForEachOther compacts while a reader waits for
// the disk.
func TestCompactionAndAReaderDoNotWaitForEachOther(t *testing.T) {
	var armed atomic.Bool
	reading, release := make(chan struct{}), make(chan struct{})
	s := openForTest(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpFileReadAt && armed.CompareAndSwap(true, false) {
			close(reading)
			<-release
		}
		return nil
	})))
	var entries []raft.Entry
	for i := range raft.Index(10) { // each in a block of its own
		entries = append(entries, command(1, i+2, strings.Repeat("x", 2*blockSize)))
	}
	mustSave(t, s, write(append([]raft.Entry{configurationEntry(1, 1, 1)}, entries...)...))
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Entries(11, 11, 1); err != nil { // opens the table
		t.Fatal(err)
	}

	armed.Store(true)
	type result struct {
		entries []raft.Entry
		err     error
	}
	read := make(chan result)
	go func() {
		got, err := s.Entries(3, 11, 1<<30) // entry 2 has its block in common with the configuration
		read <- result{got, err}
	}()
	<-reading
	compacted := make(chan error)
	go func() {
		compacted <- errors.Join(
			s.Compact(raft.EntryID{Term: 1, Index: 11}), s.reclaim(0),
			s.Save([]raft.Write{write(commands(1, 12, 12)...)}))
	}()
	select {
	case err := <-compacted:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the compaction, or what follows it, waits for a reader")
	}
	if got, err := s.Entries(3, 11, 1<<30); err != nil || len(got) > 0 {
		t.Errorf("a reader that comes later gets %d entries, %v", len(got), err)
	}
	close(release)
	if r := <-read; r.err != nil || len(r.entries) != 9 {
		t.Errorf("the reader that was there before got %d entries, %v", len(r.entries), r.err)
	}
}

// TestReadersNeverTakeACompactionForDamage reads while the beginning of the log
// is removed again and again, and its space freed. A reader gets the entries that it asks for, or is
// told that the first one is gone.
func TestReadersNeverTakeACompactionForDamage(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	mustSave(t, s, write(configurationEntry(1, 1, 1)))
	var done atomic.Bool
	var gone, found atomic.Int64
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				first := s.start.Load().Index + 1
				last := raft.Index(s.last.Load())
				got, err := s.Entries(first, last, 1<<20)
				switch {
				case err != nil:
					t.Errorf("reading from entry %d on: %v", first, err)
					return
				case len(got) > 0:
					found.Add(1)
				case first <= last && s.start.Load().Index < first:
					t.Errorf("entry %d is said to be gone, but the log begins after %d", first, s.start.Load().Index)
					return
				default:
					gone.Add(1)
				}
				for i, e := range got {
					if e.Index != first+raft.Index(i) {
						t.Errorf("read entry %d at position %d from %d on", e.Index, i, first)
						return
					}
				}
			}
		})
	}
	deadline := time.Now().Add(time.Minute)
	for next := raft.Index(2); !t.Failed() && (next < 300 || gone.Load() == 0 && time.Now().Before(deadline)); next += 3 {
		mustSave(t, s, write(commands(1, next, next+2)...))
		mustCompact(t, s, 1, next)
		mustCompact(t, s, 1, next+1)
		if err := errors.Join(s.db.Flush(), s.reclaim(0)); err != nil {
			t.Error(err)
		}
	}
	done.Store(true)
	readers.Wait()
	if gone.Load() == 0 || found.Load() == 0 {
		t.Fatalf("of the readers %d were too late and %d in time, want some of both", gone.Load(), found.Load())
	}
}
