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
	// lastWrite is the newest write that is durable.
	lastWrite raft.WriteID

	unfinished []*pendingWrite
	// busyUntil is when the newest of them will be finished.
	busyUntil Time
}

type pendingWrite struct {
	write *raft.Write
	// release are the messages that may leave when the write is durable.
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
	d.busyUntil = max(d.busyUntil, n.w.now+n.hostDelay(n.w.faults.DiskTicks))
	// A copy: the list belongs to the core's output, and this one will grow.
	d.unfinished = append(d.unfinished, &pendingWrite{write, append([]raft.Message(nil), release...), d.busyUntil})
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
		n.w.stats.GroupedWrites++
		return
	}
	if n.crashPoint("written, not reported, messages not sent") {
		return
	}
	report := func() { n.receive(func() { n.core.Written(done.write.ID) }) }
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
	n.w.oracle.becomesDurable(n, done.write)
	d.hardState, d.lastWrite = done.write.HardState, done.write.ID
	if !d.log.write(done.write) {
		n.w.violated("Storage", n.id.String()+": the write "+done.write.String()+" would leave a hole after "+d.log.lastID().String())
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
