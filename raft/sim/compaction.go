package sim

import "balsa/raft"

// compact lets a node forget a part of its log: what its state machine has on disk,
// except for some entries that it keeps.
func (n *node) compact(keep raft.Index) {
	n.receive(func() {
		upTo := n.machine.flushed.applied.Index
		n.compactUpTo(upTo - min(upTo, keep))
	})
}

// compactAll lets a node forget all that the core allows, after the state machine
// has been flushed. The core knows what has been reported as applied, which may be
// less than what is flushed then, and must not go beyond.
func (n *node) compactAll() {
	n.receive(func() {
		n.machine.flush()
		n.w.stats.Snapshots.BrutalCompactions++
		n.compactUpTo(^raft.Index(0))
	})
}

func (n *node) compactUpTo(upTo raft.Index) {
	if to := n.core.Compact(upTo); to.Index > n.view.log.start.Index {
		n.compacted = to
		n.w.stats.Snapshots.Compactions++
	}
}

// cutLog has the log writer cut the stored log where the core has cut its own,
// after all that the core has written by then.
func (n *node) cutLog() {
	if n.compacted.Index > n.disk.log.start.Index {
		n.startWriting(&pendingWrite{compact: n.compacted})
	}
	n.compacted = raft.EntryID{}
}
