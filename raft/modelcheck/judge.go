package modelcheck

import (
	"fmt"
	"slices"

	"balsa/raft"
)

// The judge sees the whole world, and checks what Raft promises about it (Figure 3).
// It shares no code with package raft.

func (x *step) violated(rule, format string, args ...any) {
	if x.wrong == nil {
		x.wrong = &Violation{Rule: rule, What: fmt.Sprintf(format, args...)}
	}
}

// server is the one with an index, in the next world.
func (x *step) server(i int) *server { return x.c.servers.things[x.next.servers[i]] }

func (x *step) view(i int) *view { return &x.c.views[x.next.servers[i]] }

// judge checks what has happened to a server.
func (x *step) judge(i int, before serverRef, o *outcome) {
	for _, f := range o.facts {
		switch f.kind {
		case factElected:
			x.elected(i, f.term)
		case factVoted:
			x.voted(i, f)
		case factCommitted:
			x.committed(i, f, x.c.servers.things[before])
		case factApplied:
			if !x.history.isCommitted(f.index, f.chain) {
				x.violated("State Machine Safety", "n%d has applied up to %d what is not what was committed", i+1, f.index)
			}
		case factSnapshot, factCompacted:
			if f.index > 0 && (!x.history.isCommitted(f.index, f.chain) || x.history.commits[f.index-1].entry.Term != f.term) {
				x.violated("Snapshots", "n%d replaces its log up to %d of term %d; that was not committed", i+1, f.index, f.term)
			}
		case factAnswered:
			x.answered(i, f.read)
		}
	}
	if o.after == before || x.wrong != nil {
		return
	}
	x.logMatching(i)
	x.matchIndexes(i)
	x.inForce(i)
}

// elected checks Election Safety: at most one leader in a term.
func (x *step) elected(i int, term raft.Term) {
	y := x.change()
	for _, l := range y.leaders {
		if l.term == term {
			x.violated("Election Safety", "n%d is elected in term %d, %s was before", i+1, term, l.node)
			return
		}
	}
	y.leaders = append(slices.Clone(y.leaders), leaderOf{term: term, node: raft.NodeID(i + 1)})
	slices.SortFunc(y.leaders, compareLeaders)
	x.leaderCompleteness(i, term)
}

// leaderCompleteness checks that the leader of a term has all that was first committed
// in earlier terms. What a leader of a later term has committed it need not have: it
// may have been elected late, by votes that were long under way.
func (x *step) leaderCompleteness(i int, term raft.Term) {
	y := x.history
	for n := y.committed(); n > 0; n-- {
		if y.commits[n-1].leader >= term {
			continue
		}
		if !x.server(i).log.holds(n, y.chainAt(n)) {
			x.violated("Leader Completeness", "n%d leads term %d without the entry %s, which was committed in term %d",
				i+1, term, y.commits[n-1].entry.ID(), y.commits[n-1].leader)
		}
		return
	}
}

// voted checks that a server tells of one vote in a term, over all its lives.
func (x *step) voted(i int, f fact) {
	ballot := leaderOf{term: f.term, node: f.node, voter: raft.NodeID(i + 1)}
	for _, l := range x.history.votes {
		if l.term == f.term && l.voter == ballot.voter && l.node != f.node {
			x.violated("One Vote", "%s tells %s that it votes for it in term %d, and has told %s the same", ballot.voter, f.node, f.term, l.node)
			return
		}
	}
	disk := x.server(i).disk.hardState
	if known := disk.CurrentTerm > f.term || disk.CurrentTerm == f.term && disk.VotedFor == f.node; known || slices.Contains(x.history.votes, ballot) {
		return
	}
	y := x.change()
	y.votes = append(slices.Clone(y.votes), ballot)
	slices.SortFunc(y.votes, compareLeaders)
}

// committed judges that a server has set its commitIndex. Whoever commits an index, it
// is the same entry (State Machine Safety). The first to commit it is a leader, a
// quorum of the disks holds it then, and every leader of a later term has it.
func (x *step) committed(i int, f fact, before *server) {
	y, n := x.history, f.index
	if n > f.log.last() {
		x.violated("State Machine Safety", "n%d commits index %d, its log ends at %d", i+1, n, f.log.last())
		return
	}
	chain, _ := f.log.chainAt(n)
	if n <= y.committed() {
		if !y.isCommitted(n, chain) {
			x.violated("State Machine Safety", "n%d commits %s, which is not what was committed at that index", i+1, f.log.id(n))
		}
		x.committedLate(n, f)
		return
	}
	if f.role != raft.Leader {
		x.violated("State Machine Safety", "n%d, a %s, commits index %d before any leader", i+1, f.role, n)
		return
	}
	if !f.log.holds(y.committed(), y.chainAt(y.committed())) {
		x.violated("State Machine Safety", "n%d commits up to %s, but its log lacks what was committed at %d", i+1, f.log.id(n), y.committed())
		return
	}
	y = x.change()
	for next := y.committed() + 1; next <= n; next++ {
		y.commits = append(slices.Clip(y.commits), commit{f.log.at(next), f.term})
	}
	x.onQuorum(i, n, chain, f.log.inForce().Configuration, before.log.inForce().Configuration)
	for other := range x.c.scope.servers() {
		if v := x.view(other); v.role == raft.Leader && v.term > f.term {
			x.leaderCompleteness(other, v.term)
		}
	}
}

