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

	disk    disk
	machine machine

	up bool
	// incarnation counts the starts of the process. What an earlier one has left
	// under way comes to nothing.
	incarnation int
	core        *raft.Core
	// pausedUntil is when a stopped process goes on.
	pausedUntil Time
	period      Time // of its clock's ticks
	inbox       []input
	waking      bool
	view        view // what the oracle knows of the core
	campaigns   int  // of all its incarnations

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
	n.incarnation++
	n.up, n.waking, n.pausedUntil = true, false, 0
	n.disk.lastWrite = 0
	n.inbox, n.proposed, n.asked, n.confirmed = nil, map[raft.Index][]*proposal{}, map[uint64]*read{}, nil
	log, err := n.disk.log.state()
	if err != nil {
		n.w.violated("Storage", fmt.Sprintf("%s: %v", n.id, err))
		return
	}
	cfg := *n.w.options.Core
	cfg.ID = n.id
	cfg.Random = n.random.IntN
	cfg.Trace = n.trace
	n.view = newView(n)
	n.core, err = raft.New(cfg, raft.InitialState{HardState: n.disk.hardState, Log: log, Applied: n.machine.applied})
	if err != nil {
		n.w.violated("Restart", fmt.Sprintf("%s cannot start: %v", n.id, err))
		return
	}
	n.w.note(n, "starts: term %d, log to %s, applied %s", n.disk.hardState.CurrentTerm, n.disk.log.lastID(), n.machine.applied)
	n.setClock()
	n.later(n.random.between(0, n.period), n.tick)
}

// crash ends the process. Of the writes under way, the first few may survive.
func (n *node) crash(cause string) {
	survivors := n.random.IntN(len(n.disk.unfinished) + 1)
	n.w.note(n, "crashes (%s); %d of %d unfinished writes survive", cause, survivors, len(n.disk.unfinished))
	n.w.stats.Crashes++
	n.w.stats.LostWrites += len(n.disk.unfinished) - survivors
	for range survivors {
		n.finishWrite()
	}
	n.disk.unfinished, n.disk.busyUntil = nil, 0
	n.machine.crash()
	n.up, n.core = false, nil
	n.incarnation++
	n.w.crashed(n)
}

// crashPoint crashes the process with the probability that the faults give to a
// crash at each point where it matters, and returns whether it did.
func (n *node) crashPoint(where string) bool {
	if !n.random.chance(n.w.faults.CrashPoint) {
		return false
	}
	n.crash(where)
	return true
}

func (n *node) setClock() {
	switch {
	case n.w.faults.ClockDrift:
		n.period = n.random.between(Tick/2, 2*Tick)
	default:
		n.period = n.random.between(Tick-Tick/50, Tick+Tick/50)
	}
}

func (n *node) tick() {
	n.receive(func() { n.core.Tick() })
	n.later(n.period, n.tick)
}

// pause stops the process for a while. Its clock misses the ticks of that time,
// or has them all at once.
func (n *node) pause(length Time) {
	n.pausedUntil = n.w.now + length
	missed := 0
	if n.random.IntN(2) == 0 {
		missed = int(length / n.period)
	}
	n.w.note(n, "is stopped until %s", n.pausedUntil)
	n.w.stats.Pauses++
	n.later(0, func() {
		for range missed {
			n.receive(func() { n.core.Tick() })
		}
	})
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
	if n.w.faults.MaxWake == 0 && n.w.now >= n.pausedUntil {
		n.wake()
		return
	}
	n.later(n.wakeDelay(), n.wake)
}

// wakeDelay is for how long the inbox fills: usually not long, now and then so
// long that messages of several leaders are taken in at once.
func (n *node) wakeDelay() Time {
	longest := n.w.faults.MaxWake
	if n.random.IntN(10) > 0 {
		longest = min(longest, Tick/2)
	}
	return n.random.between(0, longest)
}

// wake tells the core all that has arrived and carries out what it wants done.
func (n *node) wake() {
	inbox := n.inbox
	n.inbox, n.waking = nil, false
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

func (n *node) carryOut(out raft.Output) {
	if n.crashPoint("before anything is sent or written") {
		return
	}
	for _, m := range out.Send {
		n.send(m)
	}
	if n.crashPoint("messages sent, nothing written") {
		return
	}
	n.write(out.Write, out.SendAfterWrite)
	n.answered(out.Reads)
	for _, load := range out.Load {
		n.load(load)
	}
	if out.Apply.First != 0 {
		n.apply(out.Apply)
	}
}

func (n *node) send(m raft.Message) {
	n.w.oracle.sent(n, m)
	if m.To == n.id {
		n.receive(func() { n.core.Step(m) })
		return
	}
	n.w.network.send(m)
}

// load reads old entries. What it delivers is what the disk held at some time
// between the request and the delivery.
func (n *node) load(load raft.Load) {
	n.w.stats.Loads++
	if load.Last < load.First || load.Last > n.disk.log.last() {
		n.w.violated("Storage", fmt.Sprintf("%s wants to load %d..%d, its disk ends at %d", n.id, load.First, load.Last, n.disk.log.last()))
		return
	}
	read := func() []raft.Entry { return n.disk.log.read(load.First, load.Last, load.MaxBytes) }
	early := read()
	n.later(n.hostDelay(n.w.faults.LoadTicks), func() {
		entries := early
		if n.random.IntN(2) == 0 {
			entries = read()
		}
		n.receive(func() { n.core.Loaded(load.To, entries) })
	})
}

// hostDelay is how long something in the process takes: usually not long, now
// and then up to the most ticks that the faults allow.
func (n *node) hostDelay(maxTicks int) Time {
	if maxTicks > 0 && n.random.IntN(6) == 0 {
		return n.random.between(0, ticks(maxTicks))
	}
	return n.random.between(Tick/50, Tick/10)
}

// apply applies committed entries, in pieces, each of which may be the last
// thing that the process does.
func (n *node) apply(a raft.Apply) {
	n.later(n.hostDelay(n.w.faults.ApplyTicks), func() {
		if n.crashPoint("before application") {
			return
		}
		piece, rest := n.pieceOf(a)
		for _, e := range piece {
			n.machine.apply(e)
			n.w.oracle.applied(n, e)
			n.resolve(e)
		}
		if n.w.faults.FlushEvery == 0 || n.random.IntN(n.w.faults.FlushEvery) < len(piece) {
			n.machine.flush()
			n.w.stats.Flushes++
		}
		if n.crashPoint("applied, not reported") {
			return
		}
		last := n.machine.applied.Index
		n.receive(func() { n.core.Applied(last) })
		if rest.First <= rest.Last {
			n.apply(rest)
		}
	})
}

// pieceOf returns some of the entries to apply, from the disk if the core did
// not hand them over, and what remains.
func (n *node) pieceOf(a raft.Apply) ([]raft.Entry, raft.Apply) {
	entries := a.Entries
	if entries == nil {
		n.w.stats.ApplyLoads++
		entries = n.disk.log.read(a.First, a.Last, n.random.IntN(1000))
	}
	if len(entries) == 0 || entries[0].Index != a.First {
		n.w.violated("Storage", fmt.Sprintf("%s has to apply entry %d, its disk ends at %d", n.id, a.First, n.disk.log.last()))
		return nil, raft.Apply{}
	}
	count := 1 + n.random.IntN(len(entries))
	rest := raft.Apply{First: a.First + raft.Index(count), Last: a.Last}
	if a.Entries != nil {
		rest.Entries = entries[count:]
	}
	return entries[:count], rest
}
