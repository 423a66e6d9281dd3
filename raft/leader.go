package raft

import "errors"

// Errors of [Core.Propose]. In each case nothing was appended.
var (
	ErrNotLeader          = errors.New("raft: not the leader")
	ErrTooMuchUncommitted = errors.New("raft: too much is waiting to be committed")
	ErrTooLarge           = errors.New("raft: a command is longer than MaxEntryData")
)

// becomeLeader takes office: every follower's log is taken to match up to the
// leader's last entry until it says otherwise, and a no-op is appended, whose
// commitment commits all that earlier terms have left behind (§8).
func (c *Core) becomeLeader() {
	c.failReads()
	c.role, c.leader = Leader, c.id
	c.ballots = nil
	c.electionElapsed, c.heartbeatElapsed = 0, 0
	c.peers = make(map[NodeID]*progress, len(c.members))
	for _, id := range c.members {
		c.peers[id] = newProgress(c.log.last, c.now, 1)
	}
	c.uncommittedBytes = 0
	c.confirm = confirmation{lastConfirmed: c.now}
	c.lease = lease{}
	c.trace(Event{Kind: EventRole})
	c.appendToLog(NewEntry(EntryID{c.currentTerm, c.log.last + 1}, EntryNoop, nil)) // rule:commit.noop §8 something of the own term to commit
	c.beginRound()                                                                  // rule:elect.announce §5.2 tell everyone at once
}

func (c *Core) tickLeader() {
	if c.now-c.confirm.lastConfirmed >= uint64(2*c.cfg.ElectionTicks) {
		// CheckQuorum: a leader that no quorum answers is of no use, and the
		// others have probably elected another one (thesis 6.2).
		c.trace(Event{Kind: EventQuorumLost})
		c.becomeFollower(c.currentTerm, None)
		return
	}
	c.tickTransfer()
	c.heartbeatElapsed++
	if c.heartbeatElapsed >= c.cfg.HeartbeatTicks {
		c.heartbeatElapsed = 0
		c.beginRound() // rule:append.heartbeat §5.2 in idle periods too
	}
}

// Propose appends commands, at least one, to a leader's log, in order, and
// returns the identity of the first one's entry. A command takes effect if and
// only if the entry that is committed at its index has its term.
func (c *Core) Propose(commands ...[]byte) (EntryID, error) {
	if c.role != Leader {
		return EntryID{}, ErrNotLeader
	}
	if c.transfer.to != None {
		return EntryID{}, ErrTransferring
	}
	if c.uncommittedBytes > c.cfg.MaxUncommittedBytes {
		return EntryID{}, ErrTooMuchUncommitted
	}
	size := 0
	for _, command := range commands {
		if len(command) > MaxEntryData {
			return EntryID{}, ErrTooLarge
		}
		size += EntryOverhead + len(command)
	}
	first := EntryID{Term: c.currentTerm, Index: c.log.last + 1}
	entries := make([]Entry, len(commands))
	buf := make([]byte, 0, size) // one allocation for all of them
	for i, command := range commands {
		id := EntryID{Term: first.Term, Index: first.Index + Index(i)}
		entries[i], buf = encodeEntry(buf, id, EntryCommand, command)
	}
	c.uncommittedBytes += size
	c.appendToLog(entries...)
	return first, nil
}

// replicate fills the outbox with what each follower may be sent now.
func (c *Core) replicate() {
	for _, id := range c.members {
		p := c.peers[id]
		for p.next <= c.log.last && p.maySend(c.cfg.MaxWindowMessages, c.cfg.MaxWindowBytes) {
			entries := c.log.upTo(p.next, c.log.last, c.cfg.MaxMessageBytes)
			if entries == nil {
				c.requestOldEntries(id, p)
				break
			}
			c.sendAppendEntries(id, p, entries)
		}
		// While commands flow, the next message tells the follower what has
		// been committed. When they pause, nobody would until the next
		// heartbeat, so it is told now.
		idle := c.commitIndex == c.log.last
		if p.heartbeatDue || idle && p.state == replicating && p.commitSent < c.commitIndex {
			c.sendAppendEntries(id, p, nil)
		}
	}
}

// sendAppendEntries sends entries that begin at p.next, or a heartbeat. The
// heartbeat's log check is against the last entry that was sent ahead, so that
// it also discovers whether something was lost on the way.
func (c *Core) sendAppendEntries(to NodeID, p *progress, entries []Entry) {
	prev := EntryID{Index: p.next - 1}
	var ok bool
	if prev.Term, ok = c.log.term(prev.Index); !ok {
		p.becomeNeedsSnapshot()
	}
	if p.state == needsSnapshot {
		// Here is where it will be once it has the snapshot.
		prev, entries = c.log.start, nil
	}
	match := EntryID{Index: p.match}
	if match.Term, ok = c.log.term(p.match); !ok {
		match = EntryID{} // compacted: the next probe will show a loss that goes so far back
	}
	c.send(to, &AppendEntries{
		Prev: prev, Entries: entries,
		LeaderCommit: c.commitIndex, Round: c.confirm.round, Match: match, Lease: c.confirm.lease,
	})
	p.heartbeatDue, p.commitSent = false, c.commitIndex
	if len(entries) > 0 {
		p.sent(entries)
	}
}