// committedLate takes note of a leader that commits what a later leader has committed
// before it: by acknowledgements that were long under way.
func (x *step) committedLate(n raft.Index, f fact) {
	if f.role != raft.Leader || x.history.commits[n-1].leader <= f.term {
		return
	}
	y := x.change()
	y.commits = slices.Clone(y.commits)
	for ; n > 0 && y.commits[n-1].leader > f.term; n-- {
		y.commits[n-1].leader = f.term
	}
}

// onQuorum checks that what a leader commits is on the disks of a quorum of the
// configuration that it decides by. A turn that commits a configuration may append the
// next one: then it decided by the one before. A server that has lost the entry, and
// knows it, counts: it lets nobody win an election who lacks it.
func (x *step) onQuorum(i int, n raft.Index, chain uint64, now, before raft.Configuration) {
	id := x.history.commits[n-1].entry.ID()
	held := func(m raft.Member) bool {
		if int(m.ID) > x.c.scope.servers() {
			return false
		}
		lost := x.view(int(m.ID) - 1).lost
		return x.server(int(m.ID)-1).durable().holds(n, chain) ||
			lost.Term > id.Term || lost.Term == id.Term && lost.Index >= id.Index
	}
	if !decides(now, held) && !decides(before, held) {
		x.violated("Durability", "n%d commits %d, which is not on a quorum of the disks of %s", i+1, n, now)
	}
}

// decides reports whether the members for which yes is true are a quorum of a
// configuration: a majority of its voters and, if it is joint, a majority of the old
// ones as well (§6).
func decides(c raft.Configuration, yes func(raft.Member) bool) bool {
	voters, old, votersFor, oldFor := 0, 0, 0, 0
	for _, m := range c.Members {
		says := 0
		if (m.Votes || m.VotedBefore) && yes(m) {
			says = 1
		}
		if m.Votes {
			voters++
			votersFor += says
		}
		if m.VotedBefore {
			old++
			oldFor += says
		}
	}
	return 2*votersFor > voters && (old == 0 || 2*oldFor > old)
}

// answered checks that a read sees all that was committed when it was asked for. That
// is more than linearizability needs, and Raft gives it: whatever was acknowledged was
// committed before.
func (x *step) answered(i int, r raft.ReadResult) {
	at := slices.IndexFunc(x.history.reads, func(p pendingRead) bool { return p.id == r.ID })
	if at < 0 || x.history.reads[at].from != raft.NodeID(i+1) {
		x.violated("Reads", "n%d answers read %d, which is not waiting there", i+1, r.ID)
		return
	}
	floor := x.history.reads[at].floor
	y := x.change()
	y.reads = slices.Delete(slices.Clone(y.reads), at, at+1)
	switch {
	case r.Failed:
	case r.Index < floor:
		x.violated("Linearizable Reads", "n%d gives read %d the index %d; %d was committed when it was asked for", i+1, r.ID, r.Index, floor)
	case r.Index > y.committed():
		x.violated("Linearizable Reads", "n%d gives read %d the index %d; only %d is committed", i+1, r.ID, r.Index, y.committed())
	}
}

// logMatching checks that a log that has an entry in common with another one is equal
// to it up to there.
func (x *step) logMatching(i int) {
	mine := &x.server(i).log
	for other := range x.c.scope.servers() {
		log := &x.server(other).log
		if other == i {
			continue
		}
		for n := min(mine.last(), log.last()); n > 0; n-- {
			a, b := mine.at(n), log.at(n)
			if a.entry.Term == b.entry.Term && a.chain != b.chain {
				x.violated("Log Matching", "the logs of n%d and n%d both hold %s, but are not equal up to it", i+1, other+1, a.entry.ID())
			}
		}
	}
}

// matchIndexes checks what leaders believe of others: their disks hold the leader's log
// up to their match index, unless they have moved on to a later term, or have lost
// something and know it.
func (x *step) matchIndexes(i int) {
	for leader := range x.c.scope.servers() {
		v := x.view(leader)
		if v.role != raft.Leader {
			continue
		}
		for other := range x.c.scope.servers() {
			match := v.match[other]
			if leader != i && other != i || match == 0 || x.view(other).durable > v.term || x.view(other).lost != (raft.EntryID{}) {
				continue
			}
			log := &x.server(leader).log
			chain, known := log.chainAt(match)
			if !known || !x.server(other).durable().holds(match, chain) {
				x.violated("Match Index", "n%d believes that the disk of n%d holds its log up to %d; that disk ends at %d",
					leader+1, other+1, match, x.server(other).durable().last())
			}
		}
	}
}
