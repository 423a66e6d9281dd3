package mutants

// elections are bugs by which the wrong server is elected, or nobody (§5.1, §5.2).
var elections = []Mutant{
	{
		Name: "newer-term-in-a-reply-is-ignored", Rule: "term.adopt",
		File: "raft/core.go",
		Old: `	switch body := m.Body.(type) {
	case *RequestVote:
		return body.PreVote
	case`,
		New: `	switch body := m.Body.(type) {
	case *AppendEntriesReply:
		return true
	case *RequestVote:
		return body.PreVote
	case`,
		Why:  "A leader takes the acknowledgement of a server that has moved on for one of its own term. That server's log may have been replaced since.",
		Dies: tested("raft", "TestANewerTermInAnyMessageIsAdopted", "after AppendEntriesReply"),
	},
	{
		Name: "vote-carried-into-the-next-term", Rule: "term.adopt", Source: "M26",
		File: "raft/core.go",
		Old:  `		c.currentTerm, c.votedFor = term, None`,
		New:  `		c.currentTerm = term`,
		Why:  "A server that voted once has no vote left in later terms, except for the same candidate. When that one is dead, nobody can be elected.",
		Dies: simulated("Liveness", 20, "any"),
	},
	{
		Name: "append-of-a-deposed-leader", Rule: "term.reject", Source: "M17",
		File: "raft/core.go",
		Old:  `		c.send(m.From, &AppendEntriesReply{})`,
		New:  `		c.handleAppendEntries(m, body)`,
		Why:  "A late message of a deposed leader overwrites what its successor has committed.",
		Dies: consequence(safety+"|Assertion", 20, "any"),
	},
	{
		Name: "old-term-is-refused-without-a-word", Rule: "term.reject",
		File: "raft/core.go",
		Old: `		c.send(m.From, &AppendEntriesReply{})
	case *RequestVote:
		c.send(m.From, &RequestVoteReply{PreVote: body.PreVote})`,
		New:  `	case *RequestVote:`,
		Why:  "A server that comes back in a later term than the others cannot be led by them, and never hears of it. It does not stand for election either, because it hears from a leader now and then; nobody tells that one that it is stuck.",
		Dies: simulated("Liveness", 100, "any"),
	},
	{
		Name: "term-goes-back", Rule: "term.monotonic",
		File: "raft/core.go",
		Old:  `		c.send(m.From, &AppendEntriesReply{})`,
		New: `		c.currentTerm, c.votedFor, c.hardStateDirty = m.Term, None, true
		c.handleAppendEntries(m, body)`,
		Why:  "A server follows a leader back into a term that is over, in which it may have voted for somebody else.",
		Dies: simulated("Term Durability", 10, "any"),
	},
	{
		Name: "old-votes-are-counted", Rule: "reply.term", Source: "M8",
		File: "raft/core.go",
		Old:  `	default: // rule:reply.term`,
		New: `	case *RequestVoteReply:
		c.handleRequestVoteReply(m, body)
	default: // rule:reply.term`,
		Why:  "A candidate is elected by a vote that was given to it in an earlier term. In this term that server may vote for another.",
		Dies: simulated("Election Quorum", 40, "any"),
	},
	{
		Name: "old-acknowledgements-are-counted", Rule: "reply.term", Source: "M24",
		File: "raft/core.go",
		Old:  `	default: // rule:reply.term`,
		New: `	case *AppendEntriesReply:
		c.handleAppendEntriesReply(m, body)
	default: // rule:reply.term`,
		Why:  "What a follower acknowledged in an earlier term of the same leader it may have lost to a leader in between.",
		Dies: tested("raft", "TestRepliesOfAnEarlierTermOfTheSameLeaderCountForNothing", "from a reply of term 2"),
	},
	{
		Name: "timeouts-are-all-equal", Rule: "timer.random",
		File: "raft/core.go",
		Old:  `c.cfg.ElectionTicks + c.cfg.Random(c.cfg.ElectionTicks) //`,
		New:  `c.cfg.ElectionTicks //`,
		Why:  "All stand for election at the same time, each votes for itself, nobody wins, and so again.",
		Dies: tested("raft", "TestServersInLockstepElectALeader", "no leader of 3 servers"),
	},
	{
		Name: "heartbeats-do-not-put-elections-off", Rule: "timer.reset",
		File: "raft/follower.go",
		Old:  `	c.resetElectionTimer() // rule:timer.reset §5.2 word from the current leader`,
		New:  ``,
		Why:  "Followers campaign against a leader that is well.",
		Dies: simulated("Liveness", 20, "any"),
	},
	{
		Name: "every-request-for-a-vote-puts-elections-off", Rule: "timer.reset",
		File: "raft/election.go",
		Old:  `	upToDate := c.upToDate(request.LastLog)`,
		New: `	c.resetElectionTimer()
	upToDate := c.upToDate(request.LastLog)`,
		Why:  "A server that can never win, because its log is behind, keeps those from standing for election who could.",
		Dies: tested("raft", "TestNothingButTheLeaderAndAVotePutsAnElectionOff", "of a server that is behind: no election"),
	},
	{
		Name: "a-deposed-leader-puts-elections-off", Rule: "timer.reset",
		File: "raft/core.go",
		Old:  `		c.send(m.From, &AppendEntriesReply{})`,
		New: `		c.resetElectionTimer()
		c.send(m.From, &AppendEntriesReply{})`,
		Why:  "Messages of a leader whose term is over keep a server from standing for election.",
		Dies: tested("raft", "TestNothingButTheLeaderAndAVotePutsAnElectionOff", "that was deposed: no election"),
	},
	{
		Name: "candidate-does-not-vote-for-itself", Rule: "elect.start",
		File: "raft/election.go",
		Old:  `	c.votedFor = c.id // rule:elect.start`,
		New:  `	// rule:elect.start`,
		Why:  "A candidate counts its own vote and can give it to another one as well.",
		Dies: consequence(safety, 20, "any"),
	},
	{
		Name: "candidate-waits-forever", Rule: "elect.retry",
		File: "raft/core.go",
		Old:  `	if c.electionElapsed >= c.electionTimeout && c.now >=`,
		New:  `	if c.role != Candidate && c.electionElapsed >= c.electionTimeout && c.now >=`,
		Why:  "Two candidates share the votes, and both wait for more until the end of time.",
		Dies: simulated("Liveness", 120, "any"),
	},
	{
		Name: "half-is-a-majority", Rule: "elect.majority", Source: "M7",
		File: "raft/quorum.go",
		Old:  `	need := len(m)/2 + 1`,
		New:  `	need := (len(m) + 1) / 2`,
		Why:  "In a cluster of an even number each half elects a leader.",
		Dies: consequence(safety, 20, "any"),
	},
	{
		Name: "one-vote-too-few", Rule: "elect.majority", Source: "M7",
		File: "raft/quorum.go",
		Old:  `	need := len(m)/2 + 1`,
		New:  `	need := max(1, len(m)/2)`,
		Why:  "Two servers of three elect themselves in the same term.",
		Dies: consequence(safety, 20, "any"),
	},
	{
		Name: "replies-are-counted-and-not-voters", Rule: "elect.majority", Source: "M5",
		File: "raft/election.go",
		Old: `	if _, voted := c.ballots[m.From]; !voted {
		c.ballots[m.From] = reply.Granted
	}`,
		New: `	voter := m.From
	for _, id := range c.members {
		if _, voted := c.ballots[voter]; voted {
			voter = id
		}
	}
	c.ballots[voter] = reply.Granted`,
		Why:  "A vote that arrives twice is counted twice: the second time it stands for a server that has not voted.",
		Dies: consequence(safety, 60, "duplicate,reorder,partition"),
	},
	{
		Name: "ballots-are-kept-from-one-election-to-the-next", Rule: "elect.majority", Source: "M6",
		File: "raft/election.go",
		Old: `	c.ballots = map[NodeID]bool{}
	c.resetElectionTimer() // rule`,
		New: `	if c.ballots == nil {
		c.ballots = map[NodeID]bool{}
	}
	c.resetElectionTimer() // rule`,
		Why:  "The votes that made up the PreVote are taken for votes of the election itself: these servers have promised nothing.",
		Dies: consequence(safety, 25, "any"),
	},
	{
		Name: "the-new-voters-elect-alone", Rule: "elect.majority",
		File: "raft/quorum.go",
		Old:  `	case a == won && b == won:`,
		New:  `	case a == won:`,
		Why:  "While a joint configuration is in force, its new voters elect a leader, and the old ones, who have not all heard of it, another.",
		Dies: simulated("Election Quorum", 90, "any"),
	},
	{
		Name: "leader-says-nothing-until-the-next-heartbeat", Rule: "elect.announce",
		File: "raft/leader.go",
		Old:  `	c.beginRound()                                                                  // rule:elect.announce`,
		New: `	for _, p := range c.peers {
		p.probeSent = true
	}
	// rule:elect.announce`,
		Why:  "Until the followers hear of the new leader, they go on with elections of their own.",
		Dies: tested("raft", "TestANewLeaderTellsEveryoneAtOnce", "has been elected and all messages have arrived"),
	},
	{
		Name: "vote-cleared-by-giving-way", Rule: "elect.yield", Source: "M4",
		File: "raft/core.go",
		Old:  `	case term > c.currentTerm:`,
		New:  `	case term >= c.currentTerm:`,
		Why:  "A candidate that gives way to the winner, or a leader that steps down, forgets that it has voted in this term, and can vote again.",
		Dies: simulated("One Vote", 20, "any"),
	},
	{
		Name: "candidate-does-not-give-way", Rule: "elect.yield",
		File: "raft/follower.go",
		Old:  `	case c.role != Follower: // rule:elect.yield`,
		New:  `	case c.role == PreCandidate: // rule:elect.yield`,
		Why:  "A candidate goes on campaigning although its term has a leader.",
		Dies: tested("raft", "TestVoteIsKeptWhenACandidateGivesWayInItsOwnTerm", "is candidate"),
	},
	{
		Name: "votes-for-everybody", Rule: "vote.once", Source: "M3",
		File: "raft/election.go",
		Old:  `		c.votedFor == None && c.leader == None // rule:vote.once`,
		New:  `		true // rule:vote.once`,
		Why:  "Two candidates get the same server's vote, and both are elected.",
		Dies: consequence(safety, 20, "any"),
	},
	{
		Name: "candidates-vote-for-others", Rule: "vote.once", Source: "M9",
		File: "raft/election.go",
		Old:  `		c.votedFor == None && c.leader == None // rule:vote.once`,
		New:  `		c.votedFor == None && c.leader == None || c.role >= Candidate // rule:vote.once`,
		Why:  "A candidate or a leader has voted for itself, and votes again.",
		Dies: consequence(safety, 20, "any"),
	},
	{
		Name: "vote-cleared-by-a-heartbeat", Rule: "vote.once", Source: "M4",
		File: "raft/follower.go",
		Old: `		c.failReads()
		c.leader = leader`,
		New: `		c.failReads()
		c.votedFor = None
		c.leader = leader`,
		Why:  "A server votes, hears from the leader, and forgets its vote. If it then loses the leader, it votes again in the same term.",
		Dies: consequence(safety, 80, "any"),
	},
	{
		Name: "any-log-will-do", Rule: "vote.uptodate", Source: "M10",
		File: "raft/election.go",
		Old:  `	upToDate := c.upToDate(request.LastLog)`,
		New:  `	upToDate := true`,
		Why:  "A server is elected that lacks committed entries, and overwrites them.",
		Dies: consequence(safety, 20, "any"),
	},
	{
		Name: "longest-log-wins", Rule: "vote.uptodate", Source: "M11",
		File: "raft/election.go",
		Old: `	return lastLog.Term > mine.Term ||    // rule:vote.uptodate §5.4.1 last term first, then last index
		lastLog.Term == mine.Term && lastLog.Index >= mine.Index`,
		New: `	return lastLog.Index >= mine.Index
		// rule:vote.uptodate`,
		Why:  "A long log of entries that nobody else has beats a shorter one that holds what was committed later.",
		Dies: consequence(safety, 80, "any"),
	},
	{
		Name: "last-term-alone-decides", Rule: "vote.uptodate", Source: "M12",
		File: "raft/election.go",
		Old: `	return lastLog.Term > mine.Term ||    // rule:vote.uptodate §5.4.1 last term first, then last index
		lastLog.Term == mine.Term && lastLog.Index >= mine.Index`,
		New: `	return lastLog.Term >= mine.Term
		// rule:vote.uptodate`,
		Why:  "A server is elected that lacks the last entries of the same term, some of which are committed.",
		Dies: consequence(safety, 20, "any"),
	},
	{
		Name: "a-pre-vote-moves-everybody-to-its-term", Rule: "prevote.term",
		File: "raft/core.go",
		Old: `	case *RequestVote:
		return body.PreVote
	case`,
		New:  `	case`,
		Why:  "Asking whether an election could be won already deposes the leader, which PreVote is there to avoid.",
		Dies: tested("raft", "TestAPreVoteLeavesNoTrace", "PreVote was written|a PreVote changed something"),
	},
	{
		Name: "a-pre-vote-is-a-vote", Rule: "prevote.term",
		File: "raft/election.go",
		Old:  `	case request.PreVote:`,
		New: `	case request.PreVote:
		c.votedFor, c.hardStateDirty = m.From, true`,
		Why:  "Who was asked about the next term has no vote left in this one.",
		Dies: simulated("One Vote", 20, "any"),
	},
	{
		Name: "votes-although-a-leader-is-heard", Rule: "member.disrupt", Source: "M39",
		File: "raft/election.go",
		Old:  `		c.leader != None && c.electionElapsed < c.cfg.ElectionTicks // rule:member.disrupt`,
		New:  `		false // rule:member.disrupt`,
		Why:  "A server that hears nothing from the leader, or was removed, deposes a leader that all others hear.",
		Dies: simulated("Liveness", 20, "any"),
	},
	{
		Name: "leader-without-followers-stays", Rule: "", Source: "thesis 6.2",
		File: "raft/leader.go",
		Old:  `	if c.now-c.confirm.lastConfirmed >= uint64(2*c.cfg.ElectionTicks) {`,
		New:  `	if false {`,
		Why:  "A leader whose messages arrive and that hears no answer keeps the others from electing one that can work (CheckQuorum).",
		Dies: simulated("Liveness", 60, "any"),
	},
}

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
		Dies: consequence(safety, 25, "any"),
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
