package logstore

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

func TestEverythingSavedIsThereAfterReopening(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	entries := append(
		[]raft.Entry{configurationEntry(1, 1, 1, 2, 3)},
		append(commands(2, 2, 5), raft.NewEntry(raft.EntryID{Term: 4, Index: 6}, raft.EntryNoop, nil))...)
	hs := raft.HardState{CurrentTerm: 5, VotedFor: 3}
	mustSave(t, s, write(entries...))
	mustSave(t, s, raft.Write{HardState: hs})

	mustContain(t, s, hs, entries)
	mustContain(t, reopen(t, s, fs), hs, entries)
}

func TestEntriesKeepTheBytesThatTheLeaderMade(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	want := command(3, 1, "the very same bytes")
	mustSave(t, s, write(want))
	got, err := s.Entries(1, 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got[0].Encoded(), want.Encoded()) {
		t.Fatalf("read %x, want %x", got[0].Encoded(), want.Encoded())
	}
}

func TestTruncationAndReplacementInOneSave(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	mustSave(t, s, write(commands(1, 1, 9)...))
	replacement := commands(2, 4, 6)
	mustSave(t, s, raft.Write{HardState: inTerm(2), TruncateFrom: 4, Entries: replacement})

	want := slices.Concat(commands(1, 1, 3), replacement)
	mustContain(t, s, inTerm(2), want)
	mustContain(t, reopen(t, s, fs), inTerm(2), want)
}

func TestTruncationAndReplacementAcrossSaves(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	mustSave(t, s, write(commands(1, 1, 9)...))
	mustSave(t, s, raft.Write{HardState: inTerm(2), TruncateFrom: 4})
	mustContain(t, s, inTerm(2), commands(1, 1, 3))
	s = reopen(t, s, fs)
	mustContain(t, s, inTerm(2), commands(1, 1, 3))

	replacement := commands(2, 4, 20)
	mustSave(t, s, write(replacement...))
	want := slices.Concat(commands(1, 1, 3), replacement)
	mustContain(t, s, inTerm(2), want)
	mustContain(t, reopen(t, s, fs), inTerm(2), want)
}

func TestMergedWritesTakeEffectInOrder(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	mustSave(t, s, write(commands(1, 1, 3)...))
	// The second write truncates entries of the first, which are not stored yet.
	mustSave(t, s,
		write(commands(2, 4, 8)...),
		raft.Write{HardState: raft.HardState{CurrentTerm: 3, VotedFor: 2}, TruncateFrom: 3, Entries: commands(3, 3, 5)},
		raft.Write{HardState: raft.HardState{CurrentTerm: 3, VotedFor: 2}, Entries: commands(3, 6, 6)},
	)
	want := slices.Concat(commands(1, 1, 2), commands(3, 3, 6))
	hs := raft.HardState{CurrentTerm: 3, VotedFor: 2}
	mustContain(t, s, hs, want)
	mustContain(t, reopen(t, s, fs), hs, want)
	if syncs := s.Stats().Syncs; syncs != 3 { // the creation's, and one for each Save
		t.Fatalf("%d syncs for two Saves", syncs)
	}
}

// Trap 26.
func TestTruncatedConfigurationIsForgotten(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	mustSave(t, s, write(configurationEntry(1, 1, 1, 2, 3), command(1, 2, "x"), configurationEntry(1, 3, 1, 2, 3, 4)))
	mustSave(t, s, raft.Write{HardState: inTerm(2), TruncateFrom: 3, Entries: commands(2, 3, 3)})
	_, log, err := reopen(t, s, fs).State()
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Configurations) != 1 || log.Configurations[0].Index != 1 {
		t.Fatalf("configurations after the truncation: %v", log.Configurations)
	}
}

// Trap 38.
func TestSaveWithoutAnyChangeDoesNotSync(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	hs := raft.HardState{CurrentTerm: 2, VotedFor: 1}
	mustSave(t, s, raft.Write{HardState: hs})
	before := s.Stats().Syncs
	mustSave(t, s, raft.Write{HardState: hs}, raft.Write{HardState: hs})
	mustSave(t, s)
	// A truncation beyond the end of the log removes nothing.
	mustSave(t, s, raft.Write{HardState: hs, TruncateFrom: 1})
	if after := s.Stats().Syncs; after != before {
		t.Fatalf("%d syncs for Saves that change nothing", after-before)
	}
	mustSave(t, s, raft.Write{HardState: raft.HardState{CurrentTerm: 3, VotedFor: 1}})
	if after := s.Stats().Syncs; after != before+1 {
		t.Fatalf("%d syncs for a new term, want 1", after-before)
	}
}

func TestSaveCountsEntriesAndSyncs(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	before := s.Stats()
	entries := commands(1, 1, 100)
	var size uint64
	for _, e := range entries {
		size += uint64(e.Size())
	}
	mustSave(t, s, write(entries[:60]...), write(entries[60:]...))
	after := s.Stats()
	if after.Syncs-before.Syncs != 1 || after.Entries-before.Entries != 100 || after.Bytes-before.Bytes < size {
		t.Fatalf("counted %+v, before %+v, for one Save of 100 entries of %d bytes", after, before, size)
	}
}

// TestRandomHistoriesEqualAModel compares the store with the model over random
// histories of everything that can happen to it.
//
// Rules: vote.persist.
func TestRandomHistoriesEqualAModel(t *testing.T) {
	lost := 0
	for seed := range uint64(40) {
		r := randomRun{t: t, fs: vfs.NewCrashableMem(), h: history{rng: rand.New(rand.NewPCG(seed, 1))}}
		r.s = openForTest(t, r.fs)
		for range 60 {
			r.step()
			mustEqual(t, r.s, r.h.contents())
		}
		lost += r.lost
	}
	if lost == 0 {
		t.Fatal("no crash has brought compacted entries back")
	}
}

