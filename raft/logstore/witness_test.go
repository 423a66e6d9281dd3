package logstore

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"balsa/raft"
)

var testWitness = witnessName(testDir)

// storeOfThree returns the files of a closed store that holds entries 1 to 9 and a
// vote in term 2. Servers 1 to 3 vote.
func storeOfThree(t testing.TB) (image, contents) {
	t.Helper()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if err := foundA(s); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, write(commands(1, 2, 9)...))
	mustSave(t, s, raft.Write{HardState: raft.HardState{CurrentTerm: 2, VotedFor: 3}})
	want, err := read(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return imageOf(t, fs), want
}

// openImage opens a store on such files, for recovery or not.
func openImage(t testing.TB, m image, recovery bool) (*Store, *vfs.MemFS, error) {
	t.Helper()
	fs, err := m.disk()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(testDir, Options{NodeID: 1, FS: fs, ForRecovery: recovery})
	return s, fs, err
}

// spoilSlot returns the files with one slot of the witness damaged.
func spoilSlot(m image, slot int) image {
	data := bytes.Clone(m[testWitness])
	data[slot*slotSize+40] ^= 1
	return m.with(testWitness, data)
}

func TestOneSlotOfTheWitnessIsEnough(t *testing.T) {
	m, want := storeOfThree(t)
	for slot := range 2 {
		fs, err := spoilSlot(m, slot).disk()
		if err != nil {
			t.Fatal(err)
		}
		var output bytes.Buffer
		s, err := Open(testDir, Options{NodeID: 1, FS: fs, Logger: slog.New(slog.NewTextHandler(&output, nil))})
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, s, want)
		if !strings.Contains(output.String(), "one of the two slots of the log's witness cannot be read") {
			t.Errorf("slot %d: the log says %q", slot, &output)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		// It is whole again: the other slot may fail now.
		s, _, err = openImage(t, spoilSlot(imageOf(t, fs), 1-slot), false)
		if err != nil {
			t.Fatal(err)
		}
		mustEqual(t, s, want)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A log whose witness is not there, or is not its own, cannot be trusted. Nothing
// but a recovery goes on with it, and after that it has a witness.
func TestALogWithoutItsWitnessIsRefused(t *testing.T) {
	m, want := storeOfThree(t)
	other, _ := storeOfThree(t)
	for name, test := range map[string]struct {
		image image
		says  string
	}{
		"missing":         {m.with(testWitness, nil), "is missing"},
		"both slots":      {spoilSlot(spoilSlot(m, 0), 1), "neither of its two slots can be read"},
		"empty":           {m.with(testWitness, []byte{}), "neither of its two slots can be read"},
		"another version": {m.with(testWitness, otherVersion(m[testWitness])), "neither of its two slots can be read"},
		"slots exchanged": {m.with(testWitness, append(bytes.Clone(m[testWitness][slotSize:]), m[testWitness][:slotSize]...)), "neither of its two slots can be read"},
	} {
		t.Run(name, func(t *testing.T) {
			_, fs, err := openImage(t, test.image, false)
			wrong, ok := errors.AsType[*WitnessError](err)
			if !ok || wrong.Dir != testDir || wrong.File != testWitness || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "balsa recover") {
				t.Fatalf("Open: %v", err)
			}
			// To look is to change nothing.
			s, err := Open(testDir, Options{NodeID: 1, FS: fs, ForRecovery: true})
			if err != nil {
				t.Fatal(err)
			}
			mustEqual(t, s, want)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(testDir, Options{NodeID: 1, FS: fs}); err == nil {
				t.Fatal("a store that was opened for recovery is taken for a good one")
			}
			s, err = Open(testDir, Options{NodeID: 1, FS: fs, ForRecovery: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Recover(clusterB, raft.Snapshot{}, false); err != nil {
				t.Fatal(err)
			}
			after, err := read(s)
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			s = openForTest(t, fs)
			mustEqual(t, s, after)
			if last := (raft.EntryID{Term: 3, Index: 10}); after.Log.Witness != last || s.Identity().ClusterID != clusterB {
				t.Errorf("after the recovery: %s, %+v", after, s.Identity())
			}
		})
	}
	t.Run("swapped", func(t *testing.T) {
		_, _, err := openImage(t, m.with(testWitness, other[testWitness]), false)
		if wrong, ok := errors.AsType[*WitnessError](err); !ok || !strings.Contains(wrong.Problem, "is that of node 1, instance ") {
			t.Fatalf("Open: %v", err)
		}
	})
	t.Run("without its log", func(t *testing.T) {
		_, _, err := openImage(t, image{testWitness: m[testWitness]}, false)
		if wrong, ok := errors.AsType[*WitnessError](err); !ok || wrong.Problem != "knows of a log, which is gone" {
			t.Fatalf("Open: %v", err)
		}
	})
}

// otherVersion returns the witness as a later program might write it.
func otherVersion(data []byte) []byte {
	data = bytes.Clone(data)
	for i := range 2 {
		slot := data[i*slotSize : (i+1)*slotSize]
		sequence, said, _ := decodeSlot(slot)
		encodeSlot(slot, sequence, said)
		slot[len(slotMagic)]++
		sealSlot(slot)
	}
	return data
}

// A young store loses what it has only in its write-ahead log: that it belongs to a
// cluster, too. The witness knows.
func TestTheWitnessKnowsTheClusterAndTheVote(t *testing.T) {
	m, want := storeOfThree(t)
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	id := s.Identity()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// A pristine log, under a witness that says all that the other one says.
	_, said, _ := decodeSlot(m[testWitness][slotSize:])
	if _, second, _ := decodeSlot(m[testWitness][:slotSize]); older(said.last, second.last) || said.hard.CurrentTerm < second.hard.CurrentTerm {
		said = second
	}
	said.identity.InstanceID = id.InstanceID
	slots := make([]byte, 2*slotSize)
	encodeSlot(slots[:slotSize], 2, said)
	s, fs, err := openImage(t, imageOf(t, fs).with(testWitness, slots), false)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		hs, log, err := s.State()
		if err != nil || hs != want.HardState || log.Last != 0 || log.Witness != want.Log.Witness || s.Identity().ClusterID != clusterA || s.Pristine() {
			t.Fatalf("%+v, %+v, %v, %+v", hs, log, err, s.Identity())
		}
		s = reopen(t, s, fs)
	}
}

func TestNewerHardState(t *testing.T) {
	s := &Store{dir: testDir, witness: &witness{name: testWitness}}
	hs := func(term raft.Term, vote raft.NodeID, promised bool) raft.HardState {
		return raft.HardState{CurrentTerm: term, VotedFor: vote, Promised: promised}
	}
	for _, test := range []struct{ a, b, want raft.HardState }{
		{hs(2, 1, false), hs(2, 1, false), hs(2, 1, false)},
		{hs(2, 1, true), hs(3, 0, false), hs(3, 0, false)},
		{hs(2, 0, false), hs(2, 3, false), hs(2, 3, false)},
		{hs(2, 3, false), hs(2, 0, true), hs(2, 3, true)},
	} {
		for _, pair := range [][2]raft.HardState{{test.a, test.b}, {test.b, test.a}} {
			if got, err := s.newerHardState(pair[0], pair[1]); err != nil || got != test.want {
				t.Errorf("%+v and %+v: %+v, %v; want %+v", pair[0], pair[1], got, err, test.want)
			}
		}
	}
	if _, err := s.newerHardState(hs(2, 1, false), hs(2, 3, false)); err == nil {
		t.Error("two votes in one term are accepted")
	}
}

func TestNewerIdentity(t *testing.T) {
	s := &Store{dir: testDir, witness: &witness{name: testWitness}}
	of := func(cluster [16]byte, term raft.Term) testimony {
		return testimony{identity: Identity{NodeID: 1, ClusterID: cluster}, hard: inTerm(term)}
	}
	none := [16]byte{}
	for name, test := range map[string]struct {
		log, said testimony
		want      [16]byte
		refused   bool
	}{
		"the same":                       {of(clusterA, 3), of(clusterA, 2), clusterA, false},
		"crash in the middle of joining": {of(clusterA, 0), of(none, 0), clusterA, false},
		"the log has lost the joining":   {of(none, 0), of(clusterA, 0), clusterA, false},
		"crash during a recovery":        {of(clusterB, 4), of(clusterA, 3), clusterB, false},
		"the log has lost the recovery":  {of(clusterA, 3), of(clusterB, 4), clusterB, false},
		"no way to tell":                 {of(clusterA, 3), of(clusterB, 3), none, true},
	} {
		got, err := s.newerIdentity(test.log, test.said)
		if test.refused != (err != nil) || err == nil && got.ClusterID != test.want {
			t.Errorf("%s: %x, %v", name, got.ClusterID, err)
		}
	}
}

// saidOnDisk returns what the newest slot says.
func saidOnDisk(t testing.TB, fs vfs.FS) testimony {
	t.Helper()
	w, err := openWitness(fs, testWitness, false)
	if err := errors.Join(err, w.abandon()); err != nil {
		t.Fatal(err)
	}
	return w.said
}

func TestTheWitnessIsSyncedForEveryBatchOrNowAndThen(t *testing.T) {
	for name, test := range map[string]struct {
		lazy bool
		// syncs are those of the witness for 3000 single entries.
		least, most uint64
	}{"strict": {false, 3000, 3000}, "lazy": {true, 3, 4}} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, err := Open(testDir, Options{NodeID: 1, FS: fs, LazyWitness: test.lazy})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			says := func(want testimony) {
				t.Helper()
				want.identity = s.Identity()
				if got := saidOnDisk(t, fs); got != want {
					t.Fatalf("the witness says %+v, want %+v", got, want)
				}
			}
			mustSave(t, s, raft.Write{HardState: inTerm(1)})
			before := s.Stats()
			for i := raft.Index(1); i <= 3000; i++ {
				mustSave(t, s, write(command(1, i, "")))
			}
			after := s.Stats()
			if n := after.WitnessSyncs - before.WitnessSyncs; n < test.least || n > test.most || after.Syncs-before.Syncs != 3000 {
				t.Fatalf("%d syncs of the witness for %d of the log", n, after.Syncs-before.Syncs)
			}
			// A vote, and a step back, are for both.
			voted := raft.HardState{CurrentTerm: 2, VotedFor: 3}
			mustSave(t, s, raft.Write{HardState: voted})
			says(testimony{hard: voted, last: raft.EntryID{Term: 1, Index: 3000}})
			mustSave(t, s, raft.Write{HardState: voted, TruncateFrom: 2900})
			says(testimony{hard: voted, last: raft.EntryID{Term: 1, Index: 2899}})
			// So is what the server has lost, as it hears from the leader.
			lost := raft.EntryID{Term: 2, Index: 2950}
			mustSave(t, s, raft.Write{HardState: voted, Witness: lost})
			says(testimony{hard: voted, last: lost})
			last := raft.EntryID{Term: 2, Index: 2901}
			mustSave(t, s, raft.Write{HardState: voted, Witness: lost, Entries: commands(2, 2900, last.Index)})
			says(testimony{hard: voted, last: lost})
			// In the end it has caught up in any case.
			mustSave(t, s, raft.Write{HardState: voted, Witness: raft.EntryID{Term: 2, Index: 2960}, Entries: commands(2, 2902, 2960)})
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			says(testimony{hard: voted, last: raft.EntryID{Term: 2, Index: 2960}})
		})
	}
}

