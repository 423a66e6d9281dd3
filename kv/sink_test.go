package kv

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
	"balsa/raft/node"
)

// smallTables makes each chunk a table of its own.
func smallTables(s *State) *State {
	s.receiver.tableBytes = 1
	return s
}

// refuses checks that a sink refuses a chunk and is as it was.
func refuses(t *testing.T, k *sink, name string, c node.Chunk) error {
	t.Helper()
	before := k.Position()
	err := k.Write(c)
	if err == nil {
		t.Errorf("%s: accepted", name)
	}
	if after := k.Position(); !reflect.DeepEqual(after, before) {
		t.Errorf("%s: refused, and yet the position is %+v after %+v", name, after, before)
	}
	return err
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	entries := randomLog(1, 200)
	src := mustSnapshot(t, leaderAt(t, entries))
	all := chunks(t, src, node.Position{})
	s := smallTables(openMem(t))
	offer := offerOf(src, 1)
	k := mustReceive(t, s, offer)
	for i, c := range all {
		damaged := bytes.Clone(c.Data)
		damaged[len(damaged)-1] ^= 1
		wantError(t, refuses(t, k, "damaged", node.Chunk{Offset: c.Offset, Data: damaged}), ErrCorrupt)
		wantError(t, refuses(t, k, "empty", chunkOf(c.Offset)), ErrCorrupt)
		if i > 0 {
			refuses(t, k, "the one before", all[i-1])
			moved := node.Chunk{Offset: c.Offset, Data: bytes.Clone(all[i-1].Data)}
			wantError(t, refuses(t, k, "the one before, in its place", moved), ErrCorrupt)
			sealChunk(moved.Data, moved.Offset)
			wantError(t, refuses(t, k, "and with a checksum that fits", moved), ErrCorrupt)
		}
		if i+1 < len(all) {
			refuses(t, k, "the one after", all[i+1])
		}
		if err := k.Finish(); err == nil {
			t.Fatal("finished before it was complete")
		}
		if err := s.Install(k); err == nil {
			t.Fatal("installed before it was finished")
		}
		if err := k.Write(c); err != nil {
			t.Fatal(err)
		}
	}
	extra := chunkOf(k.Position().Offset, "zz")
	extra.Last = true
	wantError(t, refuses(t, k, "one after the last", extra), ErrCorrupt)
	if err := k.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := s.Install(k); err != nil {
		t.Fatal(err)
	}
	if contentHash(t, s) != hashesOf(t, entries)[len(entries)] {
		t.Error("the state is not the snapshot's")
	}
}

// The label of a snapshot is believed only when the data says the same.
func TestASnapshotThatIsNotWhatWasAnnouncedIsRefused(t *testing.T) {
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 50)))
	for name, change := range map[string]func(*raft.Snapshot){
		"index":              func(s *raft.Snapshot) { s.Last.Index++ },
		"term":               func(s *raft.Snapshot) { s.Last.Term++ },
		"configuration":      func(s *raft.Snapshot) { s.Configuration.Configuration.Members[0].Address += "0" },
		"configuration from": func(s *raft.Snapshot) { s.Configuration.Index++ },
	} {
		offer := offerOf(src, 1)
		offer.Snapshot.Configuration.Configuration.Members = append([]raft.Member{},
			offer.Snapshot.Configuration.Configuration.Members...)
		change(&offer.Snapshot)
		s := openMem(t)
		k := mustReceive(t, s, offer)
		_, err := send(src, k, -1)
		wantError(t, err, ErrCorrupt)
		if err != nil && strings.Contains(err.Error(), ErrCorrupt.Error()) {
			t.Errorf("another %s: the error blames this server's own state: %v", name, err)
		}
		if err := s.Install(k); err == nil {
			t.Errorf("another %s: installed", name)
		}
	}
}

func TestASnapshotWithoutItsLabelIsRefused(t *testing.T) {
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 50)))
	s := openMem(t)
	for name, keys := range map[string][]string{
		"none":                {"ka"},
		"none, and later key": {"ka", "zz"},
	} {
		k := mustReceive(t, s, offerOf(src, byte(len(keys))))
		c := chunkOf(0, keys...)
		c.Last = true
		err := k.Write(c)
		if err == nil {
			err = k.Finish()
		}
		wantError(t, err, ErrCorrupt)
		if err := s.Install(k); err == nil {
			t.Errorf("%s: installed", name)
		}
	}
}

