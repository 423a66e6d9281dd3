package sim

import (
	"fmt"

	"balsa/raft"
)

// oracle sees everything, in all nodes and on all disks, remembers what happened
// in all terms, and judges every step by the properties that Raft promises
// (Figure 3 of the paper, and those of durability, membership and reads). Nothing
// that it knows is known to any core.
//
// What it does for one step takes time in proportion to what the step changed.
// Where whole logs have to be compared it compares their hashes: see record.
type oracle struct {
	w *world
	// leaders is who was elected in each term, newestTerm the latest of them.
	leaders    map[raft.Term]raft.NodeID
	newestTerm raft.Term
	// rounds is the newest round that the leader of each term has begun.
	rounds map[raft.Term]uint64
	// votes is whom each server has told that it votes for it.
	votes map[ballot]raft.NodeID
	// orders are those that leaders have given to their successors.
	orders map[order]bool
	// chains is the hash of the log up to each entry that was ever in a log.
	chains map[raft.EntryID]uint64

	// commits is what was committed at each index, from 1 on, configurations the
	// configurations among it, and replay the state that it leads to.
	commits        []committed
	configurations []committedConfiguration
	replay         state
	// successors are the configurations that leaders have put after another one,
	// which is known by the hash of the log up to it.
	successors map[uint64][]raft.Configuration
	// buried are the disks that were wiped, as they were then.
	buried map[raft.InstanceID]survivor
	// pledges are the logs of which disks have lost a part.
	pledges map[raft.InstanceID][]pledge
	// believed are the logs of disks that have forgotten everything since a copy
	// was made, as they were before.
	believed map[raft.InstanceID]storedLog
	// overlaps remembers which configurations were compared: see overlap.
	overlaps map[[2]uint64]bool
}

type ballot struct {
	voter raft.InstanceID
	term  raft.Term
}

type order struct {
	successor raft.NodeID
	term      raft.Term
}

// committed is what was committed at an index.
type committed struct {
	// chain is the hash of the log up to it, digest that of the values then.
	chain, digest uint64
	// entry is the term of the entry, leader that of the earliest leader who has
	// committed it.
	entry, leader raft.Term
	// operation is the one that it carries out, or zero.
	operation uint64
}

func newOracle(w *world) *oracle {
	return &oracle{
		w:       w,
		leaders: map[raft.Term]raft.NodeID{}, rounds: map[raft.Term]uint64{},
		votes: map[ballot]raft.NodeID{}, orders: map[order]bool{}, chains: map[raft.EntryID]uint64{},
		replay:     newMachine(w.options.Workload.Keys).state,
		successors: map[uint64][]raft.Configuration{}, pledges: map[raft.InstanceID][]pledge{}, believed: map[raft.InstanceID]storedLog{},
		buried: map[raft.InstanceID]survivor{}, overlaps: map[[2]uint64]bool{},
	}
}

// committed is the highest index that any server has committed.
func (o *oracle) committed() raft.Index { return raft.Index(len(o.commits)) }

// committedChain is the hash of what was committed up to an index.
func (o *oracle) committedChain(i raft.Index) uint64 {
	if i == 0 {
		return 0
	}
	return o.commits[i-1].chain
}

// isCommitted reports whether a log whose hash at index i is chain has there
// what was committed there.
func (o *oracle) isCommitted(i raft.Index, chain uint64) bool {
	return i <= o.committed() && o.committedChain(i) == chain
}

// isCommittedID reports whether an entry was committed, or stands before the log.
func (o *oracle) isCommittedID(id raft.EntryID) bool {
	return id == raft.EntryID{} || id.Index > 0 && id.Index <= o.committed() && o.commits[id.Index-1].entry == id.Term
}

// holds reports whether a log is, up to index i, the one that has that hash. What
// it has compacted away was committed.
func (o *oracle) holds(l *storedLog, i raft.Index, chain uint64) bool {
	if i < l.start.Index {
		return o.isCommitted(i, chain)
	}
	c, known := l.chainAt(i)
	return known && c == chain
}

