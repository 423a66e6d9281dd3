package sim

import (
	"slices"

	"balsa/raft"
)

// The oracle's judgement of reads (thesis 6.4).

// confirmations is what a leader may conclude from the replies that it got in
// its term: when a majority has answered a message that left after a read
// arrived, no later leader had committed anything when the read arrived.
type confirmations struct {
	// echoed is the newest round that each node has echoed.
	echoed [MaxNodes]uint64
	// begun says at which step of the simulation messages of a round first left.
	begun []begunRound
	// arrived says at which step the core was first told of a read.
	arrived map[uint64]int
}

type begunRound struct {
	round uint64
	step  int
}

func newConfirmations() confirmations { return confirmations{arrived: map[uint64]int{}} }

func (c *confirmations) begins(round uint64, step int) {
	if n := len(c.begun); n == 0 || c.begun[n-1].round < round {
		c.begun = append(c.begun, begunRound{round, step})
	}
}

func (c *confirmations) arrives(read uint64, step int) {
	if _, known := c.arrived[read]; !known {
		c.arrived[read] = step
	}
}

// newest returns the step at which the newest round began that a majority has
// echoed. The leader itself needs to echo nothing.
func (c *confirmations) newest(leader raft.NodeID, nodes int) int {
	var others []uint64
	for i, round := range c.echoed[:nodes] {
		if raft.NodeID(i+1) != leader {
			others = append(others, round)
		}
	}
	slices.Sort(others)
	// A majority of n is the leader and n/2 others.
	round := others[len(others)-nodes/2]
	i, _ := slices.BinarySearchFunc(c.begun, round, func(b begunRound, round uint64) int {
		if b.round < round {
			return -1
		}
		return 1
	})
	if round == 0 || i == len(c.begun) {
		return -1
	}
	return c.begun[i].step
}

// confirmedRead checks that a leader gives a read an index that is committed,
// and only after a majority has confirmed that it still leads.
func (o *oracle) confirmedRead(n *node, id uint64, index raft.Index) {
	v := &n.view
	if index > o.committed() {
		o.violated("Linearizable Reads", "%s gives read %d the index %d, only %d is committed", n.id, id, index, o.committed())
	}
	if v.leads == 0 || len(o.w.nodes) == 1 {
		return
	}
	if arrived, known := v.confirmations.arrived[id]; !known || v.confirmations.newest(n.id, len(o.w.nodes)) < arrived {
		o.violated("Confirmation", "%s answers read %d, but has not heard from a majority since it arrived", n.id, id)
	}
}

// askedRead takes note of a read by a client of the node.
func (o *oracle) askedRead(n *node, id uint64) {
	if n.view.leads != 0 {
		n.view.confirmations.arrives(id, o.w.stats.Steps)
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
