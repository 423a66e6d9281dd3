package kv

import (
	"strings"
	"testing"

	"balsa/raft"
)

func TestPutSetsValueAndRevision(t *testing.T) {
	s := openMem(t)
	wantOutcomes(t, mustApply(t, s, logOf(put("a", "1"), put("b", "2"), put("a", "3"))),
		applied(1), applied(2), applied(3))
	wantItem(t, s, "a", "3", 3)
	wantItem(t, s, "b", "2", 2)
	wantAbsent(t, s, "c")
}

func TestAnEmptyValueIsNotAMissingKey(t *testing.T) {
	s := openMem(t)
	mustApply(t, s, logOf(put("a", "")))
	wantItem(t, s, "a", "", 1)
}

func TestDeleteSaysWhetherThereWasSomething(t *testing.T) {
	s := openMem(t)
	l := logOf(put("a", "1"), del("a"), del("a"), del("never"))
	mustApply(t, s, l[:1])
	wantOutcomes(t, mustApply(t, s, l[1:]), deleted(2), applied(3), applied(4))
	wantAbsent(t, s, "a")
}

func TestCompareAndSetTakesEffectOnlyAtTheExpectedRevision(t *testing.T) {
	s := openMem(t)
	l := logOf(
		cas("a", 5, "no"),    // no such key
		cas("a", 0, "first"), // must not exist
		cas("a", 0, "no"),
		cas("a", 1, "no"),
		cas("a", 2, "second"),
		cas("a", 2, "no"), // a copy of the one before
	)
	for i, want := range []outcome{conflict(0), applied(2), conflict(2), conflict(2), applied(5), conflict(5)} {
		wantOutcomes(t, mustApply(t, s, l[i:i+1]), want)
	}
	wantItem(t, s, "a", "second", 5)
}

func TestCompareAndDeleteTakesEffectOnlyAtTheExpectedRevision(t *testing.T) {
	s := openMem(t)
	l := logOf(put("a", "1"), cad("a", 7), cad("a", 0), cad("a", 1), cad("a", 1), cad("a", 0))
	for i, want := range []outcome{applied(1), conflict(1), conflict(1), deleted(4), conflict(0), applied(6)} {
		wantOutcomes(t, mustApply(t, s, l[i:i+1]), want)
	}
	wantAbsent(t, s, "a")
}

// The same sequence must come out the same when all of it is in one batch:
// every command sees what the one in front of it did.
func TestCommandsSeeEarlierOnesOfTheirBatch(t *testing.T) {
	s := openMem(t)
	wantOutcomes(t, mustApply(t, s, logOf(
		put("a", "1"), cas("a", 1, "2"), cas("a", 1, "no"), // put, then compare
		del("a"), cas("a", 2, "no"), del("a"), // delete hides what was written
		cas("a", 0, "3"), cad("a", 7), // created again
		put("b", "1"), cad("b", 8), cad("b", 9),
	)),
		applied(1), applied(2), conflict(2),
		deleted(4), conflict(0), applied(6),
		applied(7), deleted(8),
		applied(9), conflict(9), deleted(11),
	)
	wantAbsent(t, s, "a")
	wantAbsent(t, s, "b")
}

// What one batch remembers must not be taken for the state in the next one,
// also when the batches between need no memory.
func TestABatchForgetsWhatItsPredecessorTouched(t *testing.T) {
	s := openMem(t)
	l := logOf(
		put("a", "1"), cas("a", 1, "2"), // remembers a at 2
		put("a", "3"),                   // remembers nothing
		put("b", "1"), cas("a", 3, "4"), // must find 3
	)
	mustApply(t, s, l[:2])
	mustApply(t, s, l[2:3])
	wantOutcomes(t, mustApply(t, s, l[3:]), applied(4), applied(5))
}

