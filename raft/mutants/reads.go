package mutants

// reading are bugs by which a read misses what was written before it (§8, thesis
// 6.4).
var reading = []Mutant{
	{
		Name: "reads-right-after-the-election", Rule: "read.ownterm", Source: "M29",
		File: "raft/read.go",
		Old: `	if term, _ := c.log.term(c.commitIndex); term != c.currentTerm { // rule:read.ownterm thesis 6.4 step 1
		return
	}`,
		New:  ``,
		Why:  "A new leader does not know yet how much earlier leaders have committed, and gives a read an index that is too low.",
		Dies: simulated("Linearizable Reads", 10, "any"),
	},
	{
		Name: "reads-by-lease-right-after-the-election", Rule: "read.ownterm", Source: "M29",
		File: "raft/lease.go",
		Old:  `	return term == c.currentTerm && // the`,
		New:  `	return term <= c.currentTerm && // the`,
		Why:  "As with reads by a round: a lease says that nobody else leads, and not that commitIndex is the newest.",
		Dies: simulated("Linearizable Reads", 120, "any"),
	},
	{
		Name: "read-index-is-what-was-applied", Rule: "read.index",
		File: "raft/read.go",
		Old:  `		index: c.commitIndex,       // rule:read.index`,
		New:  `		index: c.lastApplied,       // rule:read.index`,
		Why:  "What the leader has committed and not yet applied was acknowledged by nobody yet on this server, but perhaps by an earlier leader.",
		Dies: simulated("Linearizable Reads", 10, "any"),
	},
	{
		Name: "follower-reads-at-its-own-commit", Rule: "read.index", Source: "M42",
		File: "raft/read.go",
		Old:  `	c.out.Reads = append(c.out.Reads, ReadResult{ID: reply.ID, Index: reply.Index})`,
		New:  `	c.out.Reads = append(c.out.Reads, ReadResult{ID: reply.ID, Index: c.commitIndex})`,
		Why:  "A follower asks the leader and then serves the read from what it has itself, which may be old.",
		Dies: simulated("Linearizable Reads", 10, "any"),
	},
	{
		Name: "reads-ask-nobody", Rule: "read.quorum", Source: "M27",
		File: "raft/read.go",
		Old:  `	c.reads.confirming = append(c.reads.confirming, readBatch{`,
		New: `	for _, r := range c.reads.waiting {
		c.answerRead(r, c.commitIndex)
	}
	c.reads.waiting = nil
	c.reads.confirming = append(c.reads.confirming, readBatch{`,
		Why:  "A leader that was deposed and has not heard of it answers a read, and misses what its successor has committed.",
		Dies: simulated("Confirmation", 10, "any"),
	},
	{
		Name: "any-answer-confirms-a-read", Rule: "read.quorum", Source: "M28",
		File: "raft/read.go",
		Old:  `		round: c.confirm.round + 1, // rule:read.quorum`,
		New:  `		round: c.confirm.round, // rule:read.quorum`,
		Why:  "An answer to a message that left before the read arrived proves nothing about the time after.",
		Dies: simulated("Confirmation", 10, "any"),
	},
	{
		Name: "a-round-is-used-twice", Rule: "read.quorum", Source: "M30",
		File: "raft/confirm.go",
		Old:  `	c.confirm.round++`,
		New: `	if c.confirm.round == 0 || len(c.reads.confirming) == 0 {
		c.confirm.round++
	}`,
		Also: &Edit{
			Old: `func (c *Core) beginRound() {`,
			New: `func (c *Core) beginRound() {
	for i := range c.reads.confirming {
		c.reads.confirming[i].round = min(c.reads.confirming[i].round, max(1, c.confirm.round))
	}`,
		},
		Why:  "The number of a round is the only thing that tells which answer belongs to which read. With the same number again, the late answer to one read confirms the next.",
		Dies: consequence("Linearizable Reads", 60, "any"),
	},
	{
		Name: "lease-lasts-too-long", Rule: "read.lease", Source: "M34",
		File: "raft/lease.go",
		Old:  `		c.clock < c.lease.began+c.cfg.LeaseTime // rule:read.lease`,
		New:  `		c.clock < c.lease.began+2*c.cfg.LeaseTime // rule:read.lease`,
		Why:  "The lease outlasts the promise that it rests on, and another leader is elected meanwhile.",
		Dies: consequence("Linearizable Reads", 10, "lease"),
	},
	{
		Name: "lease-begins-with-the-answer", Rule: "read.lease", Source: "M34",
		File: "raft/confirm.go",
		Old:  `			c.lease.began, c.lease.held = c.confirm.begun[n].clock, true`,
		New:  `			c.lease.began, c.lease.held = c.clock, true`,
		Why:  "The followers count their promise from when they heard the leader. When the answer arrives, much of that time is over.",
		Dies: simulated("Lease", 120, "any"),
	},
	{
		Name: "lease-is-read-by-an-old-clock", Rule: "read.lease", Source: "M34",
		File: "raft/node/loop.go",
		Old: `		l.core.SetClock(uint64(time.Since(l.started)))
		l.tell(in)`,
		New: `		l.tell(in)
		l.core.SetClock(uint64(time.Since(l.started)))`,
		Why:  "The clock is looked at, then the process is stopped for a while, then the lease is judged by the time from before.",
		Dies: tested("raft/node", "TestAPausedLeaderServesNoReadFromItsOldLease", "FAIL"),
	},
	{
		Name: "promise-is-not-kept", Rule: "lease.promise",
		File: "raft/lease.go",
		Old:  `	return ok && !request.Transfer && c.now < c.promisedUntil // rule:lease.promise`,
		New:  `	return ok && false && request.Transfer // rule:lease.promise`,
		Why:  "Who has promised not to vote votes after all, when the connection to the leader breaks, and another leader is elected while the lease runs.",
		Dies: consequence("Linearizable Reads", 80, "lease"),
	},
	{
		Name: "promise-is-lost-at-a-restart", Rule: "lease.promise",
		File: "raft/lease.go",
		Old: `	if !c.promiseNoted {
		c.promiseNoted, c.hardStateDirty = true, true
	}`,
		New:  ``,
		Why:  "A server answers a marked round, restarts, and votes.",
		Dies: consequence("Linearizable Reads", 80, "lease"),
	},
	{
		Name: "lease-is-kept-when-a-successor-is-called", Rule: "lease.transfer",
		File: "raft/lease.go",
		Old:  `func (c *Core) surrenderLease() { c.lease.surrendered = true }`,
		New:  `func (c *Core) surrenderLease() {}`,
		Why:  "The successor that the leader itself has called is elected at once, in spite of all promises, and the old leader goes on answering reads.",
		Dies: consequence("Linearizable Reads", 60, "lease,transfer"),
	},
	{
		Name: "lease-is-kept-when-the-members-change", Rule: "lease.members",
		File: "raft/change.go",
		Old:  `	c.lease.held = false // rule:lease.members`,
		New:  `	// rule:lease.members`,
		Why:  "Those who have promised may be no majority of the new voters, who elect another leader.",
		Dies: scripted("lease-ends-with-a-change-of-members", "FAIL"),
	},
	{
		Name: "read-does-not-wait-for-its-index", Rule: "read.wait", Source: "M42",
		File: "raft/node/reads.go",
		Old:  `		if c.index > i { // rule:read.wait`,
		New:  `		if false { // rule:read.wait`,
		Why:  "A read is served from a state that has not come to the read index, and misses a write that was acknowledged.",
		Dies: tested("raft/node", "TestAReadWaitsForTheStateMachine", "before the state machine"),
	},
}
