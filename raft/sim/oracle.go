package sim

import (
	"fmt"

	"balsa/raft"
)

// oracle sees everything, in all nodes and on all disks, remembers what happened
// in all terms, and judges every step by the properties that Raft promises
// (Figure 3 of the paper, and those of durability and of reads). Nothing that it
// knows is known to any core.
//
// What it does for one step takes time in proportion to what the step changed.
// Where whole logs have to be compared it compares their hashes: see record.
type oracle struct {
	w *world
	// leaders is who was elected in each term.
	leaders map[raft.Term]raft.NodeID
	// rounds is the newest round that the leader of each term has begun.
	rounds map[raft.Term]uint64
	// votes is whom each node has told that it votes for it.
	votes map[ballot]raft.NodeID
	// chains is the hash of the log up to each entry that was ever in a log.
	chains map[raft.EntryID]uint64
	// commits is what was committed at each index, from 1 on.
	commits []committed
}

type ballot struct {
	voter raft.NodeID
	term  raft.Term
}

// committed is what was committed at an index, and the term of the leader that
// was the first to do so.
type committed struct {
	chain uint64
	term  raft.Term
}

// view is what the oracle knows of one incarnation of a core.
type view struct {
	// log is the log after all the writes that the core has handed out, which
	// right after it did so is the core's whole log.
	log       storedLog
	lastWrite raft.WriteID
	hardState raft.HardState
	commit    raft.Index
	handed    raft.Index // to apply
	// leads is the term that the core leads, or zero, and match what it has
	// learnt of the others in that term.
	leads raft.Term
	match [MaxNodes]raft.Index
	// confirmations is what the leader may conclude in that term.
	confirmations confirmations

	// What happened since the last output.
	newCommits []raft.Event
	elected    bool
	replies    bool
}

func newOracle(w *world) *oracle {
	return &oracle{
		w:       w,
		leaders: map[raft.Term]raft.NodeID{}, rounds: map[raft.Term]uint64{},
		votes: map[ballot]raft.NodeID{}, chains: map[raft.EntryID]uint64{},
	}
}

func newView(n *node) view {
	v := view{hardState: n.disk.hardState, commit: n.machine.applied.Index, handed: n.machine.applied.Index}
	v.log.records = append(v.log.records, n.disk.log.records...)
	return v
}

// committed is the highest index that any server has committed.
func (o *oracle) committed() raft.Index { return raft.Index(len(o.commits)) }

// isCommitted reports whether a log whose hash at index i is chain has there
// what was committed there.
func (o *oracle) isCommitted(i raft.Index, chain uint64) bool {
	return i == 0 || i <= o.committed() && o.commits[i-1].chain == chain
}

func (o *oracle) violated(rule, format string, args ...any) {
	o.w.violated(rule, fmt.Sprintf(format, args...))
}

// saw takes note of a transition of a core, in the middle of a step.
func (o *oracle) saw(n *node, e raft.Event) {
	v := &n.view
	switch e.Kind {
	case raft.EventReceived:
		o.received(n, e.Message)
	case raft.EventRole:
		o.sawRole(n, e)
	case raft.EventTruncated:
		o.w.stats.Truncations++
		if e.Role == raft.Leader {
			o.violated("Leader Append-Only", "%s removes %d..%d of its log while it leads term %d", n.id, e.Entry.Index, e.Last, e.Term)
		}
		if e.Entry.Index <= v.commit {
			o.violated("State Machine Safety", "%s removes entry %d, its commitIndex is %d", n.id, e.Entry.Index, v.commit)
		}
	case raft.EventDurable:
		if i := e.Last; i > n.disk.log.last() || !v.log.holds(i, n.disk.log.at(i).chain) {
			o.violated("Durability", "%s takes its log to be durable up to %d, its disk holds another up to %d", n.id, i, n.disk.log.last())
		}
	case raft.EventCommitted:
		if e.Last <= v.commit {
			o.violated("Commit Monotonic", "%s sets commitIndex from %d to %d", n.id, v.commit, e.Last)
		}
		v.commit = e.Last
		v.newCommits = append(v.newCommits, e)
	}
}

// received takes note of what a leader hears.
func (o *oracle) received(n *node, m raft.Message) {
	v := &n.view
	switch body := m.Body.(type) {
	case *raft.AppendEntriesReply:
		v.replies = true
		if v.leads == m.Term {
			v.confirmations.echoed[m.From-1] = max(v.confirmations.echoed[m.From-1], body.Round)
		}
	case *raft.ReadIndex:
		if v.leads == m.Term {
			v.confirmations.arrives(body.ID, o.w.stats.Steps)
		}
	}
}

