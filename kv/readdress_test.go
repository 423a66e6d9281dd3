package kv

import (
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var newIdentity = Identity{Cluster: [16]byte{0xba, 0x15, 0xb}, Node: 1}

// opensFor reports whether the state opens for an identity, and checks that it
// holds what it should.
func opensFor(t *testing.T, fs vfs.FS, id Identity, hash string) bool {
	t.Helper()
	opts := testOptions(t, fs)
	opts.Identity = id
	s, err := OpenState("state", opts)
	if err != nil {
		wantError(t, err, ErrWrongIdentity)
		return false
	}
	if contentHash(t, s) != hash {
		t.Errorf("the contents have changed")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return true
}

func TestAStateCanBeGivenToTheNextIncarnation(t *testing.T) {
	disk, src := halfReceived(t)
	disk = disk.CrashClone(vfs.CrashCloneCfg{})
	s := mustOpen(t, testOptions(t, disk))
	mustApply(t, s, randomLog(3, 100))
	hash := contentHash(t, s)
	if len(received(t, s)) == 0 {
		t.Fatal("nothing is being received: the test proves less")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		if err := Readdress("state", testIdentity, newIdentity, testOptions(t, disk)); err != nil {
			t.Fatal(err)
		}
	}
	if opensFor(t, disk, testIdentity, hash) || !opensFor(t, disk, newIdentity, hash) {
		t.Error("the state is not the new incarnation's")
	}
	opts := testOptions(t, disk)
	opts.Identity = newIdentity
	s = mustOpen(t, opts)
	if names := received(t, s); len(names) > 0 {
		t.Errorf("a snapshot from the old incarnation is still there: %q", names)
	}
	mustTransfer(t, src, s, offerOf(src, 1)) // does not bring the old identity back
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !opensFor(t, disk, newIdentity, contentHash(t, src.state)) {
		t.Error("the state is not the new incarnation's after a snapshot")
	}
}

func TestOnlyTheNamedStateIsGivenAway(t *testing.T) {
	disk := vfs.NewMem()
	opts := testOptions(t, disk)
	s := mustOpen(t, opts)
	hash := contentHash(t, s)
	if err := Readdress("state", testIdentity, newIdentity, opts); err == nil {
		t.Error("the state of a running node was given away")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := testIdentity
	other.Node = 2
	wantError(t, Readdress("state", other, newIdentity, opts), ErrWrongIdentity)
	if !opensFor(t, disk, testIdentity, hash) {
		t.Error("the state is nobody's any more")
	}
	if err := Readdress("elsewhere", testIdentity, newIdentity, opts); err == nil {
		t.Error("a state that is not there was given away")
	}
	if names, err := disk.List("elsewhere"); err == nil {
		t.Errorf("and a directory was made: %q", names)
	}
}

func TestCrashAtEveryPersistPointOfReaddress(t *testing.T) {
	disk, _ := halfReceived(t)
	disk = disk.CrashClone(vfs.CrashCloneCfg{})
	s := mustOpen(t, testOptions(t, disk))
	mustApply(t, s, randomLog(3, 100))
	hash := contentHash(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	disk = disk.CrashClone(vfs.CrashCloneCfg{})
	recorder := &crashRecorder{disk: disk, rng: rand.New(rand.NewPCG(1, 2)), orderly: true}
	if err := Readdress("state", testIdentity, newIdentity, testOptions(t, recorder.record())); err != nil {
		t.Fatal(err)
	}
	old := 0
	for i, p := range recorder.points {
		was := opensFor(t, p.fs, testIdentity, hash)
		if was {
			old++
		} else if !opensFor(t, p.fs, newIdentity, hash) {
			t.Errorf("crash point %d, at %s: the state is neither's", i, p.op)
		}
		if err := Readdress("state", testIdentity, newIdentity, testOptions(t, p.fs)); err != nil {
			t.Errorf("crash point %d, at %s: again: %v", i, p.op, err)
		}
		if !opensFor(t, p.fs, newIdentity, hash) {
			t.Errorf("crash point %d, at %s: the state is not the new incarnation's", i, p.op)
		}
	}
	if old == 0 || old == len(recorder.points) {
		t.Errorf("%d of %d crashes left the old identity: the sweep proves little", old, len(recorder.points))
	}
}
