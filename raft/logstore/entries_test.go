package logstore

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

func TestEntriesKeepsToItsBudgetButReturnsAtLeastOne(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	const size = 100
	var entries []raft.Entry
	for i := range raft.Index(20) {
		entries = append(entries, command(1, i+1, strings.Repeat("x", size-raft.EntryOverhead)))
	}
	mustSave(t, s, write(entries...))
	tests := []struct {
		first, last raft.Index
		maxBytes    int
		want        int
	}{
		{1, 20, 0, 1},
		{1, 20, -1, 1},
		{1, 20, size - 1, 1},
		{1, 20, size, 1},
		{1, 20, 2*size - 1, 1},
		{1, 20, 2 * size, 2},
		{1, 20, 7*size + 1, 7},
		{1, 20, 1 << 30, 20},
		{5, 9, 1 << 30, 5},
		{20, 20, size, 1},
		{18, 25, 1 << 30, 3}, // the log ends at 20
	}
	for _, test := range tests {
		got, err := s.Entries(test.first, test.last, test.maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != test.want || got[0].Index != test.first {
			t.Errorf("Entries(%d, %d, %d) gave %d entries from %d on, want %d", test.first, test.last, test.maxBytes,
				len(got), got[0].Index, test.want)
		}
	}
}

func TestEntriesOfMixedSizesAreAllRight(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	var entries []raft.Entry
	for i := range raft.Index(60) {
		// From empty to many times the size that the first one suggests.
		entries = append(entries, command(1, i+1, strings.Repeat(string(rune('a'+i%26)), int(i*i*i%5000))))
	}
	mustSave(t, s, write(entries...))
	mustContain(t, s, inTerm(1), entries)
}

func TestEntriesOutsideOfTheLogAreNotStored(t *testing.T) {
	s := compactedStore(t, vfs.NewMem(), raft.EntryID{Term: 1, Index: 10})
	if got, err := s.Entries(11, 11, 100); err != nil || len(got) > 0 {
		t.Errorf("an entry of an empty log: %v, %v", got, err)
	}
	mustSave(t, s, write(commands(1, 11, 13)...))
	for _, ask := range [][2]raft.Index{{0, 5}, {1, 5}, {10, 12}, {14, 14}, {13, 12}} {
		if got, err := s.Entries(ask[0], ask[1], 100); err != nil || len(got) > 0 {
			t.Errorf("Entries(%d, %d) of the log 11 to 13: %v, %v", ask[0], ask[1], got, err)
		}
	}
	if got, err := s.Entries(11, 13, 1000); err != nil || len(got) != 3 {
		t.Errorf("Entries(11, 13): %v, %v", got, err)
	}
}

// Trap 36.
func TestEntriesDoNotChangeAfterTheyWereRead(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	mustSave(t, s, write(commands(1, 1, 50)...))
	got, err := s.Entries(1, 50, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, raft.Write{HardState: inTerm(2), TruncateFrom: 1, Entries: commands(2, 1, 60)})
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Entries(1, 60, 1<<20); err != nil {
		t.Fatal(err)
	}
	for i, e := range commands(1, 1, 50) {
		if string(got[i].Data) != string(e.Data) || string(got[i].Encoded()) != string(e.Encoded()) {
			t.Fatalf("entry %d has become %q", e.Index, got[i].Data)
		}
	}
}

func TestEntriesDoesNotAllocatePerEntry(t *testing.T) {
	if raceDetector() {
		t.Skip("with the race detector, Pebble checks itself, which allocates")
	}
	s := openForTest(t, vfs.NewMem())
	mustSave(t, s, write(commands(1, 1, 1000)...))
	allocations := testing.AllocsPerRun(20, func() {
		if got, err := s.Entries(1, 1000, 1<<20); err != nil || len(got) != 1000 {
			t.Fatalf("%d entries, %v", len(got), err)
		}
	})
	// About ten: arenas, the slice of entries, bounds, iterator.
	if allocations > 30 {
		t.Fatalf("%.0f allocations to read 1000 entries", allocations)
	}
}

// raceDetector reports whether this program was built with -race.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestReadDuringATruncation reads while the commit of a truncation is under way:
// Pebble already shows the shorter log, and nobody knows yet whether it lasts.
func TestReadDuringATruncation(t *testing.T) {
	var armed atomic.Bool
	syncing, release := make(chan struct{}), make(chan struct{})
	s := openForTest(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileSyncData && armed.CompareAndSwap(true, false) {
			close(syncing)
			<-release
		}
		return nil
	})))
	mustSave(t, s, write(commands(1, 1, 20)...))
	armed.Store(true)
	saved := make(chan error, 1)
	go func() { saved <- s.Save([]raft.Write{{HardState: inTerm(2), TruncateFrom: 11}}) }()
	<-syncing
	for deadline := time.Now().Add(time.Minute); ; {
		_, closer, err := s.db.Get(indexKey(entryPrefix, 11))
		if errors.Is(err, pebble.ErrNotFound) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("entry 11 does not disappear: %v", err)
		}
		if err := closer.Close(); err != nil {
			t.Fatal(err)
		}
	}

	if s.reading.TryRLock() {
		s.reading.RUnlock()
		t.Error("readers are let in before the truncation is durable")
	}
	close(release)
	got, err := s.Entries(5, 20, 1<<20)
	if err != nil || len(got) != 6 {
		t.Errorf("read %d entries, %v; want those from 5 to 10", len(got), err)
	}
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
}

// TestReadersNeverTakeATruncationForDamage reads while the end of the log is
// replaced again and again. A reader may be told that an entry is not stored
// (any more); it must never see a gap, and never a mix of two histories.
func TestReadersNeverTakeATruncationForDamage(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	mustSave(t, s, write(commands(1, 1, 100)...))
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := readOnce(s); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for term := raft.Term(2); term < 300; term++ {
		from := raft.Index(50 + term%40)
		last := from + raft.Index(term%30)
		mustSave(t, s, raft.Write{HardState: inTerm(term), TruncateFrom: from, Entries: commands(term, from, last)})
	}
	close(done)
	readers.Wait()
}

func readOnce(s *Store) error {
	entries, err := s.Entries(45, 200, 1<<20)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if e.Index != 45+raft.Index(i) || string(e.Data) != fmt.Sprintf("command %d of term %d", e.Index, e.Term) {
			return fmt.Errorf("read entry %s with data %q at position %d", e.ID(), e.Data, i)
		}
	}
	return nil
}
