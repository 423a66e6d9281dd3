package raft

import "fmt"

// CheckInvariants returns an error that names the first thing about this core
// that must never be so. The simulator and the tests call it after every step;
// what it takes is proportional to the memory that the core uses. What must
// hold between cores (Figure 3) only a simulator can see.
func (c *Core) CheckInvariants() error {
	checks := []struct {
		ok   bool
		what string
	}{
		{c.lastApplied <= c.handedApply, "lastApplied <= what was handed out to apply"},
		{c.handedApply <= c.commitIndex, "what was handed out to apply <= commitIndex"},
		{c.commitIndex <= c.log.last, "commitIndex <= last index"},
		{c.verified <= c.log.last, "verified <= last index"},
		{c.log.start.Index <= c.commitIndex, "start of the log <= commitIndex"},
		{c.log.durable <= c.log.handedOut, "durable <= handed out"},
		{c.log.handedOut <= c.log.last, "handed out <= last index"},
		{c.log.lastID().Term <= c.currentTerm, "last term <= currentTerm"},
		{c.role != Leader || c.leader == c.id, "a leader follows itself"},
		{c.role != Leader || c.log.lastID().Term == c.currentTerm, "a leader has an entry of its own term"},
		{c.role != Candidate || c.votedFor == c.id, "a candidate has voted for itself"},
		{c.role == Leader || c.peers == nil, "only a leader has followers"},
		{c.role == Leader || c.reads.waiting == nil && c.reads.confirming == nil, "only a leader confirms reads"},
		{c.uncommittedBytes >= 0, "uncommitted bytes >= 0"},
		{c.role != Leader || c.commitIndex < c.log.last || c.uncommittedBytes == 0, "all committed: no uncommitted bytes"},
	}
	for _, check := range checks {
		if !check.ok {
			return fmt.Errorf("%s: broken invariant: %s", c.id, check.what)
		}
	}
	if err := c.log.checkInvariants(); err != nil {
		return fmt.Errorf("%s: %w", c.id, err)
	}
	for _, id := range c.members {
		if p := c.peers[id]; p != nil {
			if err := p.checkInvariants(c.log.last); err != nil {
				return fmt.Errorf("%s: progress of %s: %w", c.id, id, err)
			}
		}
	}
	return nil
}

func (l *raftLog) checkInvariants() error {
	next := l.tailFirst()
	bytes := 0
	for _, e := range l.tail {
		if term, _ := l.term(e.Index); e.Index != next || e.Term != term {
			return fmt.Errorf("broken invariant: entry %s in memory where %d/t%d should be", e.ID(), next, term)
		}
		bytes += e.Size()
		next++
	}
	if bytes != l.tailBytes {
		return fmt.Errorf("broken invariant: %d bytes in memory, counted %d", bytes, l.tailBytes)
	}
	previous := TermSpan{Term: l.start.Term, First: l.start.Index}
	for _, span := range l.spans {
		if span.First <= previous.First || span.Term < previous.Term || span.First > l.last {
			return fmt.Errorf("broken invariant: span %v after %v, log ends at %d", span, previous, l.last)
		}
		previous = span
	}
	for i := 1; i < len(l.inFlight); i++ {
		if l.inFlight[i].id <= l.inFlight[i-1].id {
			return fmt.Errorf("broken invariant: write %d in flight after %d", l.inFlight[i].id, l.inFlight[i-1].id)
		}
	}
	return nil
}

func (p *progress) checkInvariants(lastIndex Index) error {
	bytes := 0
	for _, sent := range p.window {
		bytes += sent.bytes
	}
	switch {
	case p.match >= p.next:
		return fmt.Errorf("broken invariant: match %d >= next %d", p.match, p.next)
	case p.next > lastIndex+1:
		return fmt.Errorf("broken invariant: next %d is beyond the last entry %d", p.next, lastIndex)
	case bytes != p.windowBytes:
		return fmt.Errorf("broken invariant: %d bytes in the window, counted %d", bytes, p.windowBytes)
	case p.state != replicating && len(p.window) > 0:
		return fmt.Errorf("broken invariant: messages in the window in state %s", p.state)
	}
	return nil
}
