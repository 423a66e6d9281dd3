package sim

import (
	"balsa/raft"
)

// disk is what a node's crash leaves behind, and the writes under way. Writes
// finish in the order in which they began. Each is atomic; several that finish
// at the same time are one group, which is reported as one.
//
// A write that a crash tears is one that did not happen. That is not the
// simulation's kindness: a log store must write each Write as one atomic batch with
// a checksum, and what it finds torn at its start it takes for the end of the log.
// That it does is tested there, on a file system that loses, keeps and tears what
// was not synced.
type disk struct {
	hardState raft.HardState
	log       storedLog
	// witness is what the durability witness beside the log says.
	witness raft.EntryID
	// damaged is the index of an entry that has changed since it was written, or
	// zero.
	damaged raft.Index
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
	d.unfinished = append(d.unfinished, p)
	if n.w.byHand {
		return
	}
	n.finishLater(p)
}

// finishLater says when a write that has begun will be finished.
func (n *node) finishLater(p *pendingWrite) {
	d := &n.disk
	d.busyUntil = max(d.busyUntil, n.w.now+n.hostDelay(pointWrite, n.w.faults.DiskTicks))
	p.finishesAt = d.busyUntil
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
	if n.writeFails() {
		return
	}
	done := n.finishWrite()
	if unfinished := n.disk.unfinished; len(unfinished) > 0 && unfinished[0].finishesAt == done.finishesAt && !n.w.byHand {
		// The group is not complete. Nothing leaves before it is.
		next := unfinished[0]
		next.release = append(done.release, next.release...)
		next.report = max(done.report, next.report)
		n.w.stats.GroupedWrites++
		return
	}
	if done.report == 0 && len(done.release) == 0 || n.crashPoint(crashWritten) {
		return
	}
	report := func() {
		if done.report != 0 {
			n.receive(func() { n.core.Written(done.report) })
		}
	}
	release := func() { n.release(done.release) }
	first, second := report, release
	if n.flag(pointMessagesFirst, n.random.coin) {
		first, second = release, report
	}
	n.later(0, func() {
		incarnation := n.incarnation
		first()
		if n.incarnation != incarnation || n.crashPoint(crashHalfReported) {
			return
		}
		n.later(n.time(pointReportLate, 0, n.wakeDelay), second)
	})
}

// writeFails lets a write end with an error, now and then, and more often while the
// disk is full. The process ends at once: after a failed fsync nobody knows what is
// on the disk, so nothing may be promised any more, and to try again would only
// report success for pages that the kernel has dropped. The next start finds as
// many of the writes as there are.
func (n *node) writeFails() bool {
	fails := n.flag(writeFails, func() bool {
		probability := n.w.faults.WriteFails
		if n.w.now < n.diskFullUntil {
			probability = max(probability, n.w.faults.WriteFailsWhenFull)
		}
		return n.random.chance(probability)
	})
	if fails {
		n.w.stats.FailedWrites++
		n.crash("a write fails")
	}
	return fails
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
	if i := done.write.TruncateFrom; done.write.Reset != nil || i > 0 && i <= d.damaged {
		d.damaged = 0
	}
	n.w.oracle.witnessed(n)
	return done
}

// release lets messages leave that waited for a write.
func (n *node) release(messages []raft.Message) {
	incarnation := n.incarnation
	for _, m := range messages {
		if n.incarnation != incarnation || n.crashPoint(crashBeforeLateMessage) {
			return
		}
		n.send(m)
	}
}
