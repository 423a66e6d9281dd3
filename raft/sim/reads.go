package sim

import (
	"slices"

	"balsa/raft"
)

// The oracle's judgement of reads (thesis 6.4).

// confirmations is what a leader may conclude from the replies that it got in
// its term: when a quorum has answered a message that left after a read arrived,
// no later leader had committed anything when the read arrived.
type confirmations struct {
	// echoed is the newest round that each disk's server has echoed.
	echoed map[raft.InstanceID]uint64
	// begun says at which step of the simulation messages of a round first left.
	begun []begunRound
	// arrived says when the core was first told of a read.
	arrived map[uint64]arrival
}

type begunRound struct {
	round uint64
	step  int
}

// arrival is the step at which a read arrived, and whether a lease is good enough
// for it.
type arrival struct {
	step    int
	byLease bool
}

func newConfirmations() confirmations {
	return confirmations{echoed: map[raft.InstanceID]uint64{}, arrived: map[uint64]arrival{}}
}

func (c *confirmations) begins(round uint64, step int) {
	if n := len(c.begun); n == 0 || c.begun[n-1].round < round {
		c.begun = append(c.begun, begunRound{round, step})
	}
}

func (c *confirmations) echoes(from raft.InstanceID, round uint64) {
	c.echoed[from] = max(c.echoed[from], round)
}

func (c *confirmations) arrives(read uint64, step int, byLease bool) {
	if _, known := c.arrived[read]; !known {
		c.arrived[read] = arrival{step, byLease}
	}
}

// since reports whether a quorum has echoed a round that began at a step or later.
// The leader itself needs to echo nothing.
func (c *confirmations) since(step int, leader *node, members raft.Configuration) bool {
	i, _ := slices.BinarySearchFunc(c.begun, step, func(b begunRound, step int) int {
		if b.step < step {
			return -1
		}
		return 1
	})
	return decides(members, func(m raft.Member) bool {
		return leader.is(m) || i < len(c.begun) && c.echoed[m.Instance] >= c.begun[i].round
	})
}

// confirmedRead checks that a leader gives a read an index that is committed,
// and only after a quorum has confirmed that it still leads. That may be a quorum
// of the configuration that was in force when this turn began. A read by lease
// needs none, if the leader says that it has a lease.
func (o *oracle) confirmedRead(n *node, id uint64, index raft.Index) {
	v := &n.view
	if index > o.committed() {
		o.violated("Linearizable Reads", "%s gives read %d the index %d, only %d is committed", n.id, id, index, o.committed())
	}
	if v.leads == 0 {
		return
	}
	a, known := v.confirmations.arrived[id]
	switch now, before := v.log.inForce().Configuration, v.before(); {
	case known && (v.confirmations.since(a.step, n, now) || v.confirmations.since(a.step, n, before)):
	case known && a.byLease && v.byLease > 0:
		v.byLease--
	default:
		o.violated("Confirmation", "%s answers read %d, but has not heard from a quorum since it arrived", n.id, id)
	}
}

// readByLease checks that no other leader exists while a leader answers reads
// from its lease. It rests on the clocks: where they drift too much, the lease is
// worth nothing, and what comes of that the reads themselves have to show.
func (o *oracle) readByLease(n *node, e raft.Event) {
	n.view.byLease++
	o.w.stats.Leases.Reads++
	if o.newestTerm > e.Term && !o.w.drifts {
		o.violated("Lease", "%s answers a read from its lease of term %d; %s was elected in term %d", n.id, e.Term, o.leaders[o.newestTerm], o.newestTerm)
	}
}

// askedRead takes note of a read by a client of the node.
func (o *oracle) askedRead(n *node, id uint64, byLease bool) {
	if n.view.leads != 0 {
		n.view.confirmations.arrives(id, o.w.stats.Steps, byLease)
	}
}

// readAnswered checks that a read is answered once, and sees all that had been
// committed anywhere when it was asked for. That is more than linearizability
// needs, and Raft gives it: whatever was acknowledged was committed before.
func (o *oracle) readAnswered(n *node, result raft.ReadResult, r *read) {
	switch {
	case r == nil:
		o.violated("Reads", "%s answers read %d, which is not waiting", n.id, result.ID)
	case result.Failed:
	case result.Index < r.floor:
		o.violated("Linearizable Reads", "%s gives a read the index %d; %d was committed when it was asked for", n.id, result.Index, r.floor)
	case r.asLeader:
		o.confirmedRead(n, result.ID, result.Index)
	}
}
