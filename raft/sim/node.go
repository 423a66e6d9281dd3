package sim

import (
	"fmt"

	"balsa/raft"
)

// node is one server: a process with a core, which a crash ends, and what
// survives it, a disk and the flushed part of the state machine.
type node struct {
	w      *world
	id     raft.NodeID
	random random

	// instance names the disk. A wiped disk is another one: see wipe. disks counts
	// those that the node has had.
	instance raft.InstanceID
	disks    int
	disk     disk
	// backup is a copy of the directory, if there is one.
	backup  *backup
	machine machine
	// receiving is a snapshot that has arrived in part or as a whole.
	receiving *reception
	// diskFullUntil is when there is room for snapshots again.
	diskFullUntil Time

	up bool
	// incarnation counts the starts of the process. What an earlier one has left
	// under way comes to nothing.
	incarnation int
	core        *raft.Core
	clock       clock
	// pausedUntil is when a stopped process goes on.
	pausedUntil Time
	inbox       []input
	waking      bool
	view        view // what the oracle knows of the core
	campaigns   int  // of all its incarnations
	draws       uint64

	// applying says that the state machine is at work.
	applying bool
	install  installation
	// compacted is up to where the core has forgotten its log in this turn.
	compacted raft.EntryID

	// proposed are the operations that wait for an index to be applied.
	proposed map[raft.Index][]*proposal
	// asked are the reads that the core has not answered, confirmed those that
	// wait for an index to be applied.
	asked     map[uint64]*read
	confirmed []*read
}

// input is something that the core is told. Proposals that stand in the inbox
// side by side are told as one.
type input struct {
	tell     func()
	proposal *proposal
}

func newNode(w *world, id raft.NodeID) *node {
	n := &node{w: w, id: id, random: newRandom(w.options.Seed, id.String())}
	n.newDisk()
	return n
}

// newDisk gives the node an empty disk that no node ever had.
func (n *node) newDisk() {
	n.disks++
	n.instance = diskName(n.id, n.disks)
	n.backup = nil
	n.disk, n.machine, n.receiving = disk{}, newMachine(n.w.options.Workload.Keys), nil
}

// member is how a configuration names the node.
func (n *node) member(votes bool) raft.Member {
	return raft.Member{ID: n.id, Instance: n.instance, Votes: votes}
}

// is reports whether this node, with this disk, is what a configuration means.
func (n *node) is(m raft.Member) bool { return n.id == m.ID && n.instance == m.Instance }

// later does something for the process after a delay, unless it has crashed by
// then. If it is stopped at that time, it does it as soon as it goes on.
func (n *node) later(delay Time, do func()) {
	incarnation := n.incarnation
	var run func()
	run = func() {
		switch {
		case n.incarnation != incarnation || !n.up:
		case n.w.now < n.pausedUntil:
			n.w.at(n.pausedUntil, run)
		default:
			do()
		}
	}
	n.w.at(n.w.now+delay, run)
}

// start starts the process with what the disk and the state machine hold.
func (n *node) start() {
	n.findsDamage(0, n.disk.log.last())
	// A crash can leave the witness behind the log. It must know what the log holds
	// before anybody is told, or what is lost later was acknowledged and is not missed.
	if older(n.disk.witness, n.disk.log.lastID()) {
		n.disk.witness = n.disk.log.lastID()
	}
	n.incarnation++
	n.up, n.waking, n.pausedUntil = true, false, 0
	n.disk.lastWrite = 0
	n.applying, n.install, n.compacted = false, installation{}, raft.EntryID{}
	n.inbox, n.proposed, n.asked, n.confirmed = nil, map[raft.Index][]*proposal{}, map[uint64]*read{}, nil
	cfg := *n.w.options.Core
	cfg.ID, cfg.Instance = n.id, n.instance
	cfg.Random = n.draw
	cfg.Trace = n.trace
	n.view = newView(n)
	n.w.oracle.forgetsWord(n)
	log := n.disk.log.state()
	log.Witness = n.disk.witness
	var err error
	n.core, err = raft.New(cfg, raft.InitialState{
		HardState: n.disk.hardState, Log: log,
		State: n.machine.snapshot(), Installed: n.machine.installed != nil,
	})
	if err != nil {
		n.w.violated("Restart", fmt.Sprintf("%s cannot start: %v", n.id, err))
		return
	}
	n.w.note(n, "starts: term %d, log %d to %s, applied %s",
		n.disk.hardState.CurrentTerm, n.disk.log.start.Index+1, n.disk.log.lastID(), n.machine.applied)
	n.clock = clock{}
	n.setClock()
	n.scheduleTick(n.time(pointPhase, Tick, func() Time { return n.random.between(0, n.clock.period) }))
}

// crash ends the process. Of the writes under way, the first few may survive.
func (n *node) crash(cause string) {
	all := len(n.disk.unfinished)
	survivors := n.number(pointSurvive, 0, all, 0, func() int { return n.random.IntN(all + 1) })
	witness := n.disk.witness
	n.w.note(n, "crashes (%s); %d of %d unfinished writes survive", cause, survivors, len(n.disk.unfinished))
	n.w.stats.Crashes++
	n.w.stats.LostWrites += len(n.disk.unfinished) - survivors
	for range survivors {
		n.finishWrite()
	}
	// The witness is written after the log. It may lack what nobody was told of.
	if older(witness, n.disk.witness) && n.flag(pointWitnessLate, n.random.coin) {
		n.disk.witness = witness
	}
	n.crashedInstalling()
	n.disk.unfinished, n.disk.busyUntil = nil, 0
	n.machine.crash()
	n.up, n.core = false, nil
	n.incarnation++
	n.w.crashed(n)
}

// crashPoint crashes the process with the probability that the faults give to a
// crash at each point where it matters, and returns whether it did.
func (n *node) crashPoint(where point) bool { return n.crashesAt(where, n.w.faults.CrashPoint) }

func (n *node) crashesAt(where point, probability float64) bool {
	if !n.flag(where, func() bool { return n.random.chance(probability) }) {
		return false
	}
	n.crash(points[where].name)
	return true
}

// receive puts something into the inbox.
func (n *node) receive(tell func()) { n.put(input{tell: tell}) }

func (n *node) put(in input) {
	if !n.up {
		return
	}
	n.inbox = append(n.inbox, in)
	if n.waking {
		return
	}
	n.waking = true
	delay := n.time(pointWake, 0, n.wakeDelay)
	if delay == 0 && n.w.now >= n.pausedUntil {
		n.wake()
		return
	}
	n.later(delay, n.wake)
}

// wakeDelay is for how long the inbox fills: usually not long, now and then so
// long that messages of several leaders are taken in at once.
func (n *node) wakeDelay() Time {
	longest := n.w.faults.MaxWake
	if longest == 0 {
		return 0
	}
	if n.random.IntN(10) > 0 {
		longest = min(longest, Tick/2)
	}
	return n.random.between(0, longest)
}

// wake tells the core what time it is and all that has arrived, and carries out
// what it wants done.
func (n *node) wake() {
	inbox := n.inbox
	n.inbox, n.waking = nil, false
	n.view.turn(n.core)
	n.core.SetClock(n.localTime())
	for len(inbox) > 0 {
		if inbox[0].proposal == nil {
			inbox[0].tell()
			inbox = inbox[1:]
		} else {
			inbox = n.propose(inbox)
		}
		n.w.oracle.toldCore(n)
	}
	out := n.core.TakeOutput()
	n.w.oracle.tookOutput(n, out)
	n.carryOut(out)
}