func TestCommandsThatNobodyUnderstandsDoNothing(t *testing.T) {
	s := openMem(t)
	l := logBuilder{term: 1}
	l.command(put("a", "1"))
	l.add(raft.EntryCommand, nil)
	l.add(raft.EntryCommand, []byte{200, 1, 0, 'a', 'x'}) // a later version's
	l.add(raft.EntryCommand, []byte{2, 9, 9, 'a'})        // a broken delete
	l.command(put("b", "2"))
	skipped := outcome{code: outcomeNotUnderstood}
	wantOutcomes(t, mustApply(t, s, l.entries), applied(1), skipped, skipped, skipped, applied(5))
	wantItem(t, s, "a", "1", 1)
	wantItem(t, s, "b", "2", 5)
	if got, want := appliedID(t, s), (raft.EntryID{Term: 1, Index: 5}); got != want {
		t.Errorf("applied is %s, want %s", got, want)
	}
}

// Trap 75.
func TestNoopsAndConfigurationsMoveTheAppliedRecord(t *testing.T) {
	s := openMem(t)
	l := logBuilder{term: 1}
	l.add(raft.EntryConfiguration, []byte("a configuration is not a command"))
	l.term = 2
	l.add(raft.EntryNoop, nil)
	results, err := s.Apply(l.entries)
	if err != nil || len(results) != 2 || results[0] != nil || results[1] != nil {
		t.Errorf("results are %v, error %v; want two nils", results, err)
	}
	if got, want := appliedID(t, s), (raft.EntryID{Term: 2, Index: 2}); got != want {
		t.Errorf("applied is %s, want %s", got, want)
	}
}

func TestApplyRefusesGapsAndRepetitions(t *testing.T) {
	l := logBuilder{term: 1}
	for range 3 {
		l.command(put("a", "1"))
	}
	l.term = 2
	l.command(put("a", "2"))
	old := raft.NewEntry(raft.EntryID{Term: 1, Index: 5}, raft.EntryCommand, put("a", "old term").encode())

	s := openMem(t)
	mustApply(t, s, l.entries[:2])
	for name, entries := range map[string][]raft.Entry{
		"applied already": l.entries[1:2],
		"overlap":         l.entries[1:4],
		"gap":             l.entries[3:4],
		"gap inside":      {l.entries[2], old},
		"repeated inside": {l.entries[2], l.entries[2]},
		"older term":      {l.entries[2], l.entries[3], old},
	} {
		if results, err := s.Apply(entries); err == nil {
			t.Errorf("%s: applied, results %v", name, results)
		} else if !strings.Contains(err.Error(), "cannot apply entry") {
			t.Errorf("%s: unexpected error %v", name, err)
		}
	}
	wantItem(t, s, "a", "1", 2)
	mustApply(t, s, l.entries[2:]) // nothing was spoilt
	wantItem(t, s, "a", "2", 4)
}

func TestApplyOfNothingDoesNothing(t *testing.T) {
	s := openMem(t)
	if results, err := s.Apply(nil); results != nil || err != nil {
		t.Errorf("Apply(nil) = %v, %v", results, err)
	}
}

// A batch larger than a memtable takes another path through Pebble.
func TestABatchLargerThanAMemtableIsAppliedWhole(t *testing.T) {
	s := openMem(t)
	var commands []command
	for _, key := range []string{"a", "b", "c"} {
		commands = append(commands, put(key, strings.Repeat(key, 1<<20)))
	}
	mustApply(t, s, logOf(commands...))
	wantItem(t, s, "b", strings.Repeat("b", 1<<20), 2)
	if got := appliedID(t, s).Index; got != 3 {
		t.Errorf("applied is %d, want 3", got)
	}
}

// Keys that are special to the layout or to Pebble are ordinary user keys.
func TestUserKeysCannotReachTheStoresOwnRecords(t *testing.T) {
	s := openMem(t)
	keys := []string{"identity", "applied", "midentity", "mapplied", "k", "\x00", "\xff\xff", "a/b", strings.Repeat("x", MaxKey)}
	var commands []command
	for _, key := range keys {
		commands = append(commands, put(key, "value of "+key))
	}
	mustApply(t, s, logOf(commands...))
	for i, key := range keys {
		wantItem(t, s, key, "value of "+key, uint64(i+1))
	}
	if got := appliedID(t, s).Index; got != raft.Index(len(keys)) {
		t.Errorf("applied is %d, want %d", got, len(keys))
	}
}