func TestABrokenConnectionGoesOnExactlyWhereItWas(t *testing.T) {
	entries := randomLog(1, 200)
	src := mustSnapshot(t, leaderAt(t, entries))
	s := openMem(t)
	offer := offerOf(src, 1)
	for {
		k := mustReceive(t, s, offer)
		before := k.Position()
		last, err := send(src, k, 2)
		if err != nil {
			t.Fatal(err)
		}
		if last {
			break
		}
		offer.Term++ // the leader may offer it again in another breath
		if got := mustReceive(t, s, offer).Position(); got.Offset <= before.Offset {
			t.Fatalf("from %d on after a break at %d", got.Offset, before.Offset)
		}
	}
	mustTransfer(t, src, s, offer) // the last acknowledgement was lost: nothing is missing
	if contentHash(t, s) != hashesOf(t, entries)[len(entries)] {
		t.Error("the state is not the snapshot's")
	}
}

// reopen crashes the machine and starts it again.
func reopen(t *testing.T, disk *vfs.MemFS) (*State, *vfs.MemFS) {
	t.Helper()
	disk = disk.CrashClone(vfs.CrashCloneCfg{})
	return mustOpen(t, testOptions(t, disk)), disk
}

// Trap 62.
func TestARestartedReceiverGoesOnAfterItsLastTable(t *testing.T) {
	entries := randomLog(1, 200)
	src := mustSnapshot(t, leaderAt(t, entries))
	all := chunks(t, src, node.Position{})
	disk := vfs.NewCrashableMem()
	s := mustOpen(t, testOptions(t, disk))
	offer := offerOf(src, 1)
	for i := range all {
		s.receiver.tableBytes = 1
		k := mustReceive(t, s, offer)
		if got := k.Position().Offset; got != all[i].Offset {
			t.Fatalf("goes on at %d after the restart, want %d", got, all[i].Offset)
		}
		if _, err := send(src, k, 1); err != nil {
			t.Fatal(err)
		}
		s.receiver.tableBytes = 1 << 30
		if _, err := send(src, k, 2); err != nil { // what is in no complete table is lost
			t.Fatal(err)
		}
		s, disk = reopen(t, disk)
	}
	mustTransfer(t, src, s, offer)
	if contentHash(t, s) != hashesOf(t, entries)[len(entries)] {
		t.Error("the state is not the snapshot's")
	}
}

func TestAnOrderlyStopLosesNothingOfASnapshot(t *testing.T) {
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 200)))
	opts := testOptions(t, vfs.NewMem())
	s := mustOpen(t, opts)
	k := mustReceive(t, s, offerOf(src, 1))
	if _, err := send(src, k, 3); err != nil {
		t.Fatal(err)
	}
	want := k.Position()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, k.Write(node.Chunk{Offset: want.Offset}), ErrStopped)
	wantError(t, k.Finish(), ErrStopped)
	wantError(t, s.Install(k), ErrStopped)
	_, err := s.Receive(offerOf(src, 2))
	wantError(t, err, ErrStopped)
	s = mustOpen(t, opts)
	if got := mustReceive(t, s, offerOf(src, 1)).Position(); !reflect.DeepEqual(got, want) {
		t.Errorf("goes on at %+v, want %+v", got, want)
	}
}

func TestAnotherSnapshotTakesThePlaceOfTheFirst(t *testing.T) {
	first := mustSnapshot(t, leaderAt(t, randomLog(1, 200)))
	entries := randomLog(2, 200)
	second := mustSnapshot(t, leaderAt(t, entries))
	s := smallTables(openMem(t))
	old := mustReceive(t, s, offerOf(first, 1))
	if _, err := send(first, old, 3); err != nil {
		t.Fatal(err)
	}
	k := mustReceive(t, s, offerOf(second, 2))
	if names := received(t, s); len(names) > 0 || k.Position().Offset != 0 {
		t.Errorf("the second begins at %d, beside %q", k.Position().Offset, names)
	}
	_, err := send(first, old, 1)
	wantError(t, err, node.ErrSnapshotRefused)
	wantError(t, old.Finish(), node.ErrSnapshotRefused)
	wantError(t, s.Install(old), node.ErrSnapshotRefused)
	if err := old.Discard(); err != nil {
		t.Error(err)
	}
	mustTransfer(t, second, s, offerOf(second, 2))
	if contentHash(t, s) != hashesOf(t, entries)[len(entries)] {
		t.Error("the state is not the second snapshot's")
	}
}

func TestADiscardedSnapshotLeavesNothing(t *testing.T) {
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 200)))
	s := smallTables(openMem(t))
	k := mustReceive(t, s, offerOf(src, 1))
	if _, err := send(src, k, 3); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := k.Discard(); err != nil {
			t.Error(err)
		}
	}
	if names := received(t, s); len(names) > 0 {
		t.Errorf("left: %q", names)
	}
	mustTransfer(t, src, s, offerOf(src, 1)) // from the beginning
}

