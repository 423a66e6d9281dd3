package logstore

import (
	"errors"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

var (
	clusterA = [16]byte{0xaa, 1, 2, 3}
	clusterB = [16]byte{0xbb, 1, 2, 3}
)

func founding(t testing.TB) raft.Entry {
	t.Helper()
	e, err := raft.FoundingEntry(configuration(1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestInstanceIDStaysWithTheDirectory(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	first := s.Identity()
	if first.NodeID != 1 || first.InstanceID == (raft.InstanceID{}) || first.ClusterID != [16]byte{} {
		t.Fatalf("identity of a new store: %+v", first)
	}
	if again := reopen(t, s, fs).Identity(); again != first {
		t.Fatalf("identity after reopening: %+v, was %+v", again, first)
	}
	if other := openForTest(t, vfs.NewMem()).Identity(); other.InstanceID == first.InstanceID {
		t.Fatal("two directories have the same instance id")
	}
}

func TestFoundingIsDurableAndHappensOnce(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	if !s.Pristine() {
		t.Fatal("a new store is not pristine")
	}
	entries := []raft.Entry{founding(t)}
	syncs := s.Stats().Syncs
	if err := s.Found(clusterA, raft.FoundingHardState(), entries); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Syncs - syncs; n != 1 {
		t.Fatalf("founding took %d syncs, want one atomic operation", n)
	}
	for range 2 {
		if s.Pristine() || s.Identity().ClusterID != clusterA {
			t.Fatalf("after founding: pristine %v, %+v", s.Pristine(), s.Identity())
		}
		mustContain(t, s, raft.FoundingHardState(), entries)
		if err := s.Found(clusterB, raft.FoundingHardState(), entries); !errors.Is(err, ErrNotPristine) {
			t.Fatalf("founding a second time: %v", err)
		}
		s = reopen(t, s, fs)
	}
}

// Trap 52.
func TestFoundingRefusesEveryKindOfState(t *testing.T) {
	for name, prepare := range map[string]func(s *Store) error{
		"a cluster id": func(s *Store) error { return s.Join(clusterA) },
		"a term":       func(s *Store) error { return s.Save([]raft.Write{{HardState: inTerm(1)}}) },
		"entries":      func(s *Store) error { return s.Save([]raft.Write{{Entries: commands(1, 1, 1)}}) },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := openForTest(t, fs)
			if err := prepare(s); err != nil {
				t.Fatal(err)
			}
			s = reopen(t, s, fs)
			if s.Pristine() {
				t.Error("the store calls itself pristine")
			}
			before, err := read(s)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Found(clusterB, raft.FoundingHardState(), []raft.Entry{founding(t)}); !errors.Is(err, ErrNotPristine) {
				t.Fatalf("Found: %v", err)
			}
			after, err := read(reopen(t, s, fs))
			if err != nil || !after.equal(before) {
				t.Fatalf("the refused founding left %s, %v", after, err)
			}
		})
	}
	s := compactedStore(t, vfs.NewMem(), raft.EntryID{Term: 1, Index: 4})
	if s.Pristine() {
		t.Error("a store with a compacted log calls itself pristine")
	}
}

func TestJoiningAnotherClusterIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	s := openForTest(t, fs)
	if err := s.Join(clusterA); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s, fs)
	if s.Identity().ClusterID != clusterA || s.Pristine() {
		t.Fatalf("after joining and reopening: %+v, pristine %v", s.Identity(), s.Pristine())
	}
	syncs := s.Stats().Syncs
	if err := s.Join(clusterA); err != nil || s.Stats().Syncs != syncs {
		t.Fatalf("joining the same cluster again: %v, %d syncs", err, s.Stats().Syncs-syncs)
	}
	wrong, ok := errors.AsType[*WrongClusterError](s.Join(clusterB))
	if !ok || wrong.Stored != clusterA || wrong.Given != clusterB ||
		!strings.Contains(wrong.Error(), "belongs to cluster aa010203-0000-0000-0000-000000000000") {
		t.Fatalf("joining another cluster: %v", wrong)
	}
	if s.Identity().ClusterID != clusterA {
		t.Fatal("the refused join changed the cluster")
	}
}

func TestZeroIsNoClusterID(t *testing.T) {
	s := openForTest(t, vfs.NewMem())
	if err := s.Join([16]byte{}); err == nil {
		t.Error("joined cluster zero")
	}
	if err := s.Found([16]byte{}, raft.FoundingHardState(), []raft.Entry{founding(t)}); err == nil {
		t.Error("founded cluster zero")
	}
	if !s.Pristine() {
		t.Error("the refused calls left a trace")
	}
}
