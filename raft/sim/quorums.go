package sim

import (
	"slices"

	"balsa/raft"
)

// The oracle counts for itself who decides, from what it knows of every disk. It
// shares no code with package raft, and counts disks, not ids: what a server
// with another disk says under a member's id counts for nothing.

// decides reports whether the members for which yes is true are a quorum of a
// configuration: a majority of its voters and, if it is joint, a majority of the
// old ones as well (§6).
func decides(c raft.Configuration, yes func(raft.Member) bool) bool {
	voters, old, votersFor, oldFor := 0, 0, 0, 0
	for _, m := range c.Members {
		if !m.Votes && !m.VotedBefore {
			continue
		}
		says := yes(m)
		if m.Votes {
			voters++
			votersFor += count(says)
		}
		if m.VotedBefore {
			old++
			oldFor += count(says)
		}
	}
	return 2*votersFor > voters && (old == 0 || 2*oldFor > old)
}

// left is a joint configuration when it has been left: its old voters do not count.
func left(c raft.Configuration) raft.Configuration {
	members := slices.Clone(c.Members)
	for i := range members {
		members[i].VotedBefore = false
	}
	return raft.Configuration{Members: members}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// holder returns a function that says who has a log on disk, or has lost it and
// says so.
func (o *oracle) holder(i raft.Index, chain uint64) func(raft.Member) bool {
	return func(m raft.Member) bool { return o.pledgedTo(m, i, chain) }
}

// heldByQuorum checks that what a leader commits is on the disks of a quorum of
// the configuration that it decides by. Learners do not count.
func (o *oracle) heldByQuorum(n *node, i raft.Index, chain uint64) {
	c := n.view.log.inForce().Configuration
	// In the turn in which a configuration is committed its successor follows.
	if before := n.view.before(); !decides(c, o.holder(i, chain)) && !decides(before, o.holder(i, chain)) {
		o.violated("Durability", "%s commits %s, which is not on a quorum of the disks of %s", n.id, n.view.log.id(i), c)
	}
}

// electedByQuorum checks that a leader has the votes of a quorum.
func (o *oracle) electedByQuorum(n *node, term raft.Term) {
	c := n.view.log.inForce().Configuration
	votes := func(m raft.Member) bool { return o.votes[ballot{m.Instance, term}] == n.id }
	if !decides(c, votes) {
		o.violated("Election Quorum", "%s leads term %d without the votes of a quorum of %s", n.id, term, c)
	}
}

// mayCampaign checks that who stands for election is a voter, with the disk that it
// has, in the newest configuration that it knew to be committed or in a later one
// (thesis 4.2.2).
func (o *oracle) mayCampaign(n *node) {
	v := &n.view
	// It may have stood for election before or after its log changed in this turn.
	for _, configurations := range [][]raft.IndexedConfiguration{v.log.configurations, v.began.configurations} {
		for len(configurations) > 1 && configurations[1].Index <= v.began.commit {
			configurations = configurations[1:]
		}
		for _, c := range configurations {
			if m, _ := c.Configuration.Member(n.id); (m.Votes || m.VotedBefore) && n.is(m) {
				return
			}
		}
	}
	o.violated("Campaign", "%s stands for election; no configuration that may be in force has it as a voter: %s", n.id, v.log.inForce().Configuration)
}

// stillHeld checks that what is committed stays where it makes a difference: on a
// quorum of the newest committed configuration, of the one that follows it, or, if
// that is joint, of those who vote after it. A leader that has committed the joint
// configuration commits what comes next by the votes of these alone, and the entry
// that says so may be lost with it; nobody is elected without a majority of them.
func (o *oracle) stillHeld(why string) {
	i, newest := o.committed(), o.newestConfiguration()
	holds := o.holder(i, o.committedChain(i))
	if decides(newest.Configuration, holds) || decides(left(newest.Configuration), holds) {
		return
	}
	for _, n := range o.w.nodes {
		if log := n.logNow(); o.holds(log, newest.Index, newest.chain) && log.inForce().Index > newest.Index && decides(log.inForce().Configuration, holds) {
			return
		}
	}
	o.violated("Durability", "what is committed up to %d is not on a quorum of the disks of %s%s", i, newest.Configuration, why)
}

// logNow is the newest log of a node, be it up or down.
func (n *node) logNow() *storedLog {
	if n.up {
		return &n.view.log
	}
	return n.survives().log
}
