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
		Name: "deposed-leader-hears-nothing", Rule: "term.reject",
		File: "raft/core.go",
		Old:  `		c.send(m.From, &AppendEntriesReply{})`,
		New:  ``,
		Why:  "A leader goes on sending to a server that is in a later term, is never told why it gets no answer, and that server stays outside.",
		Dies: tested("raft", "TestARequestOfAnOlderTermIsAnsweredWithTheNewerOne", "AppendEntries of term 2 is not answered"),
	},
	{
		Name: "term-goes-back", Rule: "term.monotonic",
		File: "raft/core.go",
		Old:  `		c.send(m.From, &AppendEntriesReply{})`,
		New: `		c.currentTerm, c.votedFor, c.hardStateDirty = m.Term, None, true
		c.handleAppendEntries(m, body)`,
		Why:  "A server follows a leader back into a term that is over, in which it may have voted for somebody else.",
		Dies: simulated("Term Durability|Assertion", 10, "any"),
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
		Dies: simulated("One Vote", 20, "any"),
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
