package logstore

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
)

// memberStore returns the store of a member of cluster A, with a log that begins
// after entry 4 and ends with entry 9, in term 6. It is in force a configuration
// of this server and of 2, 3 and a learner, who came after 5 was removed.
func memberStore(t testing.TB, fs vfs.FS) (*Store, *model) {
	t.Helper()
	s := openForTest(t, fs)
	if err := s.Join(clusterA); err != nil {
		t.Fatal(err)
	}
	c := configuration(1, 2, 3)
	c.Members[0].Instance = s.Identity().InstanceID
	c.Members = append(c.Members, raft.Member{ID: 4, Instance: raft.InstanceID{4}, Address: "10.0.0.4:21001"})
	c.Removed = []raft.RemovedMember{{ID: 5, Instance: raft.InstanceID{5}}}
	m := new(model)
	for _, w := range []raft.Write{
		{HardState: inTerm(5), Reset: snapshotOf(5, 4)},
		{HardState: raft.HardState{CurrentTerm: 6, VotedFor: 2}, Entries: append(
			commands(5, 5, 7), raft.NewEntry(raft.EntryID{Term: 6, Index: 8}, raft.EntryConfiguration, c.Encode()), command(6, 9, "x"))},
	} {
		mustSave(t, s, w)
		m.save(w)
	}
	return s, m
}

// recovered is what becomes of the log of a member when it is recovered.
func recovered(m model, id Identity) model {
	configurations := m.configurations()
	c := aloneAfter(configurations[len(configurations)-1].Configuration, id)
	e := raft.EntryID{Term: m.hs.CurrentTerm + 1, Index: m.last() + 1}
	m.save(raft.Write{
		HardState: inTerm(e.Term),
		Entries:   []raft.Entry{raft.NewEntry(e, raft.EntryConfiguration, c.Encode())},
	})
	return m
}

func TestRecoveryMakesAClusterOfOneServer(t *testing.T) {
	fs := vfs.NewMem()
	s, m := memberStore(t, fs)
	id := s.Identity()
	want := recovered(*m, id)
	syncs := s.Stats().Syncs
	if err := s.Recover(clusterB, nil); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Syncs - syncs; n != 1 {
		t.Errorf("the recovery took %d syncs, want one atomic operation", n)
	}
	id.ClusterID = clusterB
	for range 2 {
		if got := s.Identity(); got != id {
			t.Fatalf("identity after the recovery: %+v, want %+v", got, id)
		}
		mustEqual(t, s, want.contents())
		s = reopen(t, s, fs)
	}

	hs, log, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	if hs != inTerm(7) || log.Last != 10 || log.Start.Index != 4 {
		t.Errorf("after the recovery: %+v, log %s to %d", hs, log.Start, log.Last)
	}
	last := log.Configurations[len(log.Configurations)-1]
	if last.Index != 10 || !reflect.DeepEqual(last.Configuration.Members, []raft.Member{
		{ID: 1, Instance: id.InstanceID, Address: "10.0.0.1:21001", Votes: true},
	}) {
		t.Errorf("configuration of entry %d: %+v", last.Index, last.Configuration)
	}
	for _, lost := range []raft.RemovedMember{{ID: 5, Instance: raft.InstanceID{5}}, {ID: 2}, {ID: 3}, {ID: 4, Instance: raft.InstanceID{4}}} {
		if !last.Configuration.WasRemoved(lost.ID, lost.Instance) {
			t.Errorf("%s can come back with the data that it has", lost.ID)
		}
	}
	if last.Configuration.WasRemoved(1, id.InstanceID) {
		t.Error("the survivor is removed")
	}
	// The log does for a server what it has to.
	if _, err := raft.New(raft.Config{ID: 1, Random: rand.IntN}, raft.InitialState{HardState: hs, Log: log, State: raft.Snapshot{Last: log.Start}}); err != nil {
		t.Error(err)
	}
}

