package logstore

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

func TestResetReplacesTheWholeLog(t *testing.T) {
	for name, test := range map[string]struct {
		term  raft.Term
		index raft.Index
	}{
		"by one that begins beyond it":       {3, 1000},
		"by one that begins where it ends":   {4, 20},
		"by one that begins in the middle":   {3, 7},
		"by one that begins at its own term": {3, 12},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, want := storeOfTwoTerms(t, fs)
			snapshot := snapshotOf(test.term, test.index)
			w := raft.Write{HardState: inTerm(4), Reset: snapshot, Entries: commands(4, test.index+1, test.index+3)}
			syncs := s.Stats().Syncs
			mustSave(t, s, w)
			if n := s.Stats().Syncs - syncs; n != 1 {
				t.Errorf("the reset took %d syncs, want one atomic operation", n)
			}
			want.save(w)
			for range 2 {
				_, log, err := s.State()
				if err != nil {
					t.Fatal(err)
				}
				if log.Start != snapshot.Last || log.Last != test.index+3 || len(log.Configurations) != 1 {
					t.Fatalf("after a reset to %s: %+v", snapshot, log)
				}
				mustEqual(t, s, want.contents())
				s = reopen(t, s, fs)
			}
			mustCompact(t, s, 4, test.index+2)
			want.compact(raft.EntryID{Term: 4, Index: test.index + 2})
			mustEqual(t, s, want.contents())
		})
	}
}

func TestResetAmongMergedWrites(t *testing.T) {
	fourth := raft.HardState{CurrentTerm: 4, VotedFor: 2}
	earlier := raft.Write{HardState: inTerm(3), Entries: append(commands(3, 21, 24), configurationEntry(3, 25, 1, 4))}
	reset := raft.Write{HardState: fourth, Reset: snapshotOf(4, 23), Entries: append(commands(4, 24, 26), configurationEntry(4, 27, 1, 5))}
	truncation := raft.Write{HardState: inTerm(5), TruncateFrom: 26, Entries: commands(5, 26, 26)}
	again := raft.Write{HardState: inTerm(6), Reset: snapshotOf(6, 30), Entries: commands(6, 31, 32)}
	for name, writes := range map[string][]raft.Write{
		"entries before":                    {earlier, reset},
		"a reset alone":                     {{HardState: fourth, Reset: snapshotOf(4, 23)}},
		"a truncation after":                {reset, truncation},
		"entries before, truncation after":  {earlier, reset, truncation},
		"a truncation of all that follows":  {reset, {HardState: inTerm(5), TruncateFrom: 24}},
		"a truncation before":               {{HardState: fourth, TruncateFrom: 3, Entries: commands(4, 3, 5)}, reset},
		"a second reset":                    {reset, again},
		"everything":                        {earlier, reset, truncation, again, {HardState: inTerm(7), TruncateFrom: 32}},
		"a truncation beyond the end after": {reset, {HardState: fourth, TruncateFrom: 28}},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, want := storeOfTwoTerms(t, fs)
			syncs := s.Stats().Syncs
			mustSave(t, s, writes...)
			if n := s.Stats().Syncs - syncs; n != 1 {
				t.Errorf("%d syncs for one Save", n)
			}
			for _, w := range writes {
				want.save(w)
			}
			mustEqual(t, s, want.contents())
			mustEqual(t, reopen(t, s, fs), want.contents())
		})
	}
}

func TestResetOfAnEmptyStore(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	if err := s.Join(clusterA); err != nil {
		t.Fatal(err)
	}
	w := raft.Write{HardState: inTerm(4), Reset: snapshotOf(3, 500)}
	mustSave(t, s, w)
	want := new(model)
	want.save(w)
	mustEqual(t, s, want.contents())
	mustEqual(t, reopen(t, s, fs), want.contents())
}

func TestResetThatMakesNoSensePanics(t *testing.T) {
	with := func(configuration raft.Index) *raft.Snapshot {
		s := snapshotOf(3, 12)
		s.Configuration.Index = configuration
		return s
	}
	for name, test := range map[string]struct {
		snapshot *raft.Snapshot
		says     string
	}{
		"older than the log":            {snapshotOf(2, 7), "snapshot of entry 7/t2 for a log that is compacted up to 8/t2"},
		"of nothing":                    {&raft.Snapshot{}, "snapshot of entry 0/t0"},
		"without a term":                {snapshotOf(0, 12), "snapshot of entry 12/t0"},
		"of a term to come":             {snapshotOf(5, 12), "snapshot of entry 12/t5 written in term 4"},
		"without a configuration":       {with(0), "with the configuration of entry 0"},
		"with a configuration of later": {with(13), "with the configuration of entry 13"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, want := storeOfTwoTerms(t, fs)
			mustCompact(t, s, 2, 8)
			want.compact(raft.EntryID{Term: 2, Index: 8})
			message := panicOf(func() { _ = s.Save([]raft.Write{{HardState: inTerm(4), Reset: test.snapshot}}) })
			if !strings.Contains(message, test.says) {
				t.Fatalf("panic %q, want one that says %q", message, test.says)
			}
			mustEqual(t, s, want.contents())
			mustEqual(t, reopen(t, s, fs), want.contents())
		})
	}
}

// TestReadDuringAReset reads while the commit of a reset is under way: Pebble
// already shows the new log, and nobody knows yet whether it lasts.
func TestReadDuringAReset(t *testing.T) {
	var armed atomic.Bool
	syncing, release := make(chan struct{}), make(chan struct{})
	s, _ := storeOfTwoTerms(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileSyncData && armed.CompareAndSwap(true, false) {
			close(syncing)
			<-release
		}
		return nil
	})))
	armed.Store(true)
	saved := make(chan error, 1)
	go func() {
		saved <- s.Save([]raft.Write{{HardState: inTerm(4), Reset: snapshotOf(4, 15), Entries: commands(4, 16, 17)}})
	}()
	<-syncing
	for deadline := time.Now().Add(time.Minute); ; {
		_, closer, err := s.db.Get(indexKey(entryPrefix, 18))
		if errors.Is(err, pebble.ErrNotFound) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("entry 18 does not disappear: %v", err)
		}
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s.reading.TryRLock() {
		s.reading.RUnlock()
		t.Error("readers are let in before the reset is durable")
	}
	close(release)
	if got, err := s.Entries(5, 20, 1<<20); err != nil || len(got) > 0 {
		t.Errorf("read %d entries of the old log, %v", len(got), err)
	}
	if got, err := s.Entries(16, 20, 1<<20); err != nil || len(got) != 2 || got[0].Term != 4 {
		t.Errorf("read %v of the new log, %v", got, err)
	}
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
}
