package logstore

import (
	"crypto/rand"
	"errors"

	"balsa/raft"
)

// Identity says whose store it is. All parts of it travel in the handshake of
// every connection between nodes.
type Identity struct {
	// NodeID is the node's name, chosen by the operator.
	NodeID raft.NodeID
	// InstanceID was drawn when this store was created. A node whose disk was
	// wiped comes back with another one.
	InstanceID raft.InstanceID
	// ClusterID is the UUID of the cluster, drawn when it was founded; zero for
	// a node that belongs to none yet.
	ClusterID [16]byte
}

// newInstanceID draws a random UUID (RFC 9562, version 4).
func newInstanceID() raft.InstanceID {
	var id raft.InstanceID
	rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Identity returns who the store belongs to.
func (s *Store) Identity() Identity { return *s.identity.Load() }

// Pristine reports whether this node has never been part of a cluster: it has
// no cluster id, no term and vote, and no log.
func (s *Store) Pristine() bool {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.pristine()
}

func (s *Store) pristine() bool {
	return s.Identity().ClusterID == [16]byte{} && s.hard == raft.HardState{} && s.last.Load() == 0
}

var errNoClusterID = errors.New("the cluster id is zero")

// Found makes this node a founding member of a new cluster: it stores the
// cluster's id and the state that all founders begin with, as one atomic
// operation. It fails with [ErrNotPristine] if anything is there already. The
// entries must begin at index 1.
func (s *Store) Found(clusterID [16]byte, hs raft.HardState, entries []raft.Entry) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	if clusterID == [16]byte{} {
		return errNoClusterID
	}
	if !s.pristine() {
		return ErrNotPristine
	}
	w := raft.Write{HardState: hs, Entries: entries}
	if n := len(entries); n > 0 {
		w.Witness = entries[n-1].ID()
	}
	return s.become(clusterID, []raft.Write{w})
}

// Join stores the id of the cluster that has admitted this node. Joining the
// same cluster again changes nothing; another one is refused with a
// [WrongClusterError].
func (s *Store) Join(clusterID [16]byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	if clusterID == [16]byte{} {
		return errNoClusterID
	}
	switch stored := s.Identity().ClusterID; stored {
	case clusterID:
		return nil
	case [16]byte{}:
		return s.become(clusterID, nil)
	default:
		return &WrongClusterError{Dir: s.dir, Stored: stored, Given: clusterID}
	}
}

// become stores the cluster id together with writes.
func (s *Store) become(clusterID [16]byte, writes []raft.Write) error {
	id := s.Identity()
	id.ClusterID = clusterID
	s.batch.Reset()
	if s.damaged != 0 {
		s.stageCut(s.damaged)
	}
	s.stageRecord(identityKey, encodeIdentity(id))
	if err := s.write(id, writes); err != nil {
		return err
	}
	s.identity.Store(&id)
	if s.damaged != 0 {
		if err := s.witness.setDamaged(0); err != nil {
			return s.failed(err)
		}
		s.damaged = 0
	}
	return s.attest()
}