// halfReceived returns a disk with three complete tables of a snapshot, and who
// sends it.
func halfReceived(t *testing.T) (*vfs.MemFS, *source) {
	t.Helper()
	src := mustSnapshot(t, leaderAt(t, randomLog(1, 200)))
	disk := vfs.NewCrashableMem()
	s := smallTables(mustOpen(t, testOptions(t, disk)))
	if _, err := send(src, mustReceive(t, s, offerOf(src, 1)), 3); err != nil {
		t.Fatal(err)
	}
	return disk, src
}

func writeFile(t *testing.T, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestGarbageOfAnEarlierRunIsNeverInstalled(t *testing.T) {
	table := func(i int) string { return progress{id: node.SnapshotID{15: 1}}.tableName(i) }
	for name, c := range map[string]struct {
		damage func(t *testing.T, fs *vfs.MemFS)
		// resumes says that what is intact may be used.
		resumes bool
	}{
		"nothing":            {func(*testing.T, *vfs.MemFS) {}, true},
		"a file too many":    {func(t *testing.T, fs *vfs.MemFS) { writeFile(t, fs, "state/received/"+table(3), []byte("x")) }, true},
		"a foreign file":     {func(t *testing.T, fs *vfs.MemFS) { writeFile(t, fs, "state/received/000001.sst", []byte("x")) }, true},
		"a new progress":     {func(t *testing.T, fs *vfs.MemFS) { writeFile(t, fs, "state/received/progress.new", nil) }, true},
		"damaged progress":   {func(t *testing.T, fs *vfs.MemFS) { flip(t, fs, "state/received/progress", 30) }, false},
		"empty progress":     {func(t *testing.T, fs *vfs.MemFS) { writeFile(t, fs, "state/received/progress", nil) }, false},
		"no progress":        {func(t *testing.T, fs *vfs.MemFS) { fs.Remove("state/received/progress") }, false},
		"a table is missing": {func(t *testing.T, fs *vfs.MemFS) { fs.Remove("state/received/" + table(1)) }, false},
		"a table is cut":     {func(t *testing.T, fs *vfs.MemFS) { writeFile(t, fs, "state/received/"+table(1), []byte("x")) }, false},
		"a table is damaged": {func(t *testing.T, fs *vfs.MemFS) { flip(t, fs, "state/received/"+table(1), 10) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			disk, src := halfReceived(t)
			disk = disk.CrashClone(vfs.CrashCloneCfg{})
			c.damage(t, disk)
			s := mustOpen(t, testOptions(t, disk))
			k := mustReceive(t, s, offerOf(src, 1))
			if resumed := k.Position().Offset > 0; resumed != c.resumes {
				t.Errorf("goes on at %d", k.Position().Offset)
			}
			names := received(t, s)
			if want := 4; c.resumes && len(names) != want || !c.resumes && len(names) != 0 {
				t.Errorf("kept: %q", names)
			}
			mustTransfer(t, src, s, offerOf(src, 1))
			if contentHash(t, s) != contentHash(t, src.state) {
				t.Error("the state is not the snapshot's")
			}
		})
	}
}

// The same ID and another description cannot be; if it is, then nothing of the
// one is mixed with the other.
//
// Trap 62.
func TestOnlyTheVerySameSnapshotGoesOn(t *testing.T) {
	disk, src := halfReceived(t)
	other := mustSnapshot(t, leaderAt(t, randomLog(2, 150)))
	for name, offer := range map[string]node.SnapshotOffer{
		"another snapshot":          offerOf(other, 2),
		"another one of the same":   offerOf(src, 2),
		"another with the same ID":  offerOf(other, 1),
		"after a restart, the same": offerOf(src, 1),
	} {
		s, _ := reopen(t, disk)
		if got := mustReceive(t, s, offer).Position().Offset > 0; got != (name == "after a restart, the same") {
			t.Errorf("%s: goes on: %v", name, got)
		}
	}
}

// What a restart finds of a snapshot that the log has overtaken is of no use to
// anybody, and goes without waiting for the next one.
func TestWhatTheLogHasOvertakenIsDeletedAtTheNextStart(t *testing.T) {
	disk, _ := halfReceived(t)
	s, disk := reopen(t, disk)
	if len(received(t, s)) == 0 {
		t.Fatal("nothing is kept: the test proves nothing")
	}
	mustApply(t, s, randomLog(3, 200))
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	s, _ = reopen(t, disk)
	if names := received(t, s); len(names) > 0 {
		t.Errorf("kept: %q", names)
	}
}
