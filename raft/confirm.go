package raft

import "slices"

// confirmation is how a leader knows that it still leads.
//
// The leader numbers its rounds of messages. Every AppendEntries carries the
// number of the newest round, every reply echoes it. When a quorum has echoed
// round r, then after round r began a quorum still recognised this leader, and
// so no later leader had been elected when it began. One proof, three uses:
//
//   - it confirms the reads that arrived before round r began (thesis 6.4),
//   - it keeps the leader in office (CheckQuorum, thesis 6.2),
//   - it gives a lower bound for how long no other leader can exist.
//
// A number is not used twice in a term, and a reply of another term never gets
// here, so a late reply can only confirm what it was an answer to. Counting
// "any reply that arrives from now on" would be simpler and wrong: it may be
// the reply to a message that was sent before the read arrived.
type confirmation struct {
	// round is the number of the newest round.
	round uint64
	// begun are the rounds that no quorum has echoed, oldest first.
	begun []begunRound
	// lease says that the newest round is marked: see lease.go.
	lease bool
	// lastConfirmed is the tick at which the newest confirmed round began. At
	// that time, at least, this server was the leader.
	lastConfirmed uint64
}

type begunRound struct {
	round uint64
	tick  uint64
	clock uint64
	lease bool
}

// beginRound begins a round: every member is due to hear from the leader.
func (c *Core) beginRound() {
	c.confirm.round++
	c.confirm.lease = c.wantsLease()
	c.confirm.begun = append(c.confirm.begun, begunRound{c.confirm.round, c.now, c.clock, c.confirm.lease})
	for _, p := range c.peers {
		p.heartbeatDue = true
	}
	c.leadershipConfirmed() // a leader that is the only voter needs nobody else
}

// leadershipConfirmed takes stock of which rounds a quorum has echoed.
func (c *Core) leadershipConfirmed() {
	echoed := c.quorum.reached(func(id NodeID) uint64 {
		if id == c.id {
			return c.confirm.round
		}
		if p := c.peers[id]; p != nil {
			return p.round
		}
		return 0
	})
	n := 0
	for ; n < len(c.confirm.begun) && c.confirm.begun[n].round <= echoed; n++ {
		c.confirm.lastConfirmed = c.confirm.begun[n].tick
		if c.confirm.begun[n].lease {
			c.lease.began, c.lease.held = c.confirm.begun[n].clock, true
		}
	}
	if n == 0 {
		return
	}
	c.confirm.begun = slices.Delete(c.confirm.begun, 0, n)
	c.readsConfirmed(echoed)
}
