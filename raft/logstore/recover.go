package logstore

import (
	"errors"
	"fmt"
	"slices"

	"balsa/raft"
)

var errSameClusterID = errors.New("a recovered cluster needs an id of its own, not that of the cluster that was lost")

// Recover makes a new cluster, of this node alone, of what this node has of a
// cluster that has lost its majority for good. In one atomic operation it stores
// the id of the new cluster and appends a configuration in which this node is the
// only voter and all others are removed, in the next term and without a vote. It
// is for a store that no node runs on, opened with [Options].ForRecovery.
//
// All entries are kept, also those that may never have been committed: they may
// have been, and somebody may have been told so. What was committed without this
// node is lost.
//
// It must be done on one server only, and the others come back with empty data
// directories: two logs that end in different ways would otherwise both go on
// with an entry of the same index and term, which breaks the Log Matching
// property (Figure 3). They cannot come back in another way, because they do not
// know the id of the new cluster. For that reason it has to be a new one.
//
// The arguments state and installed are what the state machine returns as its
// Contents: if a crash came between the installation of a snapshot and the reset of
// the log, or if the log has lost more than what was applied, then the log is begun
// anew after the state, as [raft.New] would do.
//
// What the log has lost stays lost. Entries from a damaged one on are removed. The
// witness testifies to the new cluster.
//
// Recover fails with [ErrNothingToRecover] if there is no log, and with
// [raft.ErrStateBeyondLog] if the state cannot be of the same server.
func (s *Store) Recover(clusterID [16]byte, state raft.Snapshot, installed bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	id := s.Identity()
	switch clusterID {
	case [16]byte{}:
		return errNoClusterID
	case id.ClusterID:
		return errSameClusterID
	}

	var old raft.Configuration
	last := raft.Index(s.last.Load())
	reset, err := s.resetFor(state, installed)
	if err != nil {
		return err
	}
	if reset != nil {
		old, last = reset.Configuration.Configuration, reset.Last.Index
	} else if configurations, err := s.configurations(); err != nil {
		return err
	} else if n := len(configurations); n > 0 {
		old = configurations[n-1].Configuration
	}
	if last == 0 {
		return ErrNothingToRecover
	}

	hs := raft.HardState{CurrentTerm: s.hard.CurrentTerm + 1}
	e := raft.NewEntry(raft.EntryID{Term: hs.CurrentTerm, Index: last + 1}, raft.EntryConfiguration, aloneAfter(old, id).Encode())
	return s.become(clusterID, []raft.Write{{HardState: hs, Witness: e.ID(), Reset: reset, Entries: []raft.Entry{e}}})
}

// resetFor returns the snapshot if the log has to be reset to it.
func (s *Store) resetFor(state raft.Snapshot, installed bool) (*raft.Snapshot, error) {
	lost, err := s.lost()
	if err != nil || !installed && lost == (raft.EntryID{}) || state.Last.Index < s.start.Load().Index {
		return nil, err
	}
	if held, err := s.holds(state.Last); held || err != nil {
		return nil, err
	}
	if state.Last.Term > s.hard.CurrentTerm {
		// Nothing is applied or installed before its term is on disk.
		return nil, fmt.Errorf("%w: the state machine holds the state after %s, but the log has never been in its term",
			raft.ErrStateBeyondLog, state.Last)
	}
	return &state, nil
}

// lost returns the entry that the log once ended with, if it has lost it, and
// otherwise zero.
func (s *Store) lost() (raft.EntryID, error) {
	last, err := s.lastID()
	if known, _ := s.witness.current(); err == nil && older(last, known.last) {
		return known.last, nil
	}
	return raft.EntryID{}, err
}

// aloneAfter returns the configuration in which one server is left, and everyone
// else that old knows is removed.
func aloneAfter(old raft.Configuration, id Identity) raft.Configuration {
	survivor := raft.Member{ID: id.NodeID, Instance: id.InstanceID, Votes: true}
	if m, ok := old.Member(id.NodeID); ok {
		survivor.Address = m.Address
	}
	removed := slices.Clone(old.Removed)
	for _, m := range old.Members {
		removed = append(removed, raft.RemovedMember{ID: m.ID, Instance: m.Instance})
	}
	removed = slices.DeleteFunc(removed, func(r raft.RemovedMember) bool {
		return r == raft.RemovedMember{ID: id.NodeID, Instance: id.InstanceID}
	})
	if n := len(removed) - raft.MaxRemoved; n > 0 {
		removed = slices.Delete(removed, 0, n)
	}
	return raft.Configuration{Members: []raft.Member{survivor}, Removed: removed}
}
