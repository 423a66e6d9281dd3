package raft

// startPreVote asks whether an election could be won before disturbing anyone
// (thesis 9.6). A server that was cut off and comes back would otherwise force
// its inflated term on a cluster that is doing fine.
func (c *Core) startPreVote() {
	c.failReads()
	c.role, c.leader = PreCandidate, None
	c.ballots = map[NodeID]bool{c.id: true}
	c.resetElectionTimer()
	c.trace(Event{Kind: EventRole})
	c.requestVotes(c.currentTerm+1, &RequestVote{PreVote: true, LastLog: c.log.lastID()})
	c.countBallots()
}

// startElection begins a new term as candidate (§5.2): increment currentTerm,
// vote for self, reset the timer, ask everyone.
//
// None of this may be seen before it is durable. A candidate that asked first
// could win, crash, forget its term, and win the same term again with another
// log. So the requests ride behind the write, and so does the candidate's own
// vote, which is a message to itself.
//
// An election that the leader has asked for says so, and voters who hear from
// that leader need not refuse.
func (c *Core) startElection(transfer bool) {
	c.adoptTerm(c.currentTerm + 1)
	c.votedFor = c.id // rule:elect.start §5.2 a new term, and the own vote in it
	c.role, c.leader = Candidate, None
	c.ballots = map[NodeID]bool{}
	c.resetElectionTimer() // rule:elect.retry §5.2 an election that is not won is followed by another
	c.trace(Event{Kind: EventRole})
	c.trace(Event{Kind: EventVote, Peer: c.id})
	c.requestVotes(c.currentTerm, &RequestVote{Transfer: transfer, LastLog: c.log.lastID()}) // rule:transfer.flag thesis 3.10 the leader itself asked for this
	c.sendAfterWrite(c.id, c.currentTerm, &RequestVoteReply{Granted: true})
}

// requestVotes asks every other voter.
func (c *Core) requestVotes(term Term, request *RequestVote) {
	configuration := c.log.configuration()
	for _, id := range c.members {
		if !configuration.IsVoter(id) {
			continue
		}
		if request.PreVote {
			c.sendInTerm(id, term, request)
		} else {
			c.sendAfterWrite(id, term, request) // rule:term.persist thesis 3.8 nobody hears of a term before the disk has it
		}
	}
}

// handleRequestVote decides about a vote or a pre-vote. A server votes even if
// it is a learner or not a member at all as far as it knows: whoever asks may
// know a newer configuration (§6).
func (c *Core) handleRequestVote(m Message, request *RequestVote) {
	// Would this server vote in the term that is asked about? A pre-vote for a
	// later term meets no earlier vote.
	unbound := m.Term > c.currentTerm ||
		c.votedFor == m.From ||
		c.votedFor == None && c.leader == None // rule:vote.once §5.2 one vote in a term, first come, first served
	upToDate := c.upToDate(request.LastLog)
	switch {
	case !unbound || !upToDate || c.outranks(m, request):
		c.sendAfterWrite(m.From, c.currentTerm, &RequestVoteReply{PreVote: request.PreVote})
	case request.PreVote:
		// With the term that was asked about, or the sender would take the
		// answer for an old one.
		c.sendInTerm(m.From, m.Term, &RequestVoteReply{PreVote: true, Granted: true})
	default:
		c.grantVote(m.From)
	}
}

// outranks reports whether this server is about to stand for election itself, at
// the same moment and with the same log as the one who asks, and is to go first.
// When a leader's process dies, all followers notice at once; if each helped the
// other into an election, both would vote for themselves and nobody would win.
//
// Only for a moment, though. In the long run it must not matter who has the higher
// ID: that server may be unable to reach a majority, and would block the one that
// can.
func (c *Core) outranks(m Message, request *RequestVote) bool {
	return request.PreVote && c.role == PreCandidate && c.urgent() &&
		request.LastLog == c.log.lastID() && c.id > m.From
}

// upToDate reports whether a log that ends with the given entry is at least as
// up-to-date as this server's (§5.4.1): the later last term wins, and between
// equal last terms the larger last index. Every committed entry is on a
// majority, and no majority elects a log that lacks it.
func (c *Core) upToDate(lastLog EntryID) bool {
	mine := newer(c.log.lastID(), c.lost) // rule:recover.vote thesis 3.8 as if nothing were lost
	return lastLog.Term > mine.Term || // rule:vote.uptodate §5.4.1 last term first, then last index
		lastLog.Term == mine.Term && lastLog.Index >= mine.Index
}

func (c *Core) grantVote(candidate NodeID) {
	c.votedFor = candidate
	c.hardStateDirty = true
	c.resetElectionTimer()
	c.trace(Event{Kind: EventVote, Peer: candidate})
	c.sendAfterWrite(candidate, c.currentTerm, &RequestVoteReply{Granted: true}) // rule:vote.persist thesis 3.8 the vote is durable before it is told
}

// handleRequestVoteReply collects a ballot. The first answer of a server is the
// one that counts; a duplicate cannot add to it.
func (c *Core) handleRequestVoteReply(m Message, reply *RequestVoteReply) {
	wanted := c.role == Candidate && !reply.PreVote ||
		c.role == PreCandidate && reply.PreVote && (m.Term == c.currentTerm+1 || !reply.Granted)
	if !wanted {
		c.ignore(m, "no such election is under way")
		return
	}
	if _, voted := c.ballots[m.From]; !voted {
		c.ballots[m.From] = reply.Granted
	}
	c.countBallots()
}

func (c *Core) countBallots() {
	switch result := c.quorum.votes(c.ballots); {
	case result == won && c.role == PreCandidate:
		c.startElection(false)
	case result == won:
		c.becomeLeader()
	case result == lost:
		c.becomeFollower(c.currentTerm, None)
	}
}

// sticksToLeader reports whether m asks for a vote that must not even be
// considered, because a leader was heard within the shortest election timeout
// (thesis 4.2.3). A server that was removed, or that has lost contact in one
// direction only, cannot depose a leader that the others hear. A leader sticks
// to itself: CheckQuorum makes it step down when it must.
func (c *Core) sticksToLeader(m Message) bool {
	request, ok := m.Body.(*RequestVote)
	return ok && !request.Transfer &&
		c.leader != None && c.electionElapsed < c.cfg.ElectionTicks // rule:member.disrupt thesis 4.2.3 no votes while a leader is heard
}
