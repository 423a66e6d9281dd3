package modelcheck

import "balsa/raft"

// Violation is what is wrong with a world.
type Violation struct {
	Rule, What string
}

func (v *Violation) String() string { return v.Rule + ": " + v.What }

// fact is something that an action of one server has brought about, and that has to
// be judged by those who see the whole world (judge.go), because it depends on what
// the others have done. What can be judged by looking at the one server is judged
// here, when it happens.
type fact struct {
	kind  factKind
	term  raft.Term
	index raft.Index
	chain uint64
	node  raft.NodeID
	role  raft.Role
	read  raft.ReadResult
	log   *storedLog
}

type factKind uint8

const (
	factElected   factKind = iota // to lead a term
	factVoted                     // for node in a term, and said so
	factCommitted                 // up to index of log, with role
	factApplied                   // up to index; all of it together has the hash chain
	factSnapshot                  // of all up to index and term was taken; it has the hash chain
	factCompacted                 // up to index and term
	factAnswered                  // a read
)

// saw takes note of a transition of the core.
func (h *host) saw(e raft.Event) {
	switch e.Kind {
	case raft.EventRole:
		switch e.Role {
		case raft.Leader:
			h.facts = append(h.facts, fact{kind: factElected, term: e.Term})
		case raft.PreCandidate, raft.Candidate:
			h.campaigns++
		}
	case raft.EventTruncated:
		if e.Role == raft.Leader {
			h.violated("Leader Append-Only", "%s removes %d..%d of its log while it leads term %d", h.s.id, e.Entry.Index, e.Last, e.Term)
		}
	case raft.EventCommitted:
		if e.Last <= h.commit {
			h.violated("Commit Monotonic", "%s sets commitIndex from %d to %d", h.s.id, h.commit, e.Last)
		}
		h.commit = e.Last
		h.facts = append(h.facts, fact{kind: factCommitted, index: e.Last, term: e.Term, role: e.Role})
	}
}

// logIsKnown completes what was seen since the core's log was last known: now that the
// core has handed out what it has changed there, it is known again.
func (h *host) logIsKnown() {
	for i := len(h.facts) - 1; i >= 0; i-- {
		if f := &h.facts[i]; f.kind == factCommitted && f.log == nil {
			log := h.s.log
			f.log = &log
		}
	}
}

// tookWrite follows the core's log.
func (h *host) tookWrite(w *raft.Write) {
	leads := h.s.core.Role() == raft.Leader
	if leads && h.led == h.s.core.Term() && (w.TruncateFrom != 0 || w.Reset != nil) {
		h.violated("Leader Append-Only", "%s hands out the write %s while it leads term %d", h.s.id, w, h.led)
	}
	if err := h.s.log.write(w, &h.s.machine.state); err != nil {
		h.violated("Storage", "%s: the write %s does not continue the log: it %v", h.s.id, w, err)
	}
}

// becomesDurable checks a write just before it takes effect on the disk.
func (h *host) becomesDurable(w *raft.Write) {
	old := h.s.disk.hardState
	switch {
	case w.HardState.CurrentTerm < old.CurrentTerm:
		h.violated("Term Durability", "the durable term of %s goes back from %d to %d", h.s.id, old.CurrentTerm, w.HardState.CurrentTerm)
	case w.HardState.CurrentTerm == old.CurrentTerm && old.VotedFor != raft.None && w.HardState.VotedFor != old.VotedFor:
		h.violated("One Vote", "the durable vote of %s in term %d changes from %s to %s", h.s.id, old.CurrentTerm, old.VotedFor, w.HardState.VotedFor)
	}
}

// says checks that a message promises nothing that its sender could forget in a crash
// at this moment (thesis 3.8).
func (h *host) says(m raft.Message) {
	durable := h.s.disk.hardState
	// A server that has moved on keeps what it promised in an earlier term, because
	// it will never act in that term again.
	movedOn := durable.CurrentTerm > m.Term
	if durable.CurrentTerm+ahead(m) < m.Term {
		h.violated("Term Durability", "%s sends %s, its durable term is %d", h.s.id, m, durable.CurrentTerm)
	}
	switch body := m.Body.(type) {
	case *raft.RequestVote:
		if !body.PreVote && !movedOn && durable.VotedFor != h.s.id {
			h.violated("Vote Durability", "%s sends %s, its durable vote is for %s", h.s.id, m, durable.VotedFor)
		}
	case *raft.RequestVoteReply:
		if body.Granted && !body.PreVote {
			if !movedOn && durable.VotedFor != m.To {
				h.violated("Vote Durability", "%s sends %s, its durable vote is for %s", h.s.id, m, durable.VotedFor)
			}
			h.facts = append(h.facts, fact{kind: factVoted, term: m.Term, node: m.To})
		}
	case *raft.AppendEntriesReply:
		if last := h.s.durable().last(); body.Success && !movedOn && last < body.MatchIndex {
			h.violated("Durability", "%s sends %s, its disk ends at %d", h.s.id, m, last)
		}
	}
}

// ahead is by how much a message's term may be above the sender's. A pre-vote speaks
// of a term that nobody is in yet; the one who grants it may be in an earlier one.
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

// handedToApply checks that committed entries go to the state machine in order, and
// only when the server's own disk holds them.
func (h *host) handedToApply(a raft.Apply) {
	switch applied := h.s.machine.applied.Index; {
	case a.First != applied+1 || a.Last < a.First:
		h.violated("Apply", "%s is to apply %d..%d after %d", h.s.id, a.First, a.Last, applied)
	case a.Last > h.s.core.CommitIndex():
		h.violated("Apply", "%s is to apply %d..%d, its commitIndex is %d", h.s.id, a.First, a.Last, h.s.core.CommitIndex())
	case a.Last > h.s.disk.log.last() || a.First <= h.s.disk.log.start.Index:
		h.violated("Durability", "%s is to apply %d..%d, its disk holds %d..%d", h.s.id, a.First, a.Last, h.s.disk.log.start.Index+1, h.s.disk.log.last())
	}
}