// resetChain is the hash of the log that a write's reset begins with.
func (o *oracle) resetChain(w *raft.Write) uint64 {
	if w.Reset == nil || w.Reset.Last.Index > o.committed() {
		return 0
	}
	return o.committedChain(w.Reset.Last.Index)
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
	case raft.EventIgnored:
		if e.Cause == "promised not to vote" {
			o.w.stats.Leases.VotesRefused++
		}
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
		if v.log.inForce().Index >= e.Entry.Index {
			o.w.stats.Members.RolledBack++
		}
	case raft.EventDurable:
		o.sawDurable(n, e.Last)
	case raft.EventCommitted:
		if e.Last <= v.commit {
			o.violated("Commit Monotonic", "%s sets commitIndex from %d to %d", n.id, v.commit, e.Last)
		}
		v.commit = e.Last
		v.newCommits = append(v.newCommits, e)
	case raft.EventReadConfirmed:
		if e.Cause != "" {
			o.readByLease(n, e)
		}
	case raft.EventTransfer:
		o.sawTransfer(n, e)
	case raft.EventLost:
		if e.Peer != raft.None {
			v.match[e.Peer-1] = matchIndex{} // it has to find out anew
		}
		o.w.stats.Forgetting.Noticed++
	case raft.EventInstalled:
		v.handed, v.installing = max(v.handed, e.Entry.Index), false
	}
}

// sawDurable checks what a core believes of its own disk. A state that came with a
// snapshot is as good as the log that led to it: a server that starts again finds
// it, and puts the log behind it.
func (o *oracle) sawDurable(n *node, i raft.Index) {
	if s := n.machine.flushed.installed; s != nil && i <= s.Last.Index {
		return
	}
	if chain, known := n.disk.log.chainAt(i); i > n.disk.log.start.Index && (!known || !o.holds(&n.view.log, i, chain)) {
		o.violated("Durability", "%s takes its log to be durable up to %d, its disk holds another up to %d", n.id, i, n.disk.log.last())
	}
}

// received takes note of what a core hears.
func (o *oracle) received(n *node, m raft.Message) {
	v := &n.view
	switch body := m.Body.(type) {
	case *raft.AppendEntries:
		o.toldOfLoss(n, m.Term, body.Match)
	case *raft.AppendEntriesReply:
		v.replies = true
		if v.leads == m.Term {
			v.confirmations.echoes(v.sender, body.Round)
		}
	case *raft.ReadIndex:
		if v.leads == m.Term {
			v.confirmations.arrives(body.ID, o.w.stats.Steps, body.Lease)
		}
	}
}

// sawRole checks Election Safety: at most one leader is elected in a term. That
// a server is elected twice in a term is no better, for it has crashed and
// forgotten in between.
func (o *oracle) sawRole(n *node, e raft.Event) {
	v := &n.view
	v.leads = 0
	switch e.Role {
	case raft.PreCandidate, raft.Candidate:
		n.campaigns++
		v.campaigned = true
		if a := o.w.attack; a != nil {
			a.campaigns(n)
		}
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
		o.newestTerm = max(o.newestTerm, e.Term)
		v.leads, v.electedIn, v.elected = e.Term, e.Term, true
		v.match = [MaxNodes]matchIndex{}
		v.confirmations = newConfirmations()
		o.countTransfer(n, e.Term)
		o.w.elected(n)
	}
}

// toldCore checks a core's own invariants after each input. What that takes
// grows with what the core keeps in memory, so a core that keeps much is checked
// less often.
func (o *oracle) toldCore(n *node) {
	stride := 1 + len(n.view.log.records)/200
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
	o.sameEnd(n)
	for _, e := range v.newCommits {
		o.commit(n, e)
	}
	if v.campaigned {
		o.stillPledged(n, "stands for election")
		o.mayCampaign(n)
	}
	if v.elected {
		o.leaderCompleteness(n, v.electedIn)
		o.electedByQuorum(n, v.electedIn)
	}
	if v.leads != 0 && (v.replies || v.elected) {
		o.progress(n)
	}
	if out.Apply.First != 0 {
		o.handedToApply(n, out.Apply)
	}
	if n.compacted.Index > v.log.start.Index {
		o.cutsLog(n, n.compacted)
	}
	o.checkInForce(n)
	v.newCommits, v.elected, v.replies, v.campaigned = v.newCommits[:0], false, false, false
}

// sameEnd checks that a core has handed out everything that it has changed in its
// log.
func (o *oracle) sameEnd(n *node) {
	v := &n.view
	last := v.log.lastID()
	if last.Index == 0 {
		return
	}
	term, ok := n.core.TermAt(last.Index)
	if _, more := n.core.TermAt(last.Index + 1); !ok || term != last.Term || more {
		o.violated("Durability", "%s changed its log and wrote nothing: written to %s", n.id, last)
	}
}
