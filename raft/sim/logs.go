package sim

import "balsa/raft"

// The oracle's judgement of logs and of what is committed (Figure 3).

// handedOut follows a core's log, and checks Log Matching: logs that hold an
// entry of the same index and term are equal up to it.
func (o *oracle) handedOut(n *node, w *raft.Write) {
	v := &n.view
	if v.lastWrite++; w.ID != v.lastWrite {
		o.violated("Durability", "%s hands out write %d after write %d", n.id, w.ID, v.lastWrite-1)
	}
	if v.leads != 0 && !v.elected && (w.TruncateFrom != 0 || w.Reset != nil) {
		o.violated("Leader Append-Only", "%s hands out the write %s while it leads term %d", n.id, w, v.leads)
	}
	if w.Reset != nil {
		o.checkLabel(n, *w.Reset, "replaces its log by")
	}
	v.hardState = w.HardState
	if err := v.log.write(w, o.resetChain(w)); err != nil {
		o.violated("Durability", "%s: the write %s does not continue the log, which ends with %s: %v", n.id, w, v.log.lastID(), err)
		return
	}
	o.witnesses(n, w)
	for _, e := range w.Entries {
		chain := v.log.at(e.Index).chain
		known, seen := o.chains[e.ID()]
		if seen && known != chain {
			o.violated("Log Matching", "the log of %s has the entry %s of another log, but is not equal to that log up to it", n.id, e.ID())
		}
		o.chains[e.ID()] = chain
		if !seen && e.Kind == raft.EntryConfiguration {
			o.newConfiguration(n, e.Index)
		}
	}
}

// commit judges that a server has set its commitIndex. Whoever commits an index,
// it is the same entry (State Machine Safety). The first to commit it is a
// leader, a quorum of the disks holds it then, and every leader of a later term
// has it (Leader Completeness).
func (o *oracle) commit(n *node, e raft.Event) {
	v, i := &n.view, e.Last
	if i > v.log.last() {
		o.violated("State Machine Safety", "%s commits index %d, its log ends at %d", n.id, i, v.log.last())
		return
	}
	if i < v.log.start.Index {
		return // and has replaced it by a snapshot of something later since
	}
	chain, _ := v.log.chainAt(i)
	if i <= o.committed() {
		if !o.isCommitted(i, chain) {
			o.violated("State Machine Safety", "%s commits %s, which is not what was committed at that index", n.id, v.log.id(i))
		}
		o.committedEarlier(i, e)
		return
	}
	if e.Role != raft.Leader {
		o.violated("State Machine Safety", "%s, a %s, commits index %d before any leader", n.id, e.Role, i)
	}
	if !o.holds(&v.log, o.committed(), o.committedChain(o.committed())) || o.committed() < v.log.start.Index {
		o.violated("State Machine Safety", "%s commits up to %s, but its log lacks what was committed at %d", n.id, v.log.id(i), o.committed())
		return
	}
	for next := o.committed() + 1; next <= i; next++ {
		o.nextCommitted(v.log.at(next), e.Term)
	}
	o.w.stats.Committed = len(o.commits)
	o.heldByQuorum(n, i, chain)
	for _, other := range o.w.nodes {
		if other.up && other.view.leads > e.Term && !other.view.elected {
			o.leaderCompleteness(other, other.view.leads)
		}
	}
}

// committedEarlier takes note of a leader that commits, late, what a later leader
// has committed before it: by acknowledgements that were long under way.
func (o *oracle) committedEarlier(i raft.Index, e raft.Event) {
	if e.Role != raft.Leader {
		return
	}
	for ; i > 0 && o.commits[i-1].leader > e.Term; i-- {
		o.commits[i-1].leader = e.Term
	}
}

// nextCommitted takes note of what is committed at the next index, and of the
// state that a serial execution of everything so far leads to.
func (o *oracle) nextCommitted(r record, leader raft.Term) {
	o.replay.apply(r.entry)
	c := committed{chain: r.chain, digest: o.replay.digest, entry: r.entry.Term, leader: leader}
	if r.entry.Kind == raft.EntryCommand {
		_, c.operation = decodeCommand(r.entry.Data)
	}
	o.commits = append(o.commits, c)
	if r.entry.Kind == raft.EntryConfiguration && r.entry.Index > 1 {
		o.configurationCommitted(r, leader)
	}
}