func TestRecoveryOfAServerThatWasNoVoter(t *testing.T) {
	id := Identity{NodeID: 1, InstanceID: raft.InstanceID{1}}
	for name, old := range map[string]raft.Configuration{
		"learner":                {Members: []raft.Member{{ID: 1, Instance: id.InstanceID, Address: "a"}, {ID: 2, Votes: true}}},
		"removed":                {Members: []raft.Member{{ID: 2, Votes: true}}, Removed: []raft.RemovedMember{{ID: 1, Instance: id.InstanceID}}},
		"leaving":                {Members: []raft.Member{{ID: 1, Instance: id.InstanceID, VotedBefore: true, Leaving: true}, {ID: 2, Votes: true}}},
		"another data directory": {Members: []raft.Member{{ID: 1, Instance: raft.InstanceID{9}, Votes: true}, {ID: 2, Votes: true}}},
		"nobody knows anybody":   {},
	} {
		t.Run(name, func(t *testing.T) {
			c := aloneAfter(old, id)
			if len(c.Members) != 1 || c.Members[0].ID != 1 || c.Members[0].Instance != id.InstanceID || !c.Members[0].Votes {
				t.Errorf("members %+v", c.Members)
			}
			if c.Joint() || c.WasRemoved(1, id.InstanceID) {
				t.Errorf("configuration %+v", c)
			}
			for _, m := range old.Members {
				if m.Instance != id.InstanceID && !c.WasRemoved(m.ID, m.Instance) {
					t.Errorf("%s is not removed", m.ID)
				}
			}
			if _, err := raft.DecodeConfiguration(c.Encode()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRecoveryForgetsTheOldestOfManyRemovedServers(t *testing.T) {
	var old raft.Configuration
	for i := range raft.NodeID(raft.MaxRemoved) {
		old.Removed = append(old.Removed, raft.RemovedMember{ID: i + 10})
	}
	old.Members = []raft.Member{{ID: 2, Votes: true}, {ID: 3, Votes: true}}
	c := aloneAfter(old, Identity{NodeID: 1})
	if len(c.Removed) != raft.MaxRemoved || c.Removed[0].ID != 12 || !c.WasRemoved(3, raft.InstanceID{}) {
		t.Fatalf("%d removed servers, %s to %s", len(c.Removed), c.Removed[0].ID, c.Removed[len(c.Removed)-1].ID)
	}
	if len(old.Removed) != raft.MaxRemoved || old.Removed[0].ID != 10 {
		t.Fatal("the old configuration was changed")
	}
}

// TestRecoveryFinishesAnInstallation recovers from a log that a crash has left
// behind a snapshot that the state machine holds already.
func TestRecoveryFinishesAnInstallation(t *testing.T) {
	for name, test := range map[string]struct {
		installed *raft.Snapshot
		reset     bool
	}{
		"beyond the log":     {snapshotOf(6, 100), true},
		"in conflict":        {snapshotOf(6, 7), true},
		"in the log already": {snapshotOf(6, 9), false},
		"where it begins":    {snapshotOf(5, 4), false},
		"before it":          {snapshotOf(5, 3), false},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, want := memberStore(t, fs)
			if test.reset {
				want.save(raft.Write{HardState: want.hs, Reset: test.installed})
			}
			*want = recovered(*want, s.Identity())
			if err := s.Recover(clusterB, test.installed); err != nil {
				t.Fatal(err)
			}
			mustEqual(t, s, want.contents())
			mustEqual(t, reopen(t, s, fs), want.contents())
		})
	}
}

func TestRecoveryIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(s *Store) error
		cluster [16]byte
		install *raft.Snapshot
		want    error
	}{
		"for a store that is pristine": {func(*Store) error { return nil }, clusterB, nil, ErrNothingToRecover},
		"for a store without a log":    {func(s *Store) error { return s.Join(clusterA) }, clusterB, nil, ErrNothingToRecover},
		"under the same id":            {foundA, clusterA, nil, errSameClusterID},
		"under no id":                  {foundA, [16]byte{}, nil, errNoClusterID},
		"with the state of another":    {foundA, clusterB, snapshotOf(2, 50), raft.ErrStateBeyondLog},
		"with a state, without a log":  {func(*Store) error { return nil }, clusterB, snapshotOf(2, 50), raft.ErrStateBeyondLog},
	} {
		t.Run(name, func(t *testing.T) {
			s := openForTest(t, vfs.NewMem())
			if err := test.prepare(s); err != nil {
				t.Fatal(err)
			}
			before, err := read(s)
			if err != nil {
				t.Fatal(err)
			}
			id, syncs := s.Identity(), s.Stats().Syncs
			if err := s.Recover(test.cluster, test.install); !errors.Is(err, test.want) {
				t.Fatalf("Recover: %v, want %v", err, test.want)
			}
			mustEqual(t, s, before)
			if s.Identity() != id || s.Stats().Syncs != syncs {
				t.Fatal("the refused recovery has left a trace")
			}
		})
	}
}

func foundA(s *Store) error {
	e, err := raft.FoundingEntry(configuration(1, 2, 3))
	if err != nil {
		return err
	}
	return s.Found(clusterA, raft.FoundingHardState(), []raft.Entry{e})
}

func TestRecoveredServerDoesNotGoBackToTheOldCluster(t *testing.T) {
	s, _ := memberStore(t, vfs.NewMem())
	if err := s.Recover(clusterB, nil); err != nil {
		t.Fatal(err)
	}
	if wrong, ok := errors.AsType[*WrongClusterError](s.Join(clusterA)); !ok || wrong.Stored != clusterB {
		t.Fatalf("joining the old cluster: %v", wrong)
	}
}
