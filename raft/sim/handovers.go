package sim

import (
	"slices"

	"balsa/raft"
)

// The oracle's judgement of transfers of leadership (thesis 3.10).

// sawTransfer counts the transfers that begin and those that are given up.
func (o *oracle) sawTransfer(n *node, e raft.Event) {
	if e.Cause == "" {
		o.w.stats.Transfers.Begun++
		n.view.successors = append(n.view.successors, e.Peer)
	} else {
		o.w.stats.Transfers.GivenUp++
	}
}

// sentOrder checks that a leader, and only a leader, orders its successor to take
// over, and only when that one has its whole log on disk, as it was at the beginning
// of the turn: the leader may append the end of a joint configuration after it has
// given the order. One that retires may call anybody, but retires only when it is no
// voter of a configuration that is committed (§6).
func (o *oracle) sentOrder(n *node, m raft.Message) {
	o.w.stats.Transfers.Orders++
	if o.leaders[m.Term] != n.id {
		o.violated("Transfer", "%s sends %s, but the leader of term %d is %s", n.id, m, m.Term, o.leaders[m.Term])
	}
	o.orders[order{m.To, m.Term}] = true
	v := &n.view
	members := v.log.inForce()
	successor, _ := members.Configuration.Member(m.To)
	remains := o.remains(successor)
	complete := remains.hardState.CurrentTerm > m.Term || o.believedOf(successor, v.began.last, v.began.chain)
	own, _ := members.Configuration.Member(n.id)
	retires := members.Index <= v.commit && !own.Votes && !own.VotedBefore
	ordered := slices.Contains(v.successors, m.To)
	switch {
	case ordered && complete:
	case retires:
		o.w.stats.Transfers.Retired++
	case ordered:
		o.violated("Transfer", "%s sends %s, whose disk ends with %s; the leader's log ended with %d when it decided that", n.id, m, remains.log.lastID(), v.began.last)
	default:
		o.violated("Transfer", "%s sends %s, but hands over to %v; %s (entry %d) is in force, %d is committed", n.id, m, v.successors, members.Configuration, members.Index, v.commit)
	}
}

// countTransfer counts the elections that were ordered.
func (o *oracle) countTransfer(n *node, term raft.Term) {
	if o.orders[order{n.id, term - 1}] {
		o.w.stats.Transfers.Succeeded++
	}
}
