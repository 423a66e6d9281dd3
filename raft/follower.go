package raft

// handleAppendEntries is the receiver's side of AppendEntries, in the steps of
// Figure 2. Step 1, the check of the term, has happened in Step.
func (c *Core) handleAppendEntries(m Message, request *AppendEntries) {
	c.followLeader(m.From)
	c.heardRound = max(c.heardRound, request.Round)
	if request.Lease {
		c.promise()
	}
	lost := c.noticeLoss(request.Match)
	if !c.log.matches(request.Prev) { // rule:append.consistency §5.3 step 2: the entry before the new ones must be here
		hint := c.log.lastNotAbove(request.Prev.Index, request.Prev.Term)
		c.trace(Event{Kind: EventRejected, Entry: request.Prev})
		c.answer(m.From, &AppendEntriesReply{RejectedPrev: request.Prev.Index, Hint: hint, Round: request.Round, Lost: lost}, request.Lease || lost)
		return
	}
	appended := c.appendMissing(request.Entries)

	// What the leader has sent is now known to equal its log; what stands
	// behind it in this log may still differ, and the leader's commitIndex says
	// nothing about that.
	lastNew := request.Prev.Index + Index(len(request.Entries))
	c.verified = max(c.verified, lastNew)
	c.commitTo(min(request.LeaderCommit, c.verified)) // rule:append.commit §5.3 step 5: never beyond what was verified

	reply := &AppendEntriesReply{Success: true, MatchIndex: lastNew, Round: request.Round, Lost: lost} // rule:append.reply §5.3 claim what this message proved, not the whole log
	if !appended {
		// A heartbeat, or a message that came twice, need not wait: it is
		// answered with what is durable already.
		reply.MatchIndex = min(lastNew, c.log.durable)
	}
	c.answer(m.From, reply, appended || request.Lease || lost) // rule:log.persist thesis 3.8 durable before acknowledged
}

// answer sends a reply to an AppendEntries, after the disk has it if the reply
// says so.
func (c *Core) answer(leader NodeID, reply *AppendEntriesReply, afterWrite bool) {
	if afterWrite {
		c.sendAfterWrite(leader, c.currentTerm, reply)
	} else {
		c.send(leader, reply)
	}
}

// followLeader recognises the sender of an AppendEntries of this term as the
// leader. A candidate of the same term gives way (§5.2).
func (c *Core) followLeader(leader NodeID) {
	switch {
	case c.role == Leader:
		broken("%s and %s both lead term %d", c.id, leader, c.currentTerm)
	case c.role != Follower: // rule:elect.yield §5.2 another has won this term
		c.becomeFollower(c.currentTerm, leader)
	case c.leader != None && c.leader != leader:
		broken("%s and %s both lead term %d", c.leader, leader, c.currentTerm)
	case c.leader == None:
		c.failReads()
		c.leader = leader
		c.trace(Event{Kind: EventRole})
	}
	c.urgentUntil = 0
	c.resetElectionTimer() // rule:timer.reset §5.2 word from the current leader
}

// appendMissing appends the entries that this log lacks and returns whether
// there were any.
//
// Only a real conflict removes something (steps 3 and 4 of Figure 2). Example:
// the leader sends [1] and then [1 2 3], and the messages arrive in the reverse
// order. Cutting the log after what the late message brings would remove 2 and
// 3, which this server has acknowledged and the leader may have committed.
func (c *Core) appendMissing(entries []Entry) bool {
	for i, e := range entries {
		if c.log.matches(e.ID()) {
			continue
		}
		if e.Index <= c.log.last { // rule:append.truncate §5.3 step 3: from the first conflict on, nothing else
			c.truncateFrom(e.Index)
		}
		c.appendToLog(entries[i:]...) // rule:append.new §5.3 step 4: what is not there yet
		return true
	}
	return false
}

// appendToLog appends entries on any server. A configuration takes effect here,
// whether it will commit or not.
func (c *Core) appendToLog(entries ...Entry) {
	c.log.append(entries...)
	c.trace(Event{Kind: EventAppended, Entry: entries[0].ID(), Last: c.log.last})
	for _, e := range entries {
		if e.Kind != EntryConfiguration {
			continue
		}
		configuration, err := DecodeConfiguration(e.Data)
		if err != nil {
			broken("entry %s holds no configuration: %v", e.ID(), err)
		}
		c.log.configurations = append(c.log.configurations, IndexedConfiguration{e.Index, configuration})
		c.configurationChanged() // rule:member.on-append thesis 4.1 the latest in the log is in force
	}
	c.maybeRecovered()
}

// truncateFrom removes entries that another leader's log contradicts, and with
// them the configurations that they brought.
func (c *Core) truncateFrom(i Index) {
	if i <= c.commitIndex {
		broken("entry %d is committed (commitIndex %d) and contradicted by the leader of term %d", i, c.commitIndex, c.currentTerm)
	}
	if c.role == Leader {
		broken("leader removes entry %d of its own log", i) // rule:append.only §5.3 a leader's log only grows
	}
	c.trace(Event{Kind: EventTruncated, Entry: EntryID{Index: i}, Last: c.log.last})
	c.log.truncateFrom(i)
	c.configurationChanged()
}

// commitTo moves commitIndex forward.
func (c *Core) commitTo(i Index) {
	if i <= c.commitIndex { // rule:commit.monotonic §5.3 commitIndex never decreases
		return
	}
	if i > c.log.last {
		broken("commitIndex %d is beyond the last entry %d", i, c.log.last)
	}
	c.commitIndex = i
	c.log.configurationsCommitted(i)
	c.trace(Event{Kind: EventCommitted, Last: i})
}
