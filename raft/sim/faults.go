package sim

import "balsa/raft"

// scheduleFaults lets faults begin to happen.
func (w *world) scheduleFaults() {
	f := w.options.Faults
	w.repeatedly(f.PartitionEvery, func() {
		w.network.fallApart()
		w.healAfter(w.faultRandom.around(f.PartitionTicks))
	})
	w.repeatedly(f.ClogEvery, w.network.clog)
	w.repeatedly(f.CrashEvery, func() {
		if n := w.someNode(); n.up {
			n.crash("at random")
		}
	})
	w.repeatedly(f.PowerLossEvery, func() {
		w.stats.PowerLosses++
		for _, n := range w.nodes {
			if n.up {
				n.crash("power loss")
			}
		}
	})
	w.repeatedly(f.PauseEvery, func() {
		if n := w.someNode(); n.up && w.now >= n.pausedUntil {
			n.pause(w.faultRandom.around(f.PauseTicks))
		}
	})
	w.repeatedly(f.CompactEvery, func() {
		if n := w.someNode(); n.up {
			n.compact(w.faultRandom.chance(f.Brutal))
		}
	})
	w.repeatedly(f.SpareSnapshotEvery, func() {
		if leader, to := w.leader(), pick(w.faultRandom, w.members()...); leader != nil && leader != to {
			leader.sendSpareSnapshot(to)
		}
	})
	w.repeatedly(f.DiskFullEvery, func() {
		w.someNode().diskFullUntil = w.now + w.faultRandom.around(f.DiskFullTicks)
	})
	w.repeatedly(f.ChangeEvery, w.changeMembers)
	w.repeatedly(f.TransferEvery, w.transferLeadership)
	w.repeatedly(f.LeaseAttackEvery, w.attackLease)
	w.repeatedly(f.WipeEvery, func() { w.wipe(w.someNode()) })
	w.repeatedly(f.FalseHintEvery, func() {
		if n, other := w.someNode(), w.someNode(); n.up && n != other {
			w.stats.FalseHints++
			w.hint(n, other.id)
		}
	})
}

// elected perhaps lets a new leader fall, at a moment when its first entries are
// on some disks and not on others.
func (w *world) elected(n *node) {
	if !w.chaos || !w.faultRandom.chance(w.faults.LeaderFall) {
		return
	}
	w.stats.LeaderFalls++
	how, length := w.faultRandom.IntN(3), w.faultRandom.around(w.options.fallTicks())
	n.later(w.faultRandom.between(0, 6*max(Tick/2, w.faults.MaxDelay)), func() {
		switch {
		case !w.chaos:
		case how == 0:
			n.crash("soon after its election")
		case how == 1:
			n.pause(length)
		default:
			w.network.isolate(n)
			w.healAfter(length)
		}
	})
}

// repeatedly does something again and again while faults happen.
func (w *world) repeatedly(meanTicks int, do func()) {
	if meanTicks == 0 {
		return
	}
	var again func()
	again = func() {
		if !w.chaos {
			return
		}
		do()
		w.at(w.now+w.faultRandom.around(meanTicks), again)
	}
	w.at(w.now+w.faultRandom.around(meanTicks), again)
}

// someNode picks a node: in a third of the cases the leader, which has the most
// to lose, otherwise mostly a voter.
func (w *world) someNode() *node {
	if leader := w.leader(); leader != nil && w.faultRandom.IntN(3) == 0 {
		return leader
	}
	if w.faultRandom.IntN(4) > 0 {
		return pick(w.faultRandom, w.voters()...)
	}
	return pick(w.faultRandom, w.nodes...)
}

// healAfter makes the network whole after a while, whatever it has lost by then.
func (w *world) healAfter(length Time) {
	w.at(w.now+length, func() {
		if w.chaos {
			w.network.heal()
		}
	})
}

// crashed follows a crash: the clients of the node see their connections break,
// other nodes perhaps too, and after a while it starts again.
func (w *world) crashed(n *node) {
	w.hangUp(n)
	if !w.chaos {
		return
	}
	for _, other := range w.nodes {
		w.trueHint(other, n)
	}
	down := w.faultRandom.around(max(1, w.faults.DownTicks))
	if w.faultRandom.chance(w.faults.QuickRestart) {
		w.stats.QuickRestarts++
		down = w.faultRandom.between(0, Tick)
	}
	w.at(w.now+down, func() {
		if w.chaos && !n.up {
			n.start()
		}
	})
}

// trueHint perhaps tells a node that another cannot reach it any more.
func (w *world) trueHint(n, lost *node) {
	if n.up && w.faultRandom.chance(w.faults.TrueHints) {
		w.stats.TrueHints++
		w.hint(n, lost.id)
	}
}

// hint tells a node, soon, that its connection to another has broken.
func (w *world) hint(n *node, lost raft.NodeID) {
	n.later(w.faultRandom.between(0, Tick), func() {
		n.receive(func() { n.core.ConnectionLost(lost) })
	})
}