// Of merged writes only the end counts, whether it goes back and forth in between
// or not.
func TestMergedWritesLeaveOneTestimony(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	mustSave(t, s, write(commands(1, 1, 9)...))
	before := s.Stats().WitnessSyncs
	mustSave(t, s,
		raft.Write{HardState: inTerm(2), TruncateFrom: 5}, write(commands(2, 5, 6)...),
		raft.Write{HardState: inTerm(3), TruncateFrom: 6}, write(commands(3, 6, 7)...))
	if n := s.Stats().WitnessSyncs - before; n != 1 || saidOnDisk(t, fs).last != (raft.EntryID{Term: 3, Index: 7}) {
		t.Errorf("%d syncs; the witness says %+v", n, saidOnDisk(t, fs))
	}
	before = s.Stats().WitnessSyncs
	mustSave(t, s, write(commands(3, 8, 20)...), raft.Write{HardState: inTerm(4), TruncateFrom: 7})
	if n := s.Stats().WitnessSyncs - before; n != 2 || saidOnDisk(t, fs).last != (raft.EntryID{Term: 3, Index: 6}) {
		t.Errorf("going back: %d syncs, want one before the log and one after it; the witness says %+v", n, saidOnDisk(t, fs))
	}
}

// The witness can be late for a write that a later one takes back. It must not be
// ahead of the log then.
func TestAWitnessThatIsLateDoesNotPassTheLog(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var s *Store
	var armed atomic.Bool
	attested := make(chan error, 1)
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		// The log is about to be shortened, and has not been yet.
		if op.Kind == errorfs.OpFileWrite && strings.HasSuffix(op.Path, ".log") && armed.CompareAndSwap(true, false) {
			if err := s.witness.attest(); err != nil {
				return err
			}
			if said := saidOnDisk(t, disk); said.last != (raft.EntryID{Term: 1, Index: 6}) {
				attested <- errors.New("the witness is ahead of what the log will be")
			} else {
				attested <- nil
			}
		}
		return nil
	}))
	s = openForTest(t, fs)
	mustSave(t, s, write(commands(1, 1, 9)...))
	if err := s.Save([]raft.Write{write(commands(1, 10, 12)...)}); err != nil {
		t.Fatal(err)
	}
	armed.Store(true)
	if err := s.Save([]raft.Write{{HardState: inTerm(2), Witness: raft.EntryID{Term: 1, Index: 6}, TruncateFrom: 7}}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-attested:
		if err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatal("the log was not written to")
	}
}

