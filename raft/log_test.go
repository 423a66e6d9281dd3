package raft

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// naiveLog is what raftLog must be indistinguishable from: a plain slice, and a
// disk to which each write is applied when it completes.
type naiveLog struct {
	entries []Entry // entries[i] has index i+1, and so have those that are forgotten
	disk    []Entry
	start   Index // entries up to here are forgotten
	pending []*Write
	covered map[EntryID][]Entry // by a snapshot that ends so
}

func (n *naiveLog) complete() WriteID {
	w := n.pending[0]
	n.pending = n.pending[1:]
	if w.Reset != nil {
		// What a snapshot covers is as good as on disk.
		n.disk = slices.Clone(n.covered[w.Reset.Last])
	}
	if w.TruncateFrom != 0 {
		n.disk = n.disk[:w.TruncateFrom-1]
	}
	n.disk = append(slices.Clip(n.disk), w.Entries...)
	return w.ID
}

// durable is how far the disk equals the log, or the state machine covers it.
func (n *naiveLog) durable() Index {
	i := int(n.start)
	for i < len(n.disk) && i < len(n.entries) && n.disk[i].ID() == n.entries[i].ID() {
		i++
	}
	return Index(i)
}

// Random appends, truncations, writes, completions and trims. What the log
// believes to be durable must never be more than what the disk really shares
// with it: that is the whole point of persist.aba.
func TestLogNeverBelievesMoreDurableThanTheDiskHolds(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		log, naive := newLog(LogState{}), &naiveLog{covered: map[EntryID][]Entry{}}
		term, nextWrite := Term(1), WriteID(0)
		committed := Index(0)
		for step := range 200 {
			switch rng.IntN(8) {
			case 0, 1:
				if rng.IntN(4) == 0 {
					term++
				}
				for range 1 + rng.IntN(3) {
					e := NewEntry(EntryID{term, log.last + 1}, EntryCommand, fmt.Append(nil, seed, step))
					log.append(e)
					naive.entries = append(naive.entries, e)
				}
			case 2:
				if log.last > committed {
					from := committed + 1 + Index(rng.IntN(int(log.last-committed)))
					log.truncateFrom(from)
					naive.entries = slices.Clone(naive.entries[:from-1])
					term++
				}
			case 3:
				if log.needsWrite() {
					nextWrite++
					naive.pending = append(naive.pending, log.nextWrite(nextWrite, HardState{CurrentTerm: term}, EntryID{}))
				}
			case 4:
				if len(naive.pending) > 0 {
					log.written(naive.complete())
				}
			case 5:
				committed = max(committed, Index(rng.IntN(int(log.durable)+1)))
				log.trim(committed, 100)
			case 6:
				if committed > log.start.Index {
					i := log.start.Index + 1 + Index(rng.IntN(int(committed-log.start.Index)))
					log.compact(i)
					naive.start = i
				}
			case 7:
				if rng.IntN(4) == 0 { // a snapshot of another log replaces what is not committed
					term++
					naive.entries = slices.Clone(naive.entries[:committed])
					for range 1 + rng.IntN(3) {
						naive.entries = append(naive.entries, NewEntry(EntryID{term, Index(len(naive.entries) + 1)}, EntryNoop, nil))
					}
					last := naive.entries[len(naive.entries)-1].ID()
					naive.covered[last] = slices.Clone(naive.entries)
					naive.start, committed = last.Index, last.Index
					log.reset(Snapshot{Last: last})
					if rng.IntN(2) == 0 {
						term++
					}
				}
			}
			if err := log.checkInvariants(); err != nil {
				t.Fatalf("seed %d step %d: %v", seed, step, err)
			}
			if log.durable > naive.durable() {
				t.Fatalf("seed %d step %d: believes %d durable, the disk shares %d entries", seed, step, log.durable, naive.durable())
			}
			compareLogs(t, &log, naive)
		}
		// When everything is written, everything is durable, or appends would
		// wait for ever.
		if log.needsWrite() {
			naive.pending = append(naive.pending, log.nextWrite(nextWrite+1, HardState{CurrentTerm: term}, EntryID{}))
		}
		for len(naive.pending) > 0 {
			log.written(naive.complete())
		}
		if log.durable != log.last || naive.durable() != log.last {
			t.Fatalf("seed %d: durable %d of %d, the disk shares %d", seed, log.durable, log.last, naive.durable())
		}
	}
}

func compareLogs(t *testing.T, log *raftLog, naive *naiveLog) {
	t.Helper()
	if int(log.last) != len(naive.entries) {
		t.Fatalf("last = %d, want %d", log.last, len(naive.entries))
	}
	var start EntryID
	if naive.start > 0 {
		start = naive.entries[naive.start-1].ID()
	}
	if log.start != start {
		t.Fatalf("the log begins after %s, want %s", log.start, start)
	}
	for _, e := range naive.entries {
		if e.Index < start.Index {
			if _, ok := log.term(e.Index); ok {
				t.Fatalf("term(%d) is known, the log begins after %s", e.Index, start)
			}
			continue
		}
		if term, ok := log.term(e.Index); !ok || term != e.Term {
			t.Fatalf("term(%d) = %d, %v; want %d", e.Index, term, ok, e.Term)
		}
		// lastNotAbove by its definition.
		for _, bound := range []Term{0, 1, 2, e.Term, e.Term - 1} {
			want := start
			for _, other := range naive.entries[:e.Index] {
				if other.Index > start.Index && other.Term <= bound {
					want = other.ID()
				}
			}
			if got := log.lastNotAbove(e.Index, bound); got != want {
				t.Fatalf("lastNotAbove(%d, %d) = %s, want %s", e.Index, bound, got, want)
			}
		}
	}
	if _, ok := log.term(log.last + 1); ok {
		t.Fatalf("term(%d) is known, the log ends at %d", log.last+1, log.last)
	}
	if first := log.tailFirst(); first <= log.last {
		for _, e := range log.slice(first, log.last) {
			if e.ID() != naive.entries[e.Index-1].ID() {
				t.Fatalf("entry %s in memory, want %s", e.ID(), naive.entries[e.Index-1].ID())
			}
		}
	}
}

// Trap: slices that were handed out must not change when the log is cut and
// grows again.
func TestEntriesThatWereHandedOutDoNotChange(t *testing.T) {
	log := newLog(LogState{})
	log.append(testEntry(1, 1, "a"), testEntry(1, 2, "b"), testEntry(1, 3, "c"))
	held := log.slice(1, 3)
	log.truncateFrom(2)
	log.append(testEntry(2, 2, "B"), testEntry(2, 3, "C"))
	if got := string(held[1].Data) + string(held[2].Data); got != "bc" {
		t.Errorf("held entries are now %q", got)
	}
	if grown := append(held, testEntry(9, 9, "x")); &grown[0] == &held[0] {
		t.Error("appending to a held slice writes into the log's memory")
	}
}

func TestTrimKeepsWhatIsStillNeeded(t *testing.T) {
	log := newLog(LogState{})
	for i := range Index(100) {
		log.append(testEntry(1, i+1, "0123456789"))
	}
	size := log.slice(1, 1)[0].Size()
	log.trim(50, 10*size)
	if got := log.tailFirst(); got != 51 {
		t.Errorf("first in memory = %d, want 51: the rest is not done yet", got)
	}
	log.trim(100, 10*size)
	if got := log.tailFirst(); got != 91 {
		t.Errorf("first in memory = %d, want 91: the budget is 10 entries", got)
	}
	if term, ok := log.term(3); !ok || term != 1 {
		t.Error("the term of an entry that is not in memory was forgotten")
	}
}
