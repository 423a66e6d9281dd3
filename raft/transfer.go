package raft

import "errors"

// Handing over leadership (thesis 3.10). The leader stops taking proposals,
// brings the successor's log up to its own last entry, and tells it to start an
// election at once. The successor then has an up-to-date log and a head start of
// an election timeout, so it nearly always wins.
//
// Nothing is lost if it does not. If the successor is still not leading after
// an election timeout, the leader takes proposals again (thesis 3.10 names this
// as the way out); the order that it has given stays valid, though, and may
// still be carried out when it arrives late.

// transfer is a handover under way.
type transfer struct {
	to      NodeID // None: there is none
	started uint64 // the tick at which it was
}

// ErrTransferring means that the leader is handing over: who leads will be known
// within an election timeout.
var ErrTransferring = errors.New("raft: leadership is being transferred")

// ErrNoSuccessor means that leadership cannot be transferred to that server: it
// does not vote, is this server itself, or there is nobody.
var ErrNoSuccessor = errors.New("raft: no such voter to transfer leadership to")

// TransferLeadership begins to hand over to the given voter or, for None, to the
// one whose log is longest. Whether it succeeds shows in who leads an election
// timeout later. It fails with ErrNotLeader, ErrTransferring or ErrNoSuccessor.
func (c *Core) TransferLeadership(to NodeID) error {
	if c.role != Leader {
		return ErrNotLeader
	}
	if c.transfer.to != None {
		return ErrTransferring
	}
	if to == None {
		to = c.mostAdvancedVoter()
	}
	if m, ok := c.log.configuration().Member(to); !ok || !m.Votes || to == c.id {
		return ErrNoSuccessor
	}
	c.transfer = transfer{to: to, started: c.now}
	c.trace(Event{Kind: EventTransfer, Peer: to})
	c.continueTransfer()
	return nil
}

// mostAdvancedVoter returns the other voter with the longest matching log, among
// those who were heard lately; or None.
func (c *Core) mostAdvancedVoter() NodeID {
	best := None
	for _, m := range c.log.configuration().Members {
		p := c.peers[m.ID]
		if !m.Votes || p == nil || c.now-p.lastReply > uint64(c.cfg.ElectionTicks) {
			continue
		}
		if best == None || p.match > c.peers[best].match {
			best = m.ID
		}
	}
	return best
}

// continueTransfer gives the order as soon as the successor has everything.
func (c *Core) continueTransfer() {
	p := c.peers[c.transfer.to]
	if p == nil || p.match < c.log.last {
		return
	}
	c.surrenderLease()
	c.send(c.transfer.to, &TimeoutNow{}) // rule:transfer.order thesis 3.10 the successor has the whole log
}

// tickTransfer gives up on a successor that does not take over.
func (c *Core) tickTransfer() {
	if c.transfer.to != None && c.now-c.transfer.started >= uint64(c.cfg.ElectionTicks) {
		c.trace(Event{Kind: EventTransfer, Peer: c.transfer.to, Cause: "given up"})
		c.transfer = transfer{} // rule:transfer.abort thesis 3.10 after an election timeout the leader goes on
	}
}

// handleTimeoutNow obeys the leader of this term. An order of an earlier term
// does not get here.
func (c *Core) handleTimeoutNow(m Message) {
	if c.role == Leader || !c.mayCampaign() {
		c.ignore(m, "cannot lead")
		return
	}
	c.startElection(true)
}