// requestOldEntries asks the host for entries that are not in memory any more.
func (c *Core) requestOldEntries(id NodeID, p *progress) {
	if p.next <= c.log.start.Index {
		p.becomeNeedsSnapshot()
		return
	}
	p.loading = true
	c.out.Load = append(c.out.Load, Load{
		To: id, First: p.next, Last: c.log.tailFirst() - 1, MaxBytes: c.cfg.MaxMessageBytes,
	})
}

// Loaded delivers what a [Load] asked for. Time has passed since: the entries
// are sent only if they are still what the follower needs and what this
// server's log holds.
func (c *Core) Loaded(to NodeID, entries []Entry) {
	p := c.peers[to]
	if p == nil || !p.loading {
		return
	}
	p.loading = false
	if len(entries) == 0 || entries[0].Index != p.next {
		return
	}
	for _, e := range entries {
		if !c.log.matches(e.ID()) {
			return
		}
	}
	c.sendAppendEntries(to, p, entries)
}

// handleAppendEntriesReply learns from a follower's answer.
func (c *Core) handleAppendEntriesReply(m Message, reply *AppendEntriesReply) {
	p := c.peers[m.From]
	if c.role != Leader || p == nil {
		c.ignore(m, "not leading, or not a member")
		return
	}
	if reply.Success && reply.MatchIndex > c.log.last || reply.Round > c.confirm.round {
		c.ignore(m, "acknowledges what was never sent")
		return
	}
	if reply.Round < p.joined {
		c.ignore(m, "of an earlier member with this id")
		return
	}
	p.lastReply = c.now
	p.round = max(p.round, reply.Round)
	c.leadershipConfirmed()
	if reply.Lost {
		p.lost(min(reply.RejectedPrev, c.log.last)) // rule:recover.match thesis 3.8 what was acknowledged is there no more
		c.trace(Event{Kind: EventLost, Peer: m.From})
	}
	if !reply.Success {
		if next := c.nextAfterRejection(reply); p.rejected(reply.RejectedPrev, next) {
			c.trace(Event{Kind: EventBackedUp, Peer: m.From, Last: p.next})
		}
		return
	}
	p.acknowledged(reply.MatchIndex, c.log.start.Index)
	c.maybeCommit()
	if c.role == Leader && c.transfer.to == m.From {
		c.continueTransfer()
	}
}

// nextAfterRejection returns where the follower's log and this one may agree,
// plus one. The paper steps back one index at a time; here both sides skip a
// term at a time (the optimisation at the end of §5.3), with the terms as hint:
// where the terms of two logs differ, their entries do too.
//
// Example. The leader probes at 9/t6:
//
//	index     1 2 3 4 5 6 7 8 9
//	leader    1 1 1 3 3 3 5 5 6
//	follower  1 1 1 2 2 4 4
//
// The follower has nothing at 9. Its last entry whose term is not above 6 is
// 7/t4: the hint. The leader's last entry at or before 7 whose term is not
// above 4 is 6/t3: the next probe is there. The follower's last entry at or
// before 6 whose term is not above 3 is 5/t2; the leader's last at or before 5
// not above 2 is 3/t1, and there the logs match: two rejections instead of six.
func (c *Core) nextAfterRejection(reply *AppendEntriesReply) Index {
	candidate := c.log.lastNotAbove(reply.Hint.Index, reply.Hint.Term)
	return min(candidate.Index+1, reply.RejectedPrev)
}

// matchIndex returns up to where a server's log is known to be durable and equal
// to the leader's. The leader is no exception: its own entry counts when its
// disk has it, and a slow disk of its own does not hold up a majority of others
// (thesis 10.2.1).
func (c *Core) matchIndex(id NodeID) uint64 {
	if id == c.id {
		return uint64(c.log.durable)
	}
	if p := c.peers[id]; p != nil {
		return uint64(p.match)
	}
	return 0
}

// maybeCommit advances commitIndex to the highest index that a quorum of servers
// store, if the entry there is of this leader's own term.
//
// An entry of an earlier term is not committed by counting: a leader that never
// saw it can still be elected and replace it, although a majority stores it.
// Figure 8 shows how; testdata/scripts/figure-8 plays it. It is committed with
// everything else before the first entry of this leader's own term that a
// quorum stores.
//
// If the entry at the quorum's index is of an earlier term, so are all before
// it, and there is nothing to commit yet.
func (c *Core) maybeCommit() {
	n := Index(c.quorum.reached(c.matchIndex)) // rule:commit.majority §5.3 stored by a majority
	if n <= c.commitIndex {
		return
	}
	if term, _ := c.log.term(n); term != c.currentTerm { // rule:commit.ownterm §5.4.2 only an entry of the own term is committed by counting
		return
	}
	// Entries of this term were appended by this leader, so they are in memory.
	for _, e := range c.log.slice(max(c.commitIndex+1, c.log.tailFirst()), n) {
		if e.Kind == EntryCommand && e.Term == c.currentTerm {
			c.uncommittedBytes -= e.Size()
		}
	}
	c.commitTo(n)
	c.configurationCommitted()
}