// TestNothingIsAcknowledgedAfterTheWitnessFailed lets each write and each sync of
// the witness fail in turn.
func TestNothingIsAcknowledgedAfterTheWitnessFailed(t *testing.T) {
	for _, kind := range []errorfs.OpKind{errorfs.OpFileWriteAt, errorfs.OpFileSyncData} {
		for n := int64(1); n <= 6; n++ {
			var operations atomic.Int64
			fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Path == testWitness && op.Kind == kind && operations.Add(1) == n {
					return syscall.EIO
				}
				return nil
			}))
			var fatal []string
			s, err := Open(testDir, Options{NodeID: 1, FS: fs, Fatal: func(message string) { fatal = append(fatal, message) }})
			if err != nil {
				t.Fatal(err)
			}
			var failure error
			for i := raft.Index(1); i <= 6; i++ {
				err := saveAndAttest(s, write(command(1, i, "")))
				if failure == nil && err != nil && raft.Index(n) != i {
					t.Fatalf("%v %d failed at the entry %d", kind, n, i)
				}
				if failure != nil && err != failure {
					t.Fatalf("%v %d: %v, and then %v", kind, n, failure, err)
				}
				failure = err
			}
			if !errors.Is(failure, syscall.EIO) || len(fatal) != 1 || !strings.Contains(fatal[0], testWitness) {
				t.Fatalf("%v %d: %v, the process is ended with %q", kind, n, failure, fatal)
			}
			if err := errors.Join(s.Attest(), s.Join(clusterA)); !errors.Is(err, failure) {
				t.Fatalf("%v %d: %v", kind, n, err)
			}
		}
	}
}

// A crash in the middle of a creation leaves nothing that anybody relies on.
func TestAnInterruptedCreationIsDoneAgain(t *testing.T) {
	fs := vfs.NewMem()
	if err := mustOpen(t, fs).Close(); err != nil {
		t.Fatal(err)
	}
	m := imageOf(t, fs)
	for name, witness := range map[string][]byte{"complete": m[testWitness], "torn": m[testWitness][:slotSize/2], "empty": {}} {
		s, _, err := openImage(t, image{testWitness: witness}, false)
		if err != nil || !s.Pristine() {
			t.Fatalf("%s: %v", name, err)
		}
		if said := s.witness.said; said != (testimony{identity: s.Identity()}) {
			t.Errorf("%s: the witness says %+v", name, said)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