// leaderCompleteness checks that the leader of a term has all that was first
// committed in earlier terms. What a leader of a later term has committed it
// need not have: it may have been elected late, by votes that were long under
// way.
func (o *oracle) leaderCompleteness(n *node, term raft.Term) {
	for i := o.committed(); i > 0; i-- {
		if o.commits[i-1].leader >= term {
			continue
		}
		if !o.holds(&n.view.log, i, o.commits[i-1].chain) {
			o.violated("Leader Completeness", "%s leads term %d without the entry %d that was committed in term %d", n.id, term, i, o.commits[i-1].leader)
		}
		return
	}
}

// progress checks what a leader believes of the others: their disks hold its log
// up to their match index, which never decreases. It says nothing about those
// that have moved on to a later term.
func (o *oracle) progress(n *node) {
	v, status := &n.view, n.core.Status()
	if status.CommitIndex != v.commit || status.LastApplied > status.CommitIndex {
		o.violated("Commit Monotonic", "%s has commitIndex %d after %d and lastApplied %d", n.id, status.CommitIndex, v.commit, status.LastApplied)
	}
	members := v.log.inForce().Configuration
	var match [MaxNodes]matchIndex
	for _, p := range status.Peers {
		m, _ := members.Member(p.ID)
		remains, known := o.remains(m), v.match[p.ID-1]
		if p.MatchIndex < known.index && m.Instance == known.instance {
			o.violated("Match Index", "%s takes matchIndex[%s] back from %d to %d", n.id, p.ID, known.index, p.MatchIndex)
		}
		match[p.ID-1] = matchIndex{m.Instance, p.MatchIndex}
		if p.MatchIndex == 0 || remains.hardState.CurrentTerm > v.leads {
			continue
		}
		chain, ok := v.log.chainAt(p.MatchIndex)
		if p.MatchIndex < v.log.start.Index {
			chain, ok = o.committedChain(p.MatchIndex), true
		}
		if !ok || !o.believedOf(m, p.MatchIndex, chain) {
			o.violated("Match Index", "%s believes that the disk of %s holds its log up to %d; that disk ends with %s",
				n.id, p.ID, p.MatchIndex, remains.log.lastID())
		}
	}
	v.match = match
}

// wholeLogs compares a core's whole log with what the oracle thinks it is, and
// the disk with both. It takes long.
func (o *oracle) wholeLogs(n *node) {
	v := &n.view
	for i := v.log.start.Index; i <= v.log.last(); i++ {
		if term, ok := n.core.TermAt(i); !ok || term != v.log.id(i).Term {
			o.violated("Core", "%s has term %d at index %d of its log, and has written term %d", n.id, term, i, v.log.id(i).Term)
			return
		}
	}
	if v.lastWrite > 0 { // before, the disk may lack a snapshot that was installed
		o.diskFollows(n)
	}
	if o.committed() > 0 {
		o.stillHeld("")
	}
	o.wholeState(n)
}

// diskFollows checks that the disk will hold the core's log when all is written
// that is under way.
func (o *oracle) diskFollows(n *node) {
	v, disk := &n.view, n.disk.log.clone()
	for _, pending := range n.disk.unfinished {
		if pending.write == nil {
			disk.compact(pending.compact)
		} else if err := disk.write(pending.write, o.resetChain(pending.write)); err != nil {
			o.violated("Durability", "the disk of %s: %v", n.id, err)
		}
	}
	chain, _ := v.log.chainAt(v.log.last())
	if disk.last() != v.log.last() || !o.holds(&disk, v.log.last(), chain) || disk.start.Index > v.log.start.Index {
		o.violated("Durability", "the disk of %s will hold %d to %s, its log is %d to %s", n.id,
			disk.start.Index+1, disk.lastID(), v.log.start.Index+1, v.log.lastID())
	}
}
