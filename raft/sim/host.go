package sim

import (
	"fmt"

	"balsa/raft"
)

// What a node does for its core: the duties that raft.Output names, except for
// writing (disk.go) and snapshots (compaction.go, snapshots.go, install.go).

func (n *node) carryOut(out raft.Output) {
	if n.crashPoint(crashBeforeOutput) {
		return
	}
	for _, m := range out.Send {
		n.send(m)
	}
	if n.crashPoint(crashSent) {
		return
	}
	if n.install.reported {
		n.installationReported(out.Write)
	}
	n.write(out.Write, out.SendAfterWrite)
	n.cutLog()
	n.answered(out.Reads)
	for _, load := range out.Load {
		if n.load(load); !n.up {
			return // what it wanted to read is damaged
		}
	}
	if out.Apply.First != 0 {
		n.apply(out.Apply)
	}
	for _, to := range out.SendSnapshot {
		n.sendSnapshot(n.w.node(to))
	}
	if out.Install != nil {
		n.startInstalling(*out.Install)
	}
}

func (n *node) send(m raft.Message) {
	n.w.oracle.sent(n, m)
	if m.To == n.id {
		n.receive(func() { n.step(m, n.instance) })
		return
	}
	n.w.network.send(n, m)
}

// step tells the core of a message that a server with the given disk has sent.
func (n *node) step(m raft.Message, from raft.InstanceID) {
	n.view.sender, m.Instance = from, from
	n.core.Step(m)
}

// load reads old entries. What it delivers is what the disk held at some time
// between the request and the delivery.
func (n *node) load(load raft.Load) {
	n.w.stats.Loads++
	if log := &n.disk.log; load.Last < load.First || load.Last > log.last() || load.First <= log.start.Index {
		n.w.violated("Storage", fmt.Sprintf("%s wants to load %d..%d, its disk holds %d..%d",
			n.id, load.First, load.Last, log.start.Index+1, log.last()))
		return
	}
	if n.findsDamage(load.First, load.Last) {
		return
	}
	read := func() []raft.Entry { return n.disk.log.read(load.First, load.Last, load.MaxBytes) }
	early := read()
	n.later(n.hostDelay(pointLoad, n.w.faults.LoadTicks), func() {
		entries := early
		if n.flag(pointLoadedLate, n.random.coin) {
			entries = read()
		}
		n.receive(func() { n.core.Loaded(load.To, entries) })
	})
}

// hostDelay is how long something in the process takes: usually not long, now
// and then up to the most ticks that the faults allow.
func (n *node) hostDelay(p point, maxTicks int) Time {
	return n.time(p, Tick/20, func() Time {
		if maxTicks > 0 && n.random.IntN(6) == 0 {
			return n.random.between(0, ticks(maxTicks))
		}
		return n.random.between(Tick/50, Tick/10)
	})
}

// apply applies committed entries, in pieces, each of which may be the last
// thing that the process does.
func (n *node) apply(a raft.Apply) {
	n.applying = true
	n.later(n.hostDelay(pointApply, n.w.faults.ApplyTicks), func() {
		if n.crashPoint(crashBeforeApply) {
			return
		}
		piece, rest := n.pieceOf(a)
		if !n.up {
			return
		}
		for _, e := range piece {
			n.machine.apply(e)
			n.w.oracle.applied(n, e)
			n.resolve(e)
		}
		inMemory := func() bool {
			every := n.w.faults.FlushEvery
			return every > 0 && n.random.IntN(every) >= len(piece)
		}
		if !n.flag(pointUnflushed, inMemory) {
			n.machine.flush()
			n.w.stats.Flushes++
		}
		if n.crashPoint(crashApplied) {
			return
		}
		last := n.machine.applied.Index
		n.applying = rest.First <= rest.Last
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
	if entries == nil && n.findsDamage(a.First, a.Last) {
		return nil, raft.Apply{}
	}
	if entries == nil {
		n.w.stats.ApplyLoads++
		bytes := n.number(pointBytes, 0, 1000, 1000, func() int { return n.random.IntN(1000) })
		entries = n.disk.log.read(a.First, a.Last, bytes)
	}
	if len(entries) == 0 || entries[0].Index != a.First {
		n.w.violated("Storage", fmt.Sprintf("%s has to apply entry %d, its disk holds %d..%d",
			n.id, a.First, n.disk.log.start.Index+1, n.disk.log.last()))
		return nil, raft.Apply{}
	}
	count := n.number(pointPiece, 1, len(entries), len(entries), func() int { return 1 + n.random.IntN(len(entries)) })
	rest := raft.Apply{First: a.First + raft.Index(count), Last: a.Last}
	if a.Entries != nil {
		rest.Entries = entries[count:]
	}
	return entries[:count], rest
}