// sawRole checks Election Safety: at most one leader is elected in a term. That
// a server is elected twice in a term is no better, for it has crashed and
// forgotten in between.
func (o *oracle) sawRole(n *node, e raft.Event) {
	n.view.leads = 0
	switch e.Role {
	case raft.PreCandidate, raft.Candidate:
		n.campaigns++
		o.w.stats.Campaigns++
		if o.w.chaos {
			o.w.stats.LastCampaign = o.w.now
		}
	case raft.Leader:
		if o.w.stats.Leaders == 0 {
			o.w.stats.FirstLeader = o.w.now
		}
		o.w.stats.Leaders++
		if other, elected := o.leaders[e.Term]; elected {
			o.violated("Election Safety", "%s is elected in term %d, %s was before", n.id, e.Term, other)
		}
		o.leaders[e.Term] = n.id
		n.view.leads, n.view.elected, n.view.match = e.Term, true, [MaxNodes]raft.Index{}
		n.view.confirmations = newConfirmations()
		o.w.elected(n)
	}
}

// toldCore checks a core's own invariants after each input. What that takes
// grows with what the core keeps in memory, so a core that keeps much is checked
// less often.
func (o *oracle) toldCore(n *node) {
	stride := 1 + int(n.view.log.last())/200
	if n.w.stats.Steps%stride != 0 {
		return
	}
	if err := n.core.CheckInvariants(); err != nil {
		o.violated("Core", "%v", err)
	}
}

// tookOutput judges what a core has decided.
func (o *oracle) tookOutput(n *node, out raft.Output) {
	v := &n.view
	if out.Write != nil {
		o.handedOut(n, out.Write)
	}
	if last := v.log.last(); last > 0 {
		term, ok := n.core.TermAt(last)
		if _, more := n.core.TermAt(last + 1); !ok || term != v.log.lastID().Term || more {
			o.violated("Durability", "%s changed its log and wrote nothing: written to %s", n.id, v.log.lastID())
		}
	}
	for _, e := range v.newCommits {
		o.commit(n, e)
	}
	if v.elected {
		o.leaderCompleteness(n, v.leads)
	}
	if v.leads != 0 && (v.replies || v.elected) {
		o.progress(n)
	}
	if out.Apply.First != 0 {
		o.handedToApply(n, out.Apply)
	}
	v.newCommits, v.elected, v.replies = v.newCommits[:0], false, false
}

// handedOut follows a core's log, and checks Log Matching: logs that hold an
// entry of the same index and term are equal up to it.
func (o *oracle) handedOut(n *node, w *raft.Write) {
	v := &n.view
	if v.lastWrite++; w.ID != v.lastWrite {
		o.violated("Durability", "%s hands out write %d after write %d", n.id, w.ID, v.lastWrite-1)
	}
	if v.leads != 0 && !v.elected && w.TruncateFrom != 0 {
		o.violated("Leader Append-Only", "%s truncates its log from %d while it leads term %d", n.id, w.TruncateFrom, v.leads)
	}
	v.hardState = w.HardState
	if !v.log.write(w) {
		o.violated("Durability", "%s: the write %s does not continue the log, which ends with %s", n.id, w, v.log.lastID())
		return
	}
	for _, e := range w.Entries {
		chain := v.log.at(e.Index).chain
		if known, ok := o.chains[e.ID()]; ok && known != chain {
			o.violated("Log Matching", "the log of %s has the entry %s of another log, but is not equal to that log up to it", n.id, e.ID())
		}
		o.chains[e.ID()] = chain
	}
}

// commit judges that a server has set its commitIndex. Whoever commits an index,
// it is the same entry (State Machine Safety). The first to commit it is a
// leader, a majority of the disks holds it then, and every leader of a later
// term has it (Leader Completeness).
func (o *oracle) commit(n *node, e raft.Event) {
	v, i := &n.view, e.Last
	if i > v.log.last() {
		o.violated("State Machine Safety", "%s commits index %d, its log ends at %d", n.id, i, v.log.last())
		return
	}
	chain := v.log.at(i).chain
	if i <= o.committed() {
		if !o.isCommitted(i, chain) {
			o.violated("State Machine Safety", "%s commits %s, which is not what was committed at that index", n.id, v.log.at(i).entry.ID())
		}
		return
	}
	if e.Role != raft.Leader {
		o.violated("State Machine Safety", "%s, a %s, commits index %d before any leader", n.id, e.Role, i)
	}
	if !v.log.holds(o.committed(), o.committedChain()) {
		o.violated("State Machine Safety", "%s commits up to %s, but its log lacks what was committed at %d", n.id, v.log.at(i).entry.ID(), o.committed())
	}
	for next := o.committed() + 1; next <= i; next++ {
		o.commits = append(o.commits, committed{chain: v.log.at(next).chain, term: e.Term})
	}
	o.w.stats.Committed = len(o.commits)
	if holders := o.holders(i, chain); holders <= len(o.w.nodes)/2 {
		o.violated("Durability", "%s commits %s, which is on %d of %d disks", n.id, v.log.at(i).entry.ID(), holders, len(o.w.nodes))
	}
	for _, other := range o.w.nodes {
		if other.up && other.view.leads > e.Term && !other.view.elected {
			o.leaderCompleteness(other, other.view.leads)
		}
	}
}

