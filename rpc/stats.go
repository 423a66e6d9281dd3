package rpc

import (
	"sync/atomic"

	"balsa/raft"
)

// Stats are counts since the transport was made.
type Stats struct {
	// MessagesReceived and CallsReceived count Raft messages and the calls that
	// brought them; CommandsReceived counts forwarded commands.
	MessagesReceived, CallsReceived, CommandsReceived uint64
	// SnapshotsReceived counts the snapshots that this node has completely, and
	// SnapshotBytesReceived the data of all chunks that it has taken.
	SnapshotsReceived, SnapshotBytesReceived uint64
	// BytesReceived counts the frames of all requests.
	BytesReceived uint64
	// RefusedConnections counts the connections of others that ended in the
	// handshake, or later because of something that no healthy peer sends or
	// because of [Transport.Recheck].
	RefusedConnections uint64
	// Connections is how many peers have made to this node and are open now.
	Connections int
	// Peers holds one entry for each peer that something was to be sent to.
	Peers map[raft.NodeID]PeerStats
}

// PeerStats count what was sent to one peer.
type PeerStats struct {
	// MessagesSent, CallsSent and BytesSent count Raft messages, the calls that
	// carried them, and the bytes of those calls.
	MessagesSent, CallsSent, BytesSent uint64
	// MessagesDropped counts the messages that found the queue full or the peer
	// out of reach.
	MessagesDropped uint64
	// Connections counts how often a connection for Raft messages was made: one
	// more than the number of reconnects.
	Connections uint64
	// SnapshotsOffered counts the calls of SendSnapshot, SnapshotsSent those
	// after which the peer had the whole snapshot, and SnapshotBytesSent the data
	// of all chunks, whether or not they arrived.
	SnapshotsOffered, SnapshotsSent, SnapshotBytesSent uint64
}

type receivedCounters struct {
	messages, calls, commands, bytes atomic.Uint64
	snapshots, snapshotBytes         atomic.Uint64
}

type peerCounters struct {
	messages, calls, bytes, dropped, connections       atomic.Uint64
	snapshotsOffered, snapshotsSent, snapshotBytesSent atomic.Uint64
}

func (c *peerCounters) sent(messages, bytes int) {
	c.messages.Add(uint64(messages))
	c.calls.Add(1)
	c.bytes.Add(uint64(bytes))
}

// Stats returns the counts of this moment.
func (t *Transport) Stats() Stats {
	s := Stats{
		MessagesReceived: t.received.messages.Load(),
		CallsReceived:    t.received.calls.Load(),
		CommandsReceived: t.received.commands.Load(),
		BytesReceived:    t.received.bytes.Load(),

		SnapshotsReceived:     t.received.snapshots.Load(),
		SnapshotBytesReceived: t.received.snapshotBytes.Load(),

		RefusedConnections: t.refused.count.Load(),
		Connections:        t.arrivals.established(),
		Peers:              make(map[raft.NodeID]PeerStats),
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for id, p := range t.peers {
		s.Peers[id] = PeerStats{
			MessagesSent:    p.counters.messages.Load(),
			CallsSent:       p.counters.calls.Load(),
			BytesSent:       p.counters.bytes.Load(),
			MessagesDropped: p.counters.dropped.Load(),
			Connections:     p.counters.connections.Load(),

			SnapshotsOffered:  p.counters.snapshotsOffered.Load(),
			SnapshotsSent:     p.counters.snapshotsSent.Load(),
			SnapshotBytesSent: p.counters.snapshotBytesSent.Load(),
		}
	}
	return s
}
