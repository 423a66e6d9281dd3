package sim

import (
	"fmt"

	"balsa/raft"
)

// reception is a picture that has arrived in part, on the disk of the receiver.
type reception struct {
	*picture
	next int // the piece that is wanted next
}

// installation is what a node does to replace its state machine.
type installation struct {
	// picture is the one that the core wants installed.
	picture *picture
	stage   installStage
	// reported says that the core has been told that it is done, in this turn.
	reported bool
}

// installStage says what a crash would interrupt.
type installStage uint8

const (
	notInstalling installStage = iota
	wanted                     // the core waits for the state machine
	stateReplaced              // the core does not know yet
	logOutdated                // the core does, and the stored log is still the old one
	installStages
)

// offered answers the offer of a picture.
func (n *node) offered(p *picture) (answer, int) {
	stats := &n.w.stats.Snapshots
	useless := p.snapshot.Last.Index <= n.core.CommitIndex()
	switch r := n.receiving; {
	case n.install.stage != notInstalling:
		return refuses, 0
	case n.refusesOffer(useless):
		stats.Refused++
		return refuses, 0
	case r != nil && r.number == p.number:
		if r.next > 0 {
			stats.Resumed++
		}
		if r.next == p.pieces {
			n.arrived(p)
			return hasAll, 0
		}
		return wantsMore, r.next
	case r != nil && r.next < r.pieces:
		stats.Replaced++
	}
	n.receiving = &reception{picture: p}
	return wantsMore, 0
}

// refusesOffer decides whether a picture is refused. Some are taken although they
// are useless: the core must know by itself.
func (n *node) refusesOffer(useless bool) bool {
	return n.number(pointRefuse, 0, 1, count(useless), func() int {
		switch {
		case !n.w.chaos:
			return count(useless)
		case useless:
			return count(n.random.IntN(4) > 0)
		}
		return count(n.random.IntN(30) == 0)
	}) == 1
}

// received takes a piece of a picture.
func (n *node) received(p *picture, piece int) (answer, int) {
	r := n.receiving
	switch {
	case r == nil || r.number != p.number:
		return refuses, 0
	case n.w.now < n.diskFullUntil:
		n.w.stats.Snapshots.DiskFull++
		return cannotTake, 0
	case piece != r.next:
		return wantsMore, r.next
	}
	r.next++
	if r.next < r.pieces {
		return wantsMore, r.next
	}
	n.arrived(p)
	return hasAll, 0
}

// arrived tells the core of a picture that is there as a whole. The message may
// come late, when other leaders rule, and it may come twice.
func (n *node) arrived(p *picture) {
	n.w.stats.Snapshots.Arrived++
	tell := func() { n.receive(func() { n.tellSnapshot(p) }) }
	delay := n.time(pointArrive, 0, func() Time {
		if n.random.IntN(3) > 0 {
			return 0
		}
		return n.random.between(0, ticks(max(n.w.faults.LateTicks, n.w.faults.ReportTicks)))
	})
	n.later(delay, tell)
	again := n.time(pointArriveAgain, 0, func() Time {
		if !n.random.chance(n.w.faults.Duplicate) {
			return 0
		}
		return n.random.between(1, ticks(n.w.faults.DuplicateTicks))
	})
	if again > 0 {
		n.later(delay+again, tell)
	}
}

// tellSnapshot hands a picture to the core and sees whether it wants it.
func (n *node) tellSnapshot(p *picture) {
	stats := &n.w.stats.Snapshots
	old, commit := p.term < n.core.Term(), n.core.CommitIndex()
	_, before := n.core.Installing()
	n.step(raft.Message{From: p.from.id, To: n.id, Term: p.term, Body: &raft.InstallSnapshot{Snapshot: p.snapshot}}, p.from.instance)
	wants, installing := n.core.Installing()
	switch {
	case installing && !before:
		if wants.Last != p.snapshot.Last {
			n.w.violated("Snapshots", fmt.Sprintf("%s was told of snapshot %s and wants %s", n.id, p.snapshot, wants))
		}
		n.install = installation{picture: p, stage: wanted}
		if old {
			stats.OfDeposedLeader++
		}
	case installing:
		stats.WhileInstalling++
	case n.core.CommitIndex() > commit:
		stats.SuffixKept++
	default:
		stats.Stale++
	}
}

// startInstalling replaces the state machine by the picture that has arrived. A
// crash can come before, between that and the core's knowing of it, and before
// the log is cut.
func (n *node) startInstalling(snapshot raft.Snapshot) {
	n.w.oracle.wantsInstall(n, snapshot)
	slow := ticks(max(n.w.faults.ApplyTicks, n.w.faults.ReportTicks))
	delay := n.time(pointInstall, Tick/20, func() Time {
		if n.random.coin() {
			return n.random.between(0, slow)
		}
		return n.random.between(Tick/50, Tick/10)
	})
	n.later(delay, func() {
		if n.crashesInstalling(crashBeforeInstall) {
			return
		}
		p := n.install.picture
		n.machine.install(p.state, p.snapshot)
		n.install.stage = stateReplaced
		n.receiving = nil
		n.w.stats.Snapshots.Installed++
		n.w.oracle.installed(n)
		n.w.note(n, "has replaced its state by snapshot #%d", p.number)
		if n.crashesInstalling(crashInstalled) {
			return
		}
		n.receive(func() {
			n.install.stage, n.install.reported = logOutdated, true
			n.core.Installed()
		})
		n.covered(p.snapshot.Last.Index)
	})
}

// installationReported sees what the core does about its log when it has heard
// that its state machine is another one: it drops it, or keeps what comes after.
func (n *node) installationReported(write *raft.Write) {
	n.install.reported = false
	if write != nil && write.Reset != nil {
		n.w.stats.Snapshots.LogsDropped++
		n.later(0, func() { n.crashesInstalling(crashLogNotCut) })
		return
	}
	n.w.stats.Snapshots.LogsKept++
	n.install.stage = notInstalling
}

// crashesInstalling crashes the process with the probability that the faults give
// to a crash at each of the points of an installation.
func (n *node) crashesInstalling(where point) bool {
	return n.crashesAt(where, max(n.w.faults.InstallCrash, n.w.faults.CrashPoint))
}

// crashedInstalling counts what a crash has interrupted, and decides what is left
// of a picture that was arriving: all of it, a part, or nothing.
func (n *node) crashedInstalling() {
	n.w.stats.Snapshots.InstallCrashes[n.install.stage]++
	if n.receiving == nil {
		return
	}
	all := n.receiving.next
	n.receiving.next = n.number(pointReception, 0, all, all, func() int {
		switch n.random.IntN(3) {
		case 0:
			return 0
		case 1:
			return n.random.IntN(all + 1)
		}
		return all
	})
}
