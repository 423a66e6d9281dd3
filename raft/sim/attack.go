package sim

import (
	"slices"

	"balsa/raft"
)

// attack is an attempt to get another leader elected while one has a lease (thesis
// 6.4.1). Somebody goes on reading from the first one meanwhile.
//
// The simple kind cuts the leader off, and tells the others, again and again, that
// the connection is lost. The other kind first takes some voters out of the
// leader's reach. They have promised nothing lately, want an election, and only wait
// for somebody who forgets its promise. Just when one of them asks, the others are
// restarted.
type attack struct {
	*world
	leader      *node
	incarnation int
	// out are the voters out of reach; sprung says that one of them has asked.
	out    []*node
	sprung bool
}

// attackLease begins an attack.
func (w *world) attackLease() {
	leader := w.leader()
	if leader == nil {
		return
	}
	w.stats.Leases.Attacks++
	a := &attack{world: w, leader: leader, incarnation: leader.incarnation}
	w.attack = a
	if w.faultRandom.IntN(2) == 0 {
		a.read() // so that all have promised something by then
	}
	if w.faultRandom.IntN(2) == 0 {
		a.cutOff()
		return
	}
	voters := w.voters()
	for _, i := range w.faultRandom.Perm(len(voters)) {
		if n := voters[i]; n != leader && len(a.out) < (len(voters)-1)/2 {
			a.out = append(a.out, n)
		}
	}
	outOfReach := func(from, to raft.NodeID) bool { return from == leader.id && slices.Contains(a.out, w.node(to)) }
	w.network.cut(func(from, to raft.NodeID) bool {
		return !w.network.link(w.node(from), w.node(to)).cut && !outOfReach(from, to) && !outOfReach(to, from)
	})
	w.healAfter(ticks(5 * w.options.Core.ElectionTicks))
}

// on reports whether the attack still makes sense.
func (a *attack) on() bool {
	return a.chaos && a.leader.incarnation == a.incarnation && a.leader.core.Role() == raft.Leader
}

func (a *attack) read() {
	if a.on() {
		a.act(Action{Verb: LeaseRead, Node: a.leader.id})
	}
}

// campaigns springs the trap when one of those who wait for it wants an election.
func (a *attack) campaigns(n *node) {
	if a.sprung || !slices.Contains(a.out, n) {
		return
	}
	a.sprung = true
	a.plan(a.now, a.read)
	a.plan(a.now+a.faultRandom.between(0, Tick), a.cutOff)
}

// cutOff takes the leader out of everybody's reach.
func (a *attack) cutOff() {
	if !a.on() {
		return
	}
	length := 2 * a.options.Core.ElectionTicks
	a.network.isolate(a.leader)
	a.healAfter(ticks(length))
	if a.sprung || a.faultRandom.IntN(2) == 0 {
		for _, n := range a.voters() {
			if n != a.leader && n.up && !slices.Contains(a.out, n) {
				a.aside(n, "has just answered")
				a.act(Action{Verb: Crash, Node: n.id})
				a.act(Action{Verb: Start, Node: n.id})
			}
		}
	}
	for i := range 2 * length {
		a.plan(a.now+Time(i)*Tick/2, func() {
			a.read()
			for _, n := range a.voters() {
				if n != a.leader && n.up && a.on() {
					a.hint(n, a.leader.id)
				}
			}
		})
	}
}
