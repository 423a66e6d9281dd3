package mutants

// promises are bugs by which a server forgets in a crash what it has told others
// (thesis 3.8).
var promises = []Mutant{
	{
		Name: "vote-is-told-before-it-is-durable", Rule: "vote.persist", Source: "M1",
		File: "raft/election.go",
		Old:  `	c.sendAfterWrite(candidate, c.currentTerm, &RequestVoteReply{Granted: true}) // rule:vote.persist`,
		New:  `	c.out.Send = append(c.out.Send, Message{From: c.id, To: candidate, Term: c.currentTerm, Body: &RequestVoteReply{Granted: true}}) // rule:vote.persist`,
		Why:  "A server votes, crashes, has forgotten, and votes for another in the same term.",
		Dies: simulated("Term Durability|Vote Durability", 10, "any"),
	},
	{
		Name: "vote-is-not-written", Rule: "vote.persist", Source: "M1",
		File: "raft/election.go",
		Old: `	c.votedFor = candidate
	c.hardStateDirty = true`,
		New:  `	c.votedFor = candidate`,
		Why:  "A vote in a term that the disk knows already is kept in memory only.",
		Dies: simulated("Vote Durability", 10, "any"),
	},
	{
		Name: "vote-is-lost-at-a-restart", Rule: "vote.persist", Source: "M1",
		File: "raft/core.go",
		Old:  `		votedFor:    state.HardState.VotedFor,`,
		New:  ``,
		Why:  "The vote is on the disk, and nobody looks.",
		Dies: consequence(safety, 80, "any"),
	},
	{
		Name: "candidacy-is-told-before-it-is-durable", Rule: "term.persist", Source: "M2",
		File: "raft/election.go",
		Old:  `			c.sendAfterWrite(id, term, request) // rule:term.persist`,
		New:  `			c.out.Send = append(c.out.Send, Message{From: c.id, To: id, Term: term, Body: request}) // rule:term.persist`,
		Why:  "A candidate asks for votes, crashes, has forgotten the term, and begins it again, with another log.",
		Dies: simulated("Term Durability", 10, "any"),
	},
	{
		Name: "term-is-told-before-it-is-durable", Rule: "term.persist", Source: "M2",
		File: "raft/host.go",
		Old:  `	if c.durableTerm < c.currentTerm {`,
		New:  `	if false {`,
		Why:  "A server speaks of a term that it can forget in a crash.",
		Dies: simulated("Term Durability", 10, "any"),
	},
	{
		Name: "term-is-not-written", Rule: "term.persist", Source: "M2",
		File: "raft/core.go",
		Old: `		c.hardStateDirty = true
		c.verified`,
		New:  `		c.verified`,
		Why:  "A term is written only when there happens to be something else to write.",
		Dies: simulated("Term Durability|Vote Durability", 20, "any"),
	},
	{
		Name: "entries-are-acknowledged-before-they-are-durable", Rule: "log.persist", Source: "M25",
		File: "raft/follower.go",
		Old:  `	c.answer(m.From, reply, appended || request.Lease || lost) // rule:log.persist`,
		New:  `	c.answer(m.From, reply, request.Lease || lost) // rule:log.persist`,
		Why:  "A follower acknowledges an entry and loses it in a crash. The leader has counted on it.",
		Dies: simulated("Durability", 10, "any"),
	},
	{
		Name: "heartbeats-acknowledge-what-is-not-durable", Rule: "log.persist", Source: "M25",
		File: "raft/follower.go",
		Old:  `		reply.MatchIndex = min(lastNew, c.log.durable)`,
		New:  `		reply.MatchIndex = lastNew`,
		Why:  "The answer to a heartbeat need not wait for the disk, so it must not speak of entries that are still on the way there.",
		Dies: simulated("Durability", 10, "any"),
	},
	{
		Name: "leader-counts-what-its-own-disk-lacks", Rule: "log.persist",
		File: "raft/leader.go",
		Old:  `		return uint64(c.log.durable)`,
		New:  `		return uint64(c.log.last)`,
		Why:  "The leader counts its own copy of an entry before it is on its disk, and one follower too few has it.",
		Dies: consequence(safety, 30, "any"),
	},
	{
		Name: "a-late-write-proves-what-replaced-it", Rule: "persist.aba",
		File: "raft/log.go",
		Old: `	for k := range l.inFlight { // rule:persist.aba thesis 3.8 a late completion proves only what is still there
		l.inFlight[k].last = min(l.inFlight[k].last, kept)
	}`,
		New:  ``,
		Why:  "A write of entries that have been replaced meanwhile completes, and is taken for proof that the new ones are durable.",
		Dies: simulated("Durability", 80, "any"),
	},
	{
		Name: "truncation-is-not-written", Rule: "append.truncate",
		File: "raft/log.go",
		Old: `		if l.truncate == 0 || i < l.truncate {
			l.truncate = i
		}`,
		New:  ``,
		Why:  "The log in memory is cut, and the one on the disk keeps what was removed.",
		Dies: simulated("Durability", 10, "any"),
	},
	{
		Name: "applies-what-its-own-disk-lacks", Rule: "apply.order", Source: "M41",
		File: "raft/host.go",
		Old:  `	end := min(c.commitIndex, c.log.durable)`,
		New:  `	end := c.commitIndex`,
		Why:  "After a crash the state machine is ahead of the log that explains it.",
		Dies: consequence("Restart", 80, "any"),
	},
}

