package raft

// What the host asks for and reports: see [Output] for its duties.

// TakeOutput returns what the core wants done since the last call.
func (c *Core) TakeOutput() Output {
	if c.role == Leader {
		c.startReads()
		c.replicate()
		c.requestSnapshots()
	}
	if c.hardStateDirty || c.log.needsWrite() {
		c.lastWrite++
		hs := HardState{CurrentTerm: c.currentTerm, VotedFor: c.votedFor, Promised: c.promiseNoted}
		c.out.Write = c.log.nextWrite(c.lastWrite, hs, newer(c.log.lastID(), c.lost))
		c.hardStateDirty = false
	}
	c.out.Apply = c.nextApply()
	c.out.Install = c.nextInstall()
	out := c.out
	c.out = Output{}
	if c.cfg.Trace != nil {
		c.traceOutput(out)
	}
	return out
}

// Written reports that every write up to id is durable.
func (c *Core) Written(id WriteID) {
	if term := c.log.written(id); term != 0 {
		c.durableTerm = term
	}
	c.trace(Event{Kind: EventDurable, Last: c.log.durable})
	if c.role == Leader {
		c.maybeCommit()
	}
	c.log.trim(min(c.lastApplied, c.log.durable), c.cfg.CacheBytes)
}

// nextApply hands out the next committed entries once the previous ones are
// applied. An entry is applied only when it is also on this server's own disk,
// so that the state machine can never be ahead of the log that explains it.
func (c *Core) nextApply() Apply {
	end := min(c.commitIndex, c.log.durable)
	if c.installing != nil || c.handedApply > c.lastApplied || c.handedApply >= end {
		return Apply{}
	}
	apply := Apply{First: c.handedApply + 1, Last: end} // rule:apply.order §5.3 one after the other, without a gap
	if entries := c.log.upTo(apply.First, end, c.cfg.MaxApplyBytes); entries != nil {
		apply.Entries, apply.Last = entries, entries[len(entries)-1].Index
	} else {
		apply.Last = min(end, c.log.tailFirst()-1)
	}
	c.handedApply = apply.Last
	return apply
}

// Applied reports that the state machine has applied all entries up to i.
func (c *Core) Applied(i Index) {
	if i > c.handedApply {
		broken("index %d applied, only %d was handed out", i, c.handedApply)
	}
	c.lastApplied = max(c.lastApplied, i)
	c.log.trim(min(c.lastApplied, c.log.durable), c.cfg.CacheBytes)
}

// send queues a message that need not wait for the disk, except for a term that
// is not durable yet: no message carries one of those.
func (c *Core) send(to NodeID, body Body) { c.sendInTerm(to, c.currentTerm, body) }

func (c *Core) sendInTerm(to NodeID, term Term, body Body) {
	if c.durableTerm < c.currentTerm {
		c.sendAfterWrite(to, term, body)
		return
	}
	c.out.Send = append(c.out.Send, Message{From: c.id, To: to, Term: term, Body: body})
}

// sendAfterWrite queues a message that must not leave before everything that
// has been decided so far is durable.
func (c *Core) sendAfterWrite(to NodeID, term Term, body Body) {
	c.out.SendAfterWrite = append(c.out.SendAfterWrite, Message{From: c.id, To: to, Term: term, Body: body})
}

// Status is a copy of what is worth knowing about a core from outside.
type Status struct {
	ID          NodeID
	Role        Role
	CurrentTerm Term
	VotedFor    NodeID
	// Leader is whom this server follows, itself if it leads, or None.
	Leader      NodeID
	CommitIndex Index
	LastApplied Index
	// FirstIndex is the first entry that the log still holds.
	FirstIndex   Index
	LastIndex    Index
	DurableIndex Index
	// Configuration is the one in force, from the entry at ConfigurationIndex. It
	// is committed, and a change of members done, if that is not above
	// CommitIndex and the configuration is not joint.
	Configuration      Configuration
	ConfigurationIndex Index
	// TransferTo is whom leadership is being handed over to, or None.
	TransferTo NodeID
	// Lost is the last entry of what this server has lost and has yet to receive
	// again; zero: nothing. See recovering.go.
	Lost EntryID
	// Peers is, on the leader only, what it knows of each other member, in
	// ascending order of ID.
	Peers []PeerStatus
}

// PeerStatus is what a leader knows of another member.
type PeerStatus struct {
	ID         NodeID
	MatchIndex Index
	NextIndex  Index
	// State is probe, replicate or snapshot.
	State string
	// TicksSinceReply is how long ago the member was last heard; since this
	// leader took office if it was not heard at all.
	TicksSinceReply int
}

// Status returns a copy of the present state.
func (c *Core) Status() Status {
	s := Status{
		ID: c.id, Role: c.role, CurrentTerm: c.currentTerm, VotedFor: c.votedFor, Leader: c.leader,
		CommitIndex: c.commitIndex, LastApplied: c.lastApplied,
		FirstIndex: c.log.start.Index + 1, LastIndex: c.log.last, DurableIndex: c.log.durable,
		Configuration:      c.log.configuration().clone(),
		ConfigurationIndex: c.log.latestConfiguration().Index,
		TransferTo:         c.transfer.to,
		Lost:               c.lost,
	}
	if c.role != Leader {
		return s
	}
	for _, id := range c.members {
		p := c.peers[id]
		s.Peers = append(s.Peers, PeerStatus{
			ID: id, MatchIndex: p.match, NextIndex: p.next, State: p.state.String(),
			TicksSinceReply: int(c.now - p.lastReply),
		})
	}
	return s
}

// Role returns what this server currently is.
func (c *Core) Role() Role { return c.role }

// Leader returns whom this server follows, itself if it leads, or None.
func (c *Core) Leader() NodeID { return c.leader }

// Term returns the current term.
func (c *Core) Term() Term { return c.currentTerm }

// CommitIndex returns up to where the log is known to be committed.
func (c *Core) CommitIndex() Index { return c.commitIndex }

// Configuration returns the configuration in force and the index of its entry.
// It is shared with the core: nobody may write to it.
func (c *Core) Configuration() IndexedConfiguration { return c.log.latestConfiguration() }

// TransferringTo returns whom leadership is being handed over to, or None.
func (c *Core) TransferringTo() NodeID { return c.transfer.to }

// TermAt returns the term of the entry at index i, if the log holds it.
func (c *Core) TermAt(i Index) (Term, bool) { return c.log.term(i) }
