package sim

import "balsa/raft"

// compact lets a node forget a part of its log: up to somewhere below what its
// state machine has on disk, or, if everything is to go, all that the core allows
// after the state machine has been flushed.
func (n *node) compact(everything bool) {
	n.receive(func() {
		upTo := n.machine.flushed.applied.Index
		if everything {
			// What is applied now is flushed. The core knows what has been reported
			// as applied, which is less or equal, and must not go beyond.
			n.machine.flush()
			upTo = ^raft.Index(0)
			n.w.stats.Snapshots.BrutalCompactions++
		} else {
			upTo -= min(upTo, raft.Index(n.random.IntN(30)))
		}
		if to := n.core.Compact(upTo); to.Index > n.view.log.start.Index {
			n.compacted = to
			n.w.stats.Snapshots.Compactions++
		}
	})
}

// cutLog has the log writer cut the stored log where the core has cut its own,
// after all that the core has written by then.
func (n *node) cutLog() {
	if n.compacted.Index > n.disk.log.start.Index {
		n.startWriting(&pendingWrite{compact: n.compacted})
	}
	n.compacted = raft.EntryID{}
}
