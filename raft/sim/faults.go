package sim

import "balsa/raft"

// scheduleFaults lets faults begin to happen.
func (w *world) scheduleFaults() {
	f := w.options.Faults
	w.network.wear()
	w.repeatedly(f.PartitionEvery, func() {
		w.network.fallApart()
		w.healAfter(w.faultRandom.around(f.PartitionTicks))
	})
	w.repeatedly(f.ClogEvery, w.network.clogSome)
	w.repeatedly(f.CrashEvery, func() {
		if n := w.someNode(); n.up {
			w.act(Action{Verb: Crash, Node: n.id})
		}
	})
	w.repeatedly(f.PowerLossEvery, func() {
		w.stats.PowerLosses++
		w.aside(nil, "power loss")
		for _, n := range w.nodes {
			if n.up {
				w.act(Action{Verb: Crash, Node: n.id})
			}
		}
	})
	w.repeatedly(f.PauseEvery, func() {
		if n := w.someNode(); n.up && w.now >= n.pausedUntil {
			w.pause(n, w.faultRandom.around(f.PauseTicks))
		}
	})
	w.repeatedly(f.CompactEvery, func() {
		switch n := w.someNode(); {
		case !n.up:
		case w.faultRandom.chance(f.Brutal):
			w.act(Action{Verb: CompactAll, Node: n.id})
		default:
			w.act(Action{Verb: Compact, Node: n.id, Count: w.faultRandom.IntN(30)})
		}
	})
	w.repeatedly(f.SpareSnapshotEvery, func() {
		if leader, to := w.leader(), pick(w.faultRandom, w.members()...); leader != nil && leader != to {
			w.act(Action{Verb: Spare, Node: leader.id, Peer: to.id})
		}
	})
	w.repeatedly(f.DiskFullEvery, func() {
		w.act(Action{Verb: Full, Node: w.someNode().id, Length: w.faultRandom.around(f.DiskFullTicks)})
	})
	w.repeatedly(f.ForgetEvery, w.forget)
	w.repeatedly(f.ChangeEvery, w.changeMembers)
	w.repeatedly(f.TransferEvery, w.transferLeadership)
	w.repeatedly(f.LeaseAttackEvery, w.attackLease)
	w.repeatedly(f.WipeEvery, func() { w.act(Action{Verb: Wipe, Node: w.someNode().id}) })
	w.repeatedly(f.FalseHintEvery, func() {
		if n, other := w.someNode(), w.someNode(); n.up && n != other {
			w.stats.FalseHints++
			w.hint(n, other.id)
		}
	})
}

// forget makes a disk forget something, or a copy of its log.
func (w *world) forget() {
	a := Action{Node: w.someNode().id}
	switch w.faultRandom.IntN(8) {
	case 0, 1:
		a.Verb = BackUp
	case 2:
		a.Verb = Restore
	case 3, 4:
		a.Verb = RestoreAll
	case 5:
		a.Verb, a.Count = Damage, 1+w.faultRandom.IntN(10)
	default:
		a.Verb, a.Count = Forget, 1+w.faultRandom.IntN(6)
	}
	w.act(a)
}

// isRandom reports whether faults are thought up on the way. In a scenario they
// are known from the start.
func (w *world) isRandom() bool { return w.chaos && !w.scripted }

// pause stops a process, which perhaps has all the ticks of that time at once when
// it goes on.
func (w *world) pause(n *node, length Time) {
	pause := Action{Verb: Pause, Node: n.id, Length: length}
	if w.options.Core.LeaseTime == 0 && w.faultRandom.coin() {
		pause.Count = int(length / n.clock.period)
	}
	w.act(pause)
}

// elected perhaps lets a new leader fall, at a moment when its first entries are
// on some disks and not on others.
func (w *world) elected(n *node) {
	if !w.isRandom() || !w.faultRandom.chance(w.faults.LeaderFall) {
		return
	}
	w.stats.LeaderFalls++
	how, length := w.faultRandom.IntN(3), w.faultRandom.around(w.options.fallTicks())
	w.planFor(n, w.faultRandom.between(0, 6*max(Tick/2, w.faults.MaxDelay)), func() {
		switch how {
		case 0:
			w.aside(n, "was elected a moment ago")
			w.act(Action{Verb: Crash, Node: n.id})
		case 1:
			w.pause(n, length)
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
		do()
		w.plan(w.now+w.faultRandom.around(meanTicks), again)
	}
	w.plan(w.now+w.faultRandom.around(meanTicks), again)
}

// planFor schedules something for a process, unless it has crashed by then.
func (w *world) planFor(n *node, delay Time, do func()) {
	incarnation := n.incarnation
	w.plan(w.now+delay, func() {
		if n.incarnation == incarnation {
			do()
		}
	})
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
	w.plan(w.now+length, func() { w.act(Action{Verb: Heal}) })
}

// crashed follows a crash: the clients of the node see their connections break,
// other nodes perhaps too, and after a while it starts again.
func (w *world) crashed(n *node) {
	w.hangUp(n)
	if !w.isRandom() {
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
	w.startAt(n, w.now+down)
}

// startAt starts a node again at some time, or when there is room on its disk.
func (w *world) startAt(n *node, t Time) {
	w.plan(max(t, n.diskFullUntil), func() {
		switch {
		case n.up:
		case w.now < n.diskFullUntil:
			w.startAt(n, w.now)
		default:
			w.act(Action{Verb: Start, Node: n.id})
		}
	})
}

// trueHint perhaps tells a node that another cannot reach it any more.
func (w *world) trueHint(n, lost *node) {
	if w.isRandom() && n.up && w.faultRandom.chance(w.faults.TrueHints) {
		w.stats.TrueHints++
		w.hint(n, lost.id)
	}
}

// hint tells a node, soon, that its connection to another has broken.
func (w *world) hint(n *node, lost raft.NodeID) {
	w.planFor(n, w.faultRandom.between(0, Tick), func() {
		w.act(Action{Verb: Hint, Node: n.id, Peer: lost})
	})
}