func (o *oracle) committedChain() uint64 {
	if len(o.commits) == 0 {
		return 0
	}
	return o.commits[len(o.commits)-1].chain
}

// holders counts the disks that hold a log up to an index.
func (o *oracle) holders(i raft.Index, chain uint64) int {
	count := 0
	for _, n := range o.w.nodes {
		if n.disk.log.holds(i, chain) {
			count++
		}
	}
	return count
}

// leaderCompleteness checks that the leader of a term has all that was first
// committed in earlier terms. What a leader of a later term has committed it
// need not have: it may have been elected late, by votes that were long under
// way.
func (o *oracle) leaderCompleteness(n *node, term raft.Term) {
	for i := o.committed(); i > 0; i-- {
		if o.commits[i-1].term >= term {
			continue
		}
		if !n.view.log.holds(i, o.commits[i-1].chain) {
			o.violated("Leader Completeness", "%s leads term %d without the entry %d that was committed in term %d", n.id, term, i, o.commits[i-1].term)
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
	for _, p := range status.Peers {
		place, disk := p.ID-1, &o.w.node(p.ID).disk
		if p.MatchIndex < v.match[place] {
			o.violated("Match Index", "%s takes matchIndex[%s] back from %d to %d", n.id, p.ID, v.match[place], p.MatchIndex)
		}
		v.match[place] = p.MatchIndex
		if p.MatchIndex == 0 || disk.hardState.CurrentTerm > v.leads {
			continue
		}
		if p.MatchIndex > v.log.last() || !disk.log.holds(p.MatchIndex, v.log.at(p.MatchIndex).chain) {
			o.violated("Match Index", "%s believes that the disk of %s holds its log up to %d; that disk ends with %s",
				n.id, p.ID, p.MatchIndex, disk.log.lastID())
		}
	}
}

// handedToApply checks that committed entries go to the state machine in order,
// and only when the node's own disk holds them.
func (o *oracle) handedToApply(n *node, a raft.Apply) {
	v := &n.view
	switch {
	case a.First != v.handed+1 || a.Last < a.First:
		o.violated("Apply", "%s is to apply %d..%d after %d", n.id, a.First, a.Last, v.handed)
	case a.Last > v.commit:
		o.violated("Apply", "%s is to apply %d..%d, its commitIndex is %d", n.id, a.First, a.Last, v.commit)
	case a.Last > n.disk.log.last():
		o.violated("Durability", "%s is to apply %d..%d, its disk ends at %d", n.id, a.First, a.Last, n.disk.log.last())
	case a.Entries != nil && (a.Entries[0].Index != a.First || len(a.Entries) != int(a.Last-a.First+1)):
		o.violated("Apply", "%s is to apply %d..%d with %d entries from %d on", n.id, a.First, a.Last, len(a.Entries), a.Entries[0].Index)
	}
	v.handed = a.Last
}

// applied checks State Machine Safety where it counts: what a state machine has
// applied, all of it together, is what was committed.
func (o *oracle) applied(n *node, e raft.Entry) {
	if !o.isCommitted(e.Index, n.machine.chain) {
		o.violated("State Machine Safety", "%s has applied %s, which is not what was committed there", n.id, e.ID())
	}
}

// wholeLogs compares a core's whole log with what the oracle thinks it is, and
// the disk with both. It takes long.
func (o *oracle) wholeLogs(n *node) {
	v := &n.view
	for i := raft.Index(1); i <= v.log.last(); i++ {
		if term, ok := n.core.TermAt(i); !ok || term != v.log.at(i).entry.Term {
			o.violated("Core", "%s has term %d at index %d of its log, and has written term %d", n.id, term, i, v.log.at(i).entry.Term)
			return
		}
	}
	disk := storedLog{append([]record(nil), n.disk.log.records...)}
	for _, pending := range n.disk.unfinished {
		disk.write(pending.write)
	}
	if disk.last() != v.log.last() || !disk.holds(v.log.last(), v.log.at(v.log.last()).chain) {
		o.violated("Durability", "the disk of %s will end with %s, its log ends with %s", n.id, disk.lastID(), v.log.lastID())
	}
	if holders := o.holders(o.committed(), o.committedChain()); holders <= len(o.w.nodes)/2 {
		o.violated("Durability", "what is committed up to %d is on %d of %d disks", o.committed(), holders, len(o.w.nodes))
	}
}
