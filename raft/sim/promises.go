package sim

import "balsa/raft"

// The oracle's judgement of the two places where a server commits itself: what
// it says to others, and what its disk keeps.

// sent checks that a message promises nothing that the sender could forget in a
// crash at this moment (thesis 3.8), and that it is true.
func (o *oracle) sent(n *node, m raft.Message) {
	durable := n.disk.hardState
	// A server that has moved on keeps what it promised in an earlier term,
	// because it will never act in that term again.
	movedOn := durable.CurrentTerm > m.Term
	if durable.CurrentTerm+ahead(m) < m.Term {
		o.violated("Term Durability", "%s sends %s, its durable term is %d", n.id, m, durable.CurrentTerm)
	}
	switch body := m.Body.(type) {
	case *raft.RequestVote:
		if !body.PreVote && !movedOn && durable.VotedFor != n.id {
			o.violated("Vote Durability", "%s sends %s, its durable vote is for %s", n.id, m, durable.VotedFor)
		}
		if body.Transfer && !o.orders[order{n.id, m.Term - 1}] {
			o.violated("Transfer", "%s sends %s, but no leader of the term before has told it to", n.id, m)
		}
	case *raft.RequestVoteReply:
		if body.Granted && !body.PreVote {
			o.voted(n, m, movedOn || durable.VotedFor == m.To)
		}
	case *raft.AppendEntries:
		if leader := o.leaders[m.Term]; leader != n.id {
			o.violated("Election Safety", "%s sends %s, but the leader of term %d is %s", n.id, m, m.Term, leader)
		}
		o.rounds[m.Term] = max(o.rounds[m.Term], body.Round)
		n.view.confirmations.begins(body.Round, o.w.stats.Steps)
		if body.LeaderCommit > o.committed() {
			o.violated("State Machine Safety", "%s sends %s, only %d is committed", n.id, m, o.committed())
		}
	case *raft.AppendEntriesReply:
		if last := n.survives().log.last(); body.Success && !movedOn && last < body.MatchIndex {
			o.violated("Durability", "%s sends %s, its disk ends at %d", n.id, m, last)
		}
		if body.Lost && !movedOn {
			o.admitsLoss(n, m)
		}
		if body.Round > o.rounds[m.Term] {
			o.violated("Confirmation", "%s sends %s, but the newest round of term %d is %d", n.id, m, m.Term, o.rounds[m.Term])
		}
	case *raft.ReadIndexReply:
		o.confirmedRead(n, body.ID, body.Index)
	case *raft.TimeoutNow:
		o.sentOrder(n, m)
	}
}

// ahead is by how much a message's term may be above the sender's. A pre-vote
// speaks of a term that nobody is in yet; the one who grants it may be an
// earlier term still.
func ahead(m raft.Message) raft.Term {
	switch body := m.Body.(type) {
	case *raft.RequestVote:
		if body.PreVote {
			return 1
		}
	case *raft.RequestVoteReply:
		if body.PreVote && body.Granted {
			return m.Term
		}
	}
	return 0
}

// voted checks that a server gives one vote in a term, over all its lives, and
// that its disk knows of it.
func (o *oracle) voted(n *node, m raft.Message, durable bool) {
	if !durable {
		o.violated("Vote Durability", "%s sends %s, its durable vote is for %s", n.id, m, n.disk.hardState.VotedFor)
	}
	key := ballot{n.instance, m.Term}
	if other, voted := o.votes[key]; voted && other != m.To {
		o.violated("One Vote", "%s sends %s, but has voted for %s in that term", n.id, m, other)
	}
	o.votes[key] = m.To
}

// becomesDurable checks a write just before it takes effect on the disk.
func (o *oracle) becomesDurable(n *node, w *raft.Write) {
	old := n.disk.hardState
	switch {
	case w.ID != n.disk.lastWrite+1:
		o.violated("Storage", "write %d of %s after write %d", w.ID, n.id, n.disk.lastWrite)
	case w.HardState.CurrentTerm < old.CurrentTerm:
		o.violated("Term Durability", "the durable term of %s goes back from %d to %d", n.id, old.CurrentTerm, w.HardState.CurrentTerm)
	case w.HardState.CurrentTerm == old.CurrentTerm && old.VotedFor != raft.None && w.HardState.VotedFor != old.VotedFor:
		o.violated("One Vote", "the durable vote of %s in term %d changes from %s to %s", n.id, old.CurrentTerm, old.VotedFor, w.HardState.VotedFor)
	}
	log := &n.disk.log
	if w.Reset != nil && log.last() > w.Reset.Last.Index && o.holds(log, w.Reset.Last.Index, o.resetChain(w)) {
		o.violated("Snapshots", "%s drops the log after snapshot %s, which is the beginning of it", n.id, w.Reset)
	}
	if i := w.TruncateFrom; i > log.start.Index && i <= log.last() && o.isCommitted(i, log.at(i).chain) {
		o.removesCommitted(n, w)
	}
}

// removesCommitted judges a disk that is about to remove a committed entry. That
// is no error in itself: a server that has missed everything since may hold the
// entry by chance, from an earlier leader, and have it replaced by another
// earlier leader's before it hears of the one who committed it. But the quorum
// that made it committed never does so.
func (o *oracle) removesCommitted(n *node, w *raft.Write) {
	id, log, witness := n.disk.log.id(w.TruncateFrom), n.disk.log, n.disk.witness
	n.disk.log, n.disk.witness = log.clone(), w.Witness
	if err := n.disk.log.write(&raft.Write{TruncateFrom: w.TruncateFrom}, 0); err != nil {
		o.violated("Durability", "the disk of %s: %v", n.id, err)
	}
	o.stillHeld(" when " + n.id.String() + " removes " + id.String())
	n.disk.log, n.disk.witness = log, witness
}
