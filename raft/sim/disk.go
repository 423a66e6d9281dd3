package sim

import (
	"balsa/raft"
)

// disk is what a node's crash leaves behind, and the writes under way. Writes
// finish in the order in which they began. Each is atomic; several that finish
// at the same time are one group, which is reported as one.
type disk struct {
	hardState raft.HardState
	log       storedLog
	// witness is what the durability witness beside the log says.
	witness raft.EntryID
	// lastWrite is the newest write that is durable.
	lastWrite raft.WriteID

	unfinished []*pendingWrite
	// busyUntil is when the newest of them will be finished.
	busyUntil Time
}

// pendingWrite is a write under way, or the removal of the beginning of the log,
// for which the log writer finds the time between two writes.
type pendingWrite struct {
	write   *raft.Write
	compact raft.EntryID
	// report is the newest write that is durable when this is finished, or zero.
	report raft.WriteID
	// release are the messages that may leave then.
	release    []raft.Message
	finishesAt Time
}

// write begins a write, and holds messages back until it and all before it are
// durable.
func (n *node) write(write *raft.Write, release []raft.Message) {
	d := &n.disk
	switch {
	case write == nil && len(release) == 0:
		return
	case write == nil && len(d.unfinished) == 0:
		n.later(0, func() { n.release(release) })
		return
	case write == nil:
		last := d.unfinished[len(d.unfinished)-1]
		last.release = append(last.release, release...)
		return
	}
	n.w.stats.Writes++
	// A copy: the list belongs to the core's output, and this one will grow.
	n.startWriting(&pendingWrite{write: write, report: write.ID, release: append([]raft.Message(nil), release...)})
}

func (n *node) startWriting(p *pendingWrite) {
	d := &n.disk
	d.busyUntil = max(d.busyUntil, n.w.now+n.hostDelay(n.w.faults.DiskTicks))
	p.finishesAt = d.busyUntil
	d.unfinished = append(d.unfinished, p)
	incarnation := n.incarnation
	n.w.at(d.busyUntil, func() {
		if n.incarnation == incarnation {
			n.writeFinished()
		}
	})
}

// writeFinished makes the oldest write durable. Then its messages may leave, and
// the core is told, in either order; the process can crash before, between and
// after.
func (n *node) writeFinished() {
	done := n.finishWrite()
	if unfinished := n.disk.unfinished; len(unfinished) > 0 && unfinished[0].finishesAt == done.finishesAt {
		// The group is not complete. Nothing leaves before it is.
		next := unfinished[0]
		next.release = append(done.release, next.release...)
		next.report = max(done.report, next.report)
		n.w.stats.GroupedWrites++
		return
	}
	if done.report == 0 && len(done.release) == 0 || n.crashPoint("written, not reported, messages not sent") {
		return
	}
	report := func() {
		if done.report != 0 {
			n.receive(func() { n.core.Written(done.report) })
		}
	}
	release := func() { n.release(done.release) }
	first, second := report, release
	if n.random.IntN(2) == 0 {
		first, second = release, report
	}
	n.later(0, func() {
		incarnation := n.incarnation
		first()
		if n.incarnation != incarnation || n.crashPoint("written, one of report and messages missing") {
			return
		}
		n.later(n.wakeDelay(), second)
	})
}

// finishWrite brings the oldest write to the durable state.
func (n *node) finishWrite() *pendingWrite {
	d := &n.disk
	done := d.unfinished[0]
	d.unfinished = d.unfinished[1:]
	if done.write == nil {
		n.w.oracle.cutsDisk(n, done.compact)
		d.log.compact(done.compact)
		return done
	}
	n.w.oracle.becomesDurable(n, done.write)
	d.hardState, d.witness, d.lastWrite = done.write.HardState, done.write.Witness, done.write.ID
	if err := d.log.write(done.write, n.w.oracle.resetChain(done.write)); err != nil {
		n.w.violated("Storage", n.id.String()+": the write "+done.write.String()+" "+err.Error())
	}
	if done.write.Reset != nil {
		n.install.stage = notInstalling
	}
	return done
}

// release lets messages leave that waited for a write.
func (n *node) release(messages []raft.Message) {
	incarnation := n.incarnation
	for _, m := range messages {
		if n.incarnation != incarnation || n.crashPoint("before a message that waited for a write") {
			return
		}
		n.send(m)
	}
}
