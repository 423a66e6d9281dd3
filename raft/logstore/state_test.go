package logstore

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

// scanTermSpans is the simplest way to do what findTermSpans does.
func scanTermSpans(start raft.EntryID, terms []raft.Term) []raft.TermSpan {
	var spans []raft.TermSpan
	for i, term := range terms {
		if i == 0 || term != terms[i-1] {
			spans = append(spans, raft.TermSpan{Term: term, First: start.Index + 1 + raft.Index(i)})
		}
	}
	return spans
}

func TestTermSpansEqualAScanOfTheLog(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		start := raft.EntryID{Term: raft.Term(1 + rng.IntN(3)), Index: raft.Index(rng.IntN(5))}
		terms := make([]raft.Term, rng.IntN(80))
		term, change := start.Term, 1+rng.IntN(30)
		for i := range terms {
			if rng.IntN(change) == 0 {
				term += raft.Term(1 + rng.IntN(3))
			}
			terms[i] = term
		}
		got, err := findTermSpans(start, start.Index+raft.Index(len(terms)), func(i raft.Index) (raft.Term, error) {
			return terms[i-start.Index-1], nil
		})
		if want := scanTermSpans(start, terms); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("start %s, terms %v: found %v, %v; want %v", start, terms, got, err, want)
		}
	}
}

func TestTermSpansOfALongLogAreFoundWithFewReads(t *testing.T) {
	const length = 1_000_000
	tests := map[string]struct {
		termOf func(i raft.Index) raft.Term
		runs   int
	}{
		"one term":     {func(raft.Index) raft.Term { return 7 }, 1},
		"three terms":  {func(i raft.Index) raft.Term { return 1 + raft.Term(i/400_000) }, 3},
		"a late term":  {func(i raft.Index) raft.Term { return 1 + raft.Term(i/length) }, 2},
		"an early one": {func(i raft.Index) raft.Term { return min(raft.Term(i), 2) }, 2},
		"100 terms":    {func(i raft.Index) raft.Term { return 1 + raft.Term(i/10_000) }, 101},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			reads := 0
			spans, err := findTermSpans(raft.EntryID{}, length, func(i raft.Index) (raft.Term, error) {
				reads++
				return test.termOf(i), nil
			})
			if err != nil || len(spans) != test.runs {
				t.Fatalf("%d spans, %v; want %d", len(spans), err, test.runs)
			}
			if most := 2 + 42*test.runs; reads > most { // 2 * log2(1,000,000) for each run
				t.Fatalf("%d reads for %d terms, want at most %d", reads, test.runs, most)
			}
		})
	}
}

func TestTermsThatDecreaseAreCorruption(t *testing.T) {
	for _, terms := range [][]raft.Term{{3, 2}, {5, 6, 4}, {1, 1, 1}} {
		start := raft.EntryID{Term: 2, Index: 10}
		_, err := findTermSpans(start, 10+raft.Index(len(terms)), func(i raft.Index) (raft.Term, error) {
			return terms[i-11], nil
		})
		if !errors.Is(err, raft.ErrCorrupt) {
			t.Errorf("terms %v after term 2: %v", terms, err)
		}
	}
}

func TestStateOfAnEmptyStore(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	mustContain(t, s, raft.HardState{}, nil)
	mustContain(t, reopen(t, s, fs), raft.HardState{}, nil)
}

func TestStateOfACompactedLog(t *testing.T) {
	fs := vfs.NewMem()
	start := raft.EntryID{Term: 4, Index: 1000}
	s := compactedStore(t, fs, start)
	inForce := []raft.IndexedConfiguration{snapshotOf(4, 1000).Configuration}
	mustHaveLogState(t, s, raft.LogState{Witness: start, Start: start, Last: 1000, Configurations: inForce})

	mustSave(t, s, write(command(4, 1001, ""), command(5, 1002, ""), command(5, 1003, "")))
	mustHaveLogState(t, s, raft.LogState{
		Witness: raft.EntryID{Term: 5, Index: 1003},
		Start:   start, Last: 1003,
		Spans:          []raft.TermSpan{{Term: 4, First: 1001}, {Term: 5, First: 1002}},
		Configurations: inForce,
	})
}

func mustHaveLogState(t *testing.T, s *Store, want raft.LogState) {
	t.Helper()
	_, got, err := s.State()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("log: %+v, %v; want %+v", got, err, want)
	}
}

// longLog stores the log of a node that ran for long: of the given length, in
// two terms, with two configurations, in table files that need no compaction.
func longLog(t testing.TB, fs vfs.FS, length raft.Index) {
	t.Helper()
	s := mustOpen(t, fs)
	mustSave(t, s, write(configurationEntry(1, 1, 1)))
	for next := raft.Index(2); next <= length; {
		var entries []raft.Entry
		for ; len(entries) < 10_000 && next <= length; next++ {
			id := raft.EntryID{Term: 1 + raft.Term(next*3/(length*2)), Index: next}
			if next == length/2 {
				entries = append(entries, configurationEntry(id.Term, next, 1, 2, 3))
				continue
			}
			entries = append(entries, raft.NewEntry(id, raft.EntryCommand, nil))
		}
		mustSave(t, s, write(entries...))
	}
	if err := s.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpeningALongLogReadsFewBlocks(t *testing.T) {
	const length = 200_000
	mem := vfs.NewMem()
	longLog(t, mem, length)

	var reads atomic.Int64
	counting := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpFileReadAt {
			reads.Add(1)
		}
		return nil
	}))
	s := openForTest(t, counting)
	_, log, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	opening := reads.Load()
	if log.Last != length || len(log.Spans) != 2 || len(log.Configurations) != 2 {
		t.Fatalf("state of the long log: %+v", log)
	}

	// Opening reads a few blocks, reading the log reads them all.
	if _, err := s.Entries(1, length, 1<<30); err != nil {
		t.Fatal(err)
	}
	all := reads.Load() - opening
	t.Logf("opening and State read %d blocks, reading the log %d", opening, all)
	if opening > 60 || all < 2*opening {
		t.Fatalf("opening and State read %d blocks, reading the log %d", opening, all)
	}
}
