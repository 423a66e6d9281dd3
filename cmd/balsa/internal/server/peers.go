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
	if m := s.member.Load(); m != nil {
		return m.store.Execute(ctx, command)
	}
	return nil
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

// Answer answers a server that founds a cluster. Before there is somebody to
// answer, silence counts as no.
func (s inbound) Answer(_ rpc.Identity, question []byte) []byte {
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
	m, ok := s.configured(id)
	return m.Address, ok && m.Address != ""
}

// configured returns what Raft's configuration says about a node.
func (s *server) configured(id raft.NodeID) (raft.Member, bool) {
	if status := s.seen.Load(); status != nil {
		return status.Configuration.Member(id)
	}
	return raft.Member{}, false
}

// admit refuses a node whose data directory is not the one that was admitted
// under its id. It has forgotten what it once promised, so its vote must not
// count again (thesis 3.8).
func (s *server) admit(peer rpc.Identity) error {
	m, ok := s.configured(peer.Node)
	if !ok || m.Instance == peer.Instance {
		return nil
	}
	return &rpc.Refusal{Code: rpc.WrongInstance, Sentence: fmt.Sprintf(
		"node %d is a member of this cluster with another data directory: start it with that one; "+
			"if it is lost, start this node as a new one, with a new --id and an empty --data-dir", peer.Node)}
}

// connectionLost passes on the hint that a peer's process may have ended.
func (s *server) connectionLost(peer raft.NodeID) {
	if m := s.member.Load(); m != nil {
		m.node.ConnectionLost(peer)
	}
}
