package server

import (
	"context"
	"fmt"

	"balsa/raft"
	"balsa/raft/node"
	"balsa/rpc"
)

// inbound takes what other nodes send. The transport starts before the Raft
// node does, so it may find none.
type inbound struct{ *server }

// Deliver drops messages that come too early: a network may lose them too.
func (s inbound) Deliver(messages []raft.Message) {
	if m := s.member.Load(); m != nil {
		m.node.Deliver(messages)
	}
}

// Execute is only called by members of this server's cluster, and their
// handshake fails until this server is one itself. Nobody forwards a command to
// a node that cannot have become leader yet, so the empty reply, which the
// caller takes for an unknown outcome, stays theory.
func (s inbound) Execute(ctx context.Context, command []byte) []byte {
	m := s.member.Load()
	if m == nil {
		return nil
	}
	if len(command) > 0 && command[0] == memberCommand {
		return s.executeForwarded(ctx, m, command[1:])
	}
	return m.store.Execute(ctx, command)
}

// OfferSnapshot hands an offered snapshot to the Raft node.
func (s inbound) OfferSnapshot(ctx context.Context, offer node.SnapshotOffer) (node.Position, error) {
	if m := s.member.Load(); m != nil {
		return m.node.OfferSnapshot(ctx, offer)
	}
	return node.Position{}, node.ErrSnapshotRefused
}

// SnapshotChunk hands a piece of the snapshot to the Raft node.
func (s inbound) SnapshotChunk(ctx context.Context, id node.SnapshotID, chunk node.Chunk) error {
	if m := s.member.Load(); m != nil {
		return m.node.SnapshotChunk(ctx, id, chunk)
	}
	return node.ErrSnapshotRefused
}

// FinishSnapshot tells the Raft node that the snapshot has arrived.
func (s inbound) FinishSnapshot(ctx context.Context, id node.SnapshotID) error {
	if m := s.member.Load(); m != nil {
		return m.node.FinishSnapshot(ctx, id)
	}
	return node.ErrSnapshotRefused
}

// Answer answers a server that founds a cluster, or wants to be in this one.
// Before there is somebody to answer, silence counts as no.
func (s inbound) Answer(peer rpc.Identity, question []byte) []byte {
	if len(question) > 0 && question[0] == admissionQuestion {
		return s.answerAdmission(peer)
	}
	if founder := s.founder.Load(); founder != nil {
		return founder.Answer(question)
	}
	return nil
}

// clusterID is what this server says in handshakes.
func (s *server) clusterID() [16]byte {
	if !s.joined.Load() {
		return [16]byte{}
	}
	return s.logStore.Identity().ClusterID
}

// resolve says where to call a node: where it was heard of last, or else where
// it was when it was admitted.
func (s *server) resolve(id raft.NodeID) (string, bool) {
	if addr, ok := s.gossip.Address(uint64(id)); ok {
		return addr, true
	}
	configuration, _ := s.configuration()
	m, ok := configuration.Member(id)
	return m.Address, ok && m.Address != ""
}

// configuration returns Raft's configuration, and whether it is committed. Before
// the Raft node runs it is the last one in the log.
func (s *server) configuration() (configuration raft.Configuration, committed bool) {
	status := s.seen.Load()
	if m := s.member.Load(); m != nil {
		index, c := m.node.Configuration()
		return c, status != nil && index <= status.CommitIndex
	}
	if status != nil {
		return status.Configuration, false
	}
	return raft.Configuration{}, false
}

// admit refuses who was removed. A member's id with another data directory is not
// refused: it may be that this node is the one that does not know yet what has
// changed. Raft itself sees to it that only the member's own vote counts; who has
// lost its disk is told so when it asks for admission.
func (s *server) admit(peer rpc.Identity) error {
	configuration, committed := s.configuration()
	if _, member := configuration.Member(peer.Node); member || !committed {
		return nil
	}
	if configuration.WasRemoved(peer.Node, peer.Instance) {
		return &rpc.Refusal{Code: rpc.Removed, Sentence: removedSentence(peer.Node)}
	}
	return nil
}

func wrongInstance(id raft.NodeID) string {
	return fmt.Sprintf("node %d is a member of this cluster with another data directory: start it with that one; "+
		"if it is lost, remove node %d from the cluster and start it again, or start a new node with a new --id and an empty --data-dir", id, id)
}

func removedSentence(id raft.NodeID) string {
	return fmt.Sprintf("node %d was removed from this cluster with this data directory and stays out: "+
		"stop it; to bring it back, start it with an empty --data-dir", id)
}

// refused is told that a connection failed because one side does not want the
// other. If it may be that the others do not want this server any more, it asks
// them: one word on a connection is not enough to end for good.
func (s *server) refused(_ raft.NodeID, refusal *rpc.Refusal) {
	if refusal.Code != rpc.Removed || !s.suspicious.CompareAndSwap(false, true) {
		return
	}
	s.background.run(func(ctx context.Context) {
		defer s.suspicious.Store(false)
		reason := s.waitForRemoval(ctx)
		// Who asked to be removed ends because of that, and not with an error.
		if reason != "" && s.leaving.Load() == 0 {
			s.fail(&RemovedError{reason})
		}
	})
}

// connectionLost passes on the hint that a peer's process may have ended.
func (s *server) connectionLost(peer raft.NodeID) {
	if m := s.member.Load(); m != nil {
		m.node.ConnectionLost(peer)
	}
}
