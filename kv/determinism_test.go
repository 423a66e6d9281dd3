package kv

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// randomLog makes a log that begins with a configuration, as every log does, and
// goes on with all kinds of commands on few keys, so that they meet often. To
// give comparing commands a chance, it keeps the revisions that a serial
// execution would reach. Its counters show a command that is applied twice or
// not at all: compare-and-set of a copy conflicts, delete of a copy finds
// nothing.
func randomLog(seed uint64, n int) []raft.Entry {
	rng := rand.New(rand.NewPCG(seed, 0))
	revisions := map[string]raft.Index{}
	l := logBuilder{term: 1}
	l.configuration(3)
	for len(l.entries) < n {
		index := raft.Index(len(l.entries) + 1)
		key := fmt.Sprintf("key%d", rng.IntN(8))
		expected := revisions[key]
		if rng.IntN(3) == 0 {
			expected = raft.Index(rng.Uint64N(uint64(index)))
		}
		value := fmt.Sprintf("value %d %0*d", index, rng.IntN(200), 0)
		switch rng.IntN(12) {
		case 0:
			l.term++
			l.add(raft.EntryNoop, nil)
		case 1:
			l.configuration(1 + rng.IntN(5))
		case 2:
			l.add(raft.EntryCommand, []byte{99})
		case 3, 4:
			l.command(del(key))
			delete(revisions, key)
		case 5:
			l.command(cad(key, expected))
			if expected == revisions[key] {
				delete(revisions, key)
			}
		case 6, 7, 8:
			l.command(cas(key, expected, value))
			if expected == revisions[key] {
				revisions[key] = index
			}
		default:
			l.command(put(key, value))
			revisions[key] = index
		}
	}
	return l.entries
}

// serially applies the entries one by one and returns each one's outcome and
// the final contents.
func serially(t *testing.T, entries []raft.Entry) ([]outcome, string) {
	t.Helper()
	s := openMem(t)
	var all []outcome
	for i := range entries {
		all = append(all, mustApply(t, s, entries[i:i+1])...)
	}
	return all, contentHash(t, s)
}

// Replicas receive the same entries in different batches, flush at different
// moments and restart at different moments. None of it may show.
//
// Trap 73.
// Rules: apply.deterministic.
func TestStateDependsOnTheEntriesAndNotOnTheirBatches(t *testing.T) {
	for seed := range uint64(5) {
		entries := randomLog(seed, 600)
		want, wantHash := serially(t, entries)
		kinds := map[outcomeCode]int{}
		for _, o := range want {
			kinds[o.code]++
		}
		if kinds[outcomeApplied] < 100 || kinds[outcomeConflict] < 20 || kinds[outcomeNotUnderstood] < 5 {
			t.Fatalf("seed %d: the log is too tame: %v", seed, kinds)
		}

		for _, largest := range []int{600, 64, 7} {
			rng := rand.New(rand.NewPCG(seed, uint64(largest)))
			fs := vfs.NewMem()
			s := mustOpen(t, testOptions(t, fs))
			var got []outcome
			for rest := entries; len(rest) > 0; {
				n := min(1+rng.IntN(largest), len(rest))
				got = append(got, mustApply(t, s, rest[:n])...)
				rest = rest[n:]
				if rng.IntN(20) == 0 {
					if err := s.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				if rng.IntN(40) == 0 {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = mustOpen(t, testOptions(t, fs))
				}
			}
			wantOutcomes(t, got, want...)
			if hash := contentHash(t, s); hash != wantHash {
				t.Errorf("seed %d, batches up to %d: contents differ from serial execution", seed, largest)
			}
		}
	}
}