// randomRun is one random history.
type randomRun struct {
	t  *testing.T
	fs *vfs.MemFS
	s  *Store
	h  history
	// unsynced are the models that the store equalled since it was last synced,
	// without the present one: it may do so again after a crash.
	unsynced []model
	// lost counts the crashes that took something back.
	lost int
}

func (r *randomRun) step() {
	switch r.h.rng.IntN(14) {
	case 0:
		r.s, r.unsynced = reopen(r.t, r.s, r.fs), nil
	case 1:
		if err := r.s.db.Flush(); err != nil {
			r.t.Fatal(err)
		}
		r.unsynced = nil
	case 2:
		if err := r.s.reclaim(0); err != nil {
			r.t.Fatal(err)
		}
	case 3:
		r.crash()
	case 4, 5, 6:
		r.unsynced = append(r.unsynced, r.h.model)
		if err := r.s.Compact(r.h.compaction()); err != nil {
			r.t.Fatal(err)
		}
	default:
		var writes []raft.Write
		for range 1 + r.h.rng.IntN(3) {
			if r.h.rng.IntN(8) == 0 {
				writes = append(writes, r.h.reset())
			} else {
				writes = append(writes, r.h.write())
			}
		}
		syncs := r.s.Stats().Syncs
		mustSave(r.t, r.s, writes...)
		if r.s.Stats().Syncs > syncs {
			r.unsynced = nil
		}
	}
}

// crash goes on with what a power failure leaves of the disk.
func (r *randomRun) crash() {
	r.fs = r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.h.rng.IntN(101), RNG: r.h.rng})
	r.s = openForTest(r.t, r.fs)
	got, err := read(r.s)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range r.unsynced {
		if got.equal(m.contents()) && !got.equal(r.h.contents()) {
			r.h.model = m
			r.lost++
			break
		}
	}
	r.unsynced = nil
}

func TestSavePanicsWhenTheRulesAreBroken(t *testing.T) {
	voted := raft.HardState{CurrentTerm: 5, VotedFor: 2}
	tests := map[string]struct {
		write raft.Write
		says  string
	}{
		"a gap":              {raft.Write{HardState: voted, Entries: commands(5, 5, 6)}, "entry 5 written after entry 3"},
		"an overlap":         {raft.Write{HardState: voted, Entries: commands(5, 3, 6)}, "entry 3 written after entry 3"},
		"an earlier term":    {raft.Write{HardState: inTerm(4)}, "term 4 written after term 5"},
		"a second vote":      {raft.Write{HardState: raft.HardState{CurrentTerm: 5, VotedFor: 3}}, "after a vote for n2"},
		"a vote taken back":  {raft.Write{HardState: inTerm(5)}, "after a vote for n2"},
		"a gap within a run": {raft.Write{HardState: voted, Entries: []raft.Entry{command(5, 4, ""), command(5, 6, "")}}, "entry 6 written after entry 4"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := openForTest(t, fs)
			mustSave(t, s, raft.Write{HardState: voted, Entries: commands(5, 1, 3)})
			message := panicOf(func() { _ = s.Save([]raft.Write{test.write}) })
			if !strings.Contains(message, test.says) {
				t.Fatalf("panic %q, want one that says %q", message, test.says)
			}
			mustContain(t, s, voted, commands(5, 1, 3))
			mustContain(t, reopen(t, s, fs), voted, commands(5, 1, 3))
		})
	}
}

// panicOf runs f and returns the message of its panic, or nothing.
func panicOf(f func()) (message string) {
	defer func() {
		switch r := recover().(type) {
		case string:
			message = r
		case error:
			message = r.Error()
		}
	}()
	f()
	return ""
}

func TestTruncationOfCompactedEntriesPanics(t *testing.T) {
	fs := vfs.NewMem()
	s := compactedStore(t, fs, raft.EntryID{Term: 2, Index: 10})
	mustSave(t, s, write(commands(2, 11, 12)...))
	if message := panicOf(func() { _ = s.Save([]raft.Write{{HardState: inTerm(2), TruncateFrom: 10}}) }); message == "" {
		t.Fatal("a truncation from entry 10 of a log that is compacted up to 10 was accepted")
	}
	mustSave(t, s, raft.Write{HardState: inTerm(3), TruncateFrom: 11, Entries: commands(3, 11, 11)})
	_, log, err := reopen(t, s, fs).State()
	if err != nil {
		t.Fatal(err)
	}
	if log.Start != (raft.EntryID{Term: 2, Index: 10}) || log.Last != 11 || len(log.Spans) != 1 {
		t.Fatalf("log after the start of it was replaced: %+v", log)
	}
}

func TestClosedStoreRefusesEverything(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	mustSave(t, s, write(commands(1, 1, 2)...))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, stateErr := s.State()
	_, entriesErr := s.Entries(1, 2, 100)
	_, sizeErr := s.Size(1, 2)
	for name, err := range map[string]error{
		"Save":    s.Save([]raft.Write{write(commands(1, 3, 3)...)}),
		"State":   stateErr,
		"Entries": entriesErr,
		"Size":    sizeErr,
		"Compact": s.Compact(raft.EntryID{Term: 1, Index: 1}),
		"Recover": s.Recover([16]byte{1}, raft.Snapshot{}, false),
		"Found":   s.Found([16]byte{1}, inTerm(1), commands(1, 1, 1)),
		"Join":    s.Join([16]byte{1}),
		"Close":   s.Close(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s on a closed store: %v", name, err)
		}
	}
	if s.Metrics() != nil {
		t.Error("a closed store has metrics")
	}
}
