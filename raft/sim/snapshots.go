package sim

import "balsa/raft"

// How a snapshot travels (§7). A leader's core says who needs one; its node takes
// a picture of the state machine and offers it; the receiver answers from where
// on it wants the picture; the sender sends pieces and learns from each answer
// which piece is wanted next. All of it goes over the same network as the
// messages: anything can be lost, late, twice or out of order, and both ends can
// crash at any time. A picture is known by its number, a piece by the picture and
// its place in it, so pieces of two pictures cannot be mixed up.

// picture is a copy of a state machine on its way to a node.
type picture struct {
	number uint64
	// from offers it to a node, as leader of term.
	from     *node
	term     raft.Term
	snapshot raft.Snapshot
	state    state
	pieces   int
}

// answer is what a receiver says to an offer or a piece.
type answer uint8

const (
	wantsMore  answer = iota // from a certain piece on
	hasAll                   // and the core knows
	refuses                  // does not want the picture, any more
	cannotTake               // a disk is full
)

// transmission is a picture on its way to a node, from the sender's side.
type transmission struct {
	*picture
	to *node
	// wanted says that the sender's core waits for the end of it.
	wanted bool
	// answers counts what the receiver has said; attempts how often in a row it
	// was asked in vain.
	answers, attempts int
	over              bool
}

const (
	maxPieces = 4
	// transmissionWindow is how many pieces are sent at a time.
	transmissionWindow = 2
	// transmissionTries is how often a sender repeats itself before it gives up.
	transmissionTries = 6
)

// sendSnapshot does what the core wants done for a follower, and reports.
func (n *node) sendSnapshot(to *node) {
	n.w.stats.Snapshots.Needed++
	n.transmit(&transmission{to: to, wanted: true})
}

// sendSpareSnapshot sends a snapshot that nobody has asked for. A receiver must be
// able to tell whether it is of use.
func (n *node) sendSpareSnapshot(to *node) {
	n.w.stats.Snapshots.Spare++
	n.transmit(&transmission{to: to})
}

func (n *node) transmit(t *transmission) {
	term := n.core.Term()
	n.later(n.hostDelay(pointPicture, n.w.faults.LoadTicks), func() {
		if n.crashPoint(crashBeforePicture) {
			return
		}
		// Only what was committed up to the term of the offer may be in it (see
		// raft.Output): the picture is no good if the node leads no more.
		if n.core.Role() != raft.Leader || n.core.Term() != term || n.machine.applied.Index == 0 {
			t.end(n)
			return
		}
		n.w.pictures++
		t.picture = &picture{
			number: n.w.pictures, from: n, term: term,
			snapshot: n.machine.snapshot(), state: n.machine.clone(),
			pieces: n.number(pointPieces, 1, maxPieces, 1, func() int { return 1 + n.random.IntN(maxPieces) }),
		}
		n.w.oracle.tookPicture(n, t.picture)
		n.w.note(n, "offers snapshot #%d (%s, %d pieces) to %s", t.number, t.snapshot, t.pieces, t.to.id)
		t.offer()
	})
}

// offer offers the picture, and tries again until there is an answer.
func (t *transmission) offer() {
	t.carry(func() {
		a, piece := t.to.offered(t.picture)
		t.reply(a, piece)
	})
	t.patience(t.offer)
}

// send sends some pieces, and begins again with an offer if there is no answer.
func (t *transmission) send(piece int) {
	for i := piece; i < min(piece+transmissionWindow, t.pieces); i++ {
		t.carry(func() {
			a, next := t.to.received(t.picture, i)
			t.reply(a, next)
		})
	}
	t.patience(t.offer)
}

// carry sends something to the receiver.
func (t *transmission) carry(arrives func()) {
	t.from.w.network.carry(t.from, t.to, messageSnapshot, func() { t.to.later(0, arrives) })
}

// reply carries the receiver's answer back.
func (t *transmission) reply(a answer, piece int) {
	incarnation := t.from.incarnation
	t.from.w.network.carry(t.to, t.from, messageSnapshotAnswer, func() {
		if t.from.incarnation == incarnation {
			t.from.later(0, func() { t.answered(a, piece) })
		}
	})
}

func (t *transmission) answered(a answer, piece int) {
	if t.over {
		return
	}
	t.answers++
	t.attempts = 0
	switch {
	case a == wantsMore && piece < t.pieces:
		t.send(piece)
	case a == cannotTake:
		t.patience(t.offer)
	default:
		t.end(t.from)
	}
}

// patience does something if nothing is heard for a while, and ends the
// transmission if it has been done too often.
func (t *transmission) patience(again func()) {
	answers := t.answers
	n := t.from
	n.later(n.time(pointPatience, ticks(3), func() Time { return ticks(2 + n.random.IntN(3)) }), func() {
		switch {
		case t.over || t.answers != answers:
		case t.attempts >= transmissionTries:
			t.from.w.stats.Snapshots.GivenUp++
			t.end(t.from)
		default:
			t.attempts++
			again()
		}
	})
}

// end tells the core that the transmission is over, sooner or later.
func (t *transmission) end(n *node) {
	t.over = true
	if !t.wanted {
		return
	}
	n.later(n.hostDelay(pointReport, n.w.faults.ReportTicks), func() {
		n.receive(func() { n.core.SnapshotSent(t.to.id) })
	})
}