// forgetting are bugs of servers whose disk has lost what it held (thesis 3.8).
var forgetting = []Mutant{
	{
		Name: "no-witness", Rule: "recover.vote",
		File: "raft/recovering.go",
		Old: `	if newer(last, witness) == last {
		return EntryID{}
	}
	return witness`,
		New:  `	return EntryID{}`,
		Why:  "A server whose log has lost its end takes what is left for all that there ever was, and elects somebody who lacks what it had acknowledged.",
		Dies: tested("raft", "TestWhoHasLostAnEntryVotesForNobodyWhoLacksIt", "granted = true, want false"),
	},
	{
		Name: "votes-by-what-is-left", Rule: "recover.vote",
		File: "raft/election.go",
		Old:  `	mine := newer(c.log.lastID(), c.lost) // rule:recover.vote`,
		New:  `	mine := c.log.lastID() // rule:recover.vote`,
		Why:  "A server that knows that it has lost entries votes for a candidate that lacks them as well.",
		Dies: tested("raft", "TestWhoHasLostAnEntryVotesForNobodyWhoLacksIt", "granted = true, want false"),
	},
	{
		Name: "who-has-lost-entries-votes-for-nobody", Rule: "recover.vote",
		File: "raft/election.go",
		Old:  `	upToDate := c.upToDate(request.LastLog)`,
		New:  `	upToDate := c.upToDate(request.LastLog) && !c.recovering()`,
		Why:  "If it lets nobody win, those who have the entries cannot bring them back either, and the cluster has no leader although it could have one.",
		Dies: tested("raft", "TestWhoHasLostAnEntryVotesForNobodyWhoLacksIt", "granted = false, want true"),
	},
	{
		Name: "who-has-lost-entries-stands-for-election", Rule: "recover.campaign",
		File: "raft/core.go",
		Old:  `	return !c.recovering() && // rule:recover.campaign`,
		New:  `	return true || // rule:recover.campaign`,
		Also: &Edit{
			Old: `		c.installing == nil && slices.ContainsFunc(`,
			New: `		c.installing == nil || slices.ContainsFunc(`,
		},
		Why:  "A server that lacks what others count on is elected by those who never had it.",
		Dies: tested("raft", "TestWhoHasLostAnEntryDoesNotStandForElectionUntilItIsBack", "has lost entries stands for election"),
	},
	{
		Name: "the-leaders-memory-is-ignored", Rule: "recover.notice",
		File: "raft/recovering.go",
		Old:  `	if newer(c.lost, acknowledged) != c.lost {`,
		New:  `	if false {`,
		Why:  "A directory that was restored with its witness does not know that it is old, and the server that has it elects somebody who lacks what it had acknowledged.",
		Dies: tested("raft", "TestTheLeadersMemoryReplacesALostWitness", "stands for election although the leader has said"),
	},
	{
		Name: "leader-says-nothing-of-what-was-acknowledged", Rule: "recover.notice",
		File: "raft/leader.go",
		Old:  `	if match.Term, ok = c.log.term(p.match); !ok {`,
		New:  `	if match.Term, ok = c.log.term(p.match); ok || !ok {`,
		Why:  "Nobody but the leader can know what a server has acknowledged whose directory and witness are both old.",
		Dies: scripted("disk-loses-the-log-and-its-witness", "FAIL"),
	},
	{
		Name: "leader-counts-what-was-lost", Rule: "recover.match",
		File: "raft/leader.go",
		Old:  `		p.lost(min(reply.RejectedPrev, c.log.last)) // rule:recover.match`,
		New:  `		// rule:recover.match`,
		Why:  "An entry is committed that is on one disk less than a majority: its follower has said that it is gone.",
		Dies: tested("raft", "TestALeaderForgetsWhatAFollowerHasLost", "which is on two disks of five"),
	},
	{
		Name: "recovered-with-the-first-entry", Rule: "recover.complete",
		File: "raft/recovering.go",
		Old:  `	if c.recovering() && whatIsLost(c.log.lastID(), c.lost) == (EntryID{}) { // rule:recover.complete`,
		New:  `	if c.recovering() { // rule:recover.complete`,
		Why:  "A server that has received some of what it had lost is taken for one that has it all.",
		Dies: tested("raft", "TestWhoHasLostAnEntryDoesNotStandForElectionUntilItIsBack", "stands for election"),
	},
	{
		Name: "recovering-forever", Rule: "recover.complete",
		File: "raft/recovering.go",
		Old: `		c.lost = EntryID{}
		c.trace`,
		New:  `		c.trace`,
		Why:  "A server that has everything again never stands for election. When two of three have once lost something, nobody can lead.",
		Dies: tested("raft", "TestWhoHasLostAnEntryDoesNotStandForElectionUntilItIsBack", "never stands for election"),
	},
	{
		Name: "recovered-only-with-the-very-same-entry", Rule: "recover.complete",
		File: "raft/recovering.go",
		Old:  `	if c.recovering() && whatIsLost(c.log.lastID(), c.lost) == (EntryID{}) { // rule:recover.complete`,
		New:  `	if c.recovering() && c.log.lastID() == c.lost { // rule:recover.complete`,
		Why:  "If another leader has replaced what was lost, it never comes back, and the server waits for it forever.",
		Dies: tested("raft", "TestALogOfALaterTermMakesUpForALongerOne", "never stands for election"),
	},
	{
		Name: "witness-goes-back-while-recovering", Rule: "recover.complete",
		File: "raft/host.go",
		Old:  `		c.out.Write = c.log.nextWrite(c.lastWrite, hs, newer(c.log.lastID(), c.lost))`,
		New:  `		c.out.Write = c.log.nextWrite(c.lastWrite, hs, c.log.lastID())`,
		Why:  "The first write after the loss makes the witness as old as the log. After another crash the server knows nothing of it any more.",
		Dies: tested("raft", "TestTheWitnessStaysUntilEverythingIsBack", "the witness says"),
	},
}
