package sim

import (
	"slices"

	"balsa/raft"
)

// What a cluster that has recovered must be able to do: ignore lies, hand over
// leadership, go on if that fails, and change its members.

// checkLies checks that false news of a lost connection do not depose a leader
// whom the others hear.
func (w *world) checkLies(group []*node) {
	leaders, pause := w.stats.Leaders, 2*w.timeout()
	for range 3 {
		if w.failure != nil {
			return
		}
		n, leader := group[w.choose(len(group))], w.leader()
		if n != leader {
			n.receive(func() { n.core.ConnectionLost(leader.id) })
		}
		w.until(w.now+pause, nil)
	}
	if w.stats.Leaders > leaders {
		w.violated("Liveness", "a leader was deposed by false news")
	}
}

// checkTransfer checks that a leader hands over to another voter within an
// election timeout, and that the cluster goes on.
func (w *world) checkTransfer(group []*node) {
	if w.failure != nil {
		return
	}
	leader := agreedLeader(group)
	var others []*node
	for _, n := range group {
		if m, _ := leader.view.log.inForce().Configuration.Member(n.id); m.Votes && n != leader {
			others = append(others, n)
		}
	}
	if len(others) == 0 {
		return
	}
	to := others[w.choose(len(others))]
	leader.receive(func() { leader.transferLeadership(to.id) })
	if !w.until(w.now+w.timeout(), func() bool { return agreedLeader(group) == to }) {
		w.notLive("leadership was not transferred from "+leader.id.String()+" to "+to.id.String(), w.noHardship())
	}
}

// checkHopelessTransfer asks for a transfer to a voter that cannot answer. The
// leader must go on when it has waited for an election timeout.
func (w *world) checkHopelessTransfer(h hardship) {
	leader := w.leader()
	if w.failure != nil || leader == nil {
		return
	}
	lost := slices.DeleteFunc(w.voters(), func(n *node) bool { return !slices.Contains(h.down, n) })
	if len(lost) == 0 {
		return
	}
	leader.receive(func() { leader.transferLeadership(lost[0].id) })
	w.until(w.now+w.timeout()+3*Tick, nil)
	w.checkProgress(h)
}

// checkChange checks that a cluster that works can change its members: it gets rid
// of a member that is gone, or of a learner, or takes in another server, or makes
// a voter a learner. In the end it must work as before.
func (w *world) checkChange(h hardship) {
	if w.failure != nil {
		return
	}
	leader := w.leader()
	c := leader.view.log.inForce()
	change := raft.Change{Basis: c.Index}
	gone := slices.IndexFunc(c.Configuration.Members, func(m raft.Member) bool { return !w.node(m.ID).is(m) })
	newcomer := slices.IndexFunc(w.nodes, func(n *node) bool {
		_, known := c.Configuration.Member(n.id)
		return !known && !c.Configuration.WasRemoved(n.id, n.instance)
	})
	voters := c.Configuration.Voters()
	switch {
	case gone >= 0:
		change.Remove = []raft.NodeID{c.Configuration.Members[gone].ID}
	case newcomer >= 0:
		change.Set = []raft.Member{w.nodes[newcomer].member(false)}
	case len(voters) > 1:
		m, _ := c.Configuration.Member(voters[w.choose(len(voters))])
		change.Set = []raft.Member{withVote(m, false)}
	default:
		return
	}
	done := func() bool {
		newest := w.oracle.newestConfiguration()
		return newest.Index > c.Index && !newest.Configuration.Joint()
	}
	// A leader that has just been elected refuses the first time.
	for deadline := w.now + 4*w.timeout(); !w.until(min(deadline, w.now+2*Tick), done) && w.failure == nil; {
		if w.now >= deadline {
			w.notLive("a change of members was not made", h)
			return
		}
		if leader.view.log.inForce().Index == c.Index {
			leader.receive(func() { leader.changeMembers(change) })
		}
	}
	w.checkProgress(h)
}
