package raft

import (
	"errors"
	"fmt"
	"slices"
)

// Core is one server's Raft. It is a deterministic state machine: it has no
// goroutine, clock, disk or socket. The host calls its methods, one at a time,
// and then carries out what [Core.TakeOutput] returns.
//
// Trap 7 cannot happen here: between a check and what follows from it the core waits
// for nobody and lets nobody else in, so what was checked is still so.
//
// The fields are those of the paper's Figure 2, in its order, then those of the
// extensions.
type Core struct {
	cfg Config
	id  NodeID

	// Persistent state on all servers. currentTerm and votedFor are changed by
	// adoptTerm, startElection and grantVote only, and are durable before any
	// message that depends on them leaves.
	currentTerm Term
	votedFor    NodeID
	log         raftLog
	// lost is the last entry of what this server's log once held and has lost;
	// zero: nothing. See recovering.go.
	lost EntryID

	// Volatile state on all servers.
	commitIndex Index // changed by commitTo only
	lastApplied Index // as reported by the host
	handedApply Index // the end of the Apply that the host is working on

	// Volatile state on leaders: nextIndex and matchIndex of every other
	// member, and how the leader is doing.
	peers            map[NodeID]*progress
	uncommittedBytes int
	transfer         transfer
	lease            lease

	role   Role
	leader NodeID // whom this server follows in currentTerm, or None
	// ballots are the answers to this server's RequestVote or PreVote.
	ballots map[NodeID]bool
	// verified is the index up to which this server's log is known to equal the
	// log of the leader of currentTerm.
	verified Index
	// heardRound is the newest round of that leader that this server has heard.
	heardRound uint64
	// promisedUntil is the tick until which this server votes for nobody: see
	// lease.go.
	promisedUntil uint64
	// promiseNoted is HardState.Promised.
	promiseNoted bool
	// urgentUntil is the tick until which an election that failed is tried again
	// soon: see ConnectionLost.
	urgentUntil uint64
	// installing is the snapshot that this server needs installed, or nil.
	installing       *Snapshot
	installHandedOut bool

	// Configurations and what follows from the one in force.
	quorum  quorum
	members []NodeID // everyone but this server, ascending
	votes   bool     // this server is a voter of the latest configuration

	// Time, in ticks; clock is the host's own, see SetClock.
	now              uint64
	clock            uint64
	electionElapsed  int
	electionTimeout  int
	heartbeatElapsed int

	confirm  confirmation
	reads    leaderReads
	forwards []forwardedRead

	// What the next Output will hold.
	out            Output
	hardStateDirty bool
	lastWrite      WriteID
	durableTerm    Term
}

// New returns the core of a server that starts, or starts again, with what it
// remembers. A server that remembers no configuration does nothing until a
// leader sends it one.
func New(cfg Config, state InitialState) (*Core, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	log, applied := newLog(state.Log), state.State.Last
	lost := whatIsLost(log.lastID(), state.Log.Witness)
	if !log.matches(applied) && (state.Installed || lost != EntryID{}) {
		// A crash came between the installation and this, or what the log has lost
		// goes back beyond what was applied. The state makes up for the entries.
		log.reset(state.State)
	}
	if applied.Index > log.last || applied.Index < log.start.Index {
		return nil, fmt.Errorf("%w: the state machine has applied index %d, the log holds %d to %d",
			ErrStateBeyondLog, applied.Index, log.start.Index+1, log.last)
	}
	c := &Core{
		cfg: cfg, id: cfg.ID,
		currentTerm: state.HardState.CurrentTerm,
		votedFor:    state.HardState.VotedFor,
		durableTerm: state.HardState.CurrentTerm,

		promiseNoted: state.HardState.Promised,
		log:          log,
		lost:         lost,
		// What was applied was committed. More may have been: the leader will
		// say so. commitIndex itself need not be stored (Figure 2).
		//
		// Trap 43 cannot happen here: what is not stored cannot contradict the log.
		commitIndex: applied.Index,
		lastApplied: applied.Index,
		handedApply: applied.Index,
	}
	if id := newer(c.log.lastID(), lost); id.Term > c.currentTerm {
		return nil, fmt.Errorf("%w: the log ends with %s, but the current term is %d", ErrCorrupt, id, c.currentTerm)
	}
	if !c.log.matches(applied) {
		return nil, fmt.Errorf("%w: the state machine has applied %s, which is not in the log", ErrStateBeyondLog, applied)
	}
	c.log.configurationsCommitted(c.commitIndex)
	c.configurationChanged()
	c.resetElectionTimer()
	if c.recovering() {
		c.trace(Event{Kind: EventLost, Entry: c.lost, Last: c.log.last})
		c.maybeRecovered()
	}
	if c.promiseNoted {
		c.promise() // it may have done so just before it went down
	}
	return c, nil
}

// ErrStateBeyondLog means that the state machine and the log of a server do not
// belong together: the state holds effects that the log cannot account for.
var ErrStateBeyondLog = errors.New("raft: state machine and log do not fit together")

// Step takes in one message. Terms are settled here, before anything else
// (§5.1); what comes after never sees a message of another term.
func (c *Core) Step(m Message) {
	if m.To != c.id {
		c.ignore(m, "addressed to another server")
		return
	}
	c.trace(Event{Kind: EventReceived, Message: m})
	switch {
	case m.Term < c.currentTerm:
		c.answerOldTerm(m)
		return
	case c.promised(m):
		c.ignore(m, "promised not to vote")
		return
	case m.Term > c.currentTerm && c.sticksToLeader(m):
		c.ignore(m, "heard from the leader recently")
		return
	case m.Term > c.currentTerm && !changesNoTerm(m):
		leader := None
		if _, ok := m.Body.(*AppendEntries); ok {
			leader = m.From
		}
		c.becomeFollower(m.Term, leader) // rule:term.adopt §5.1 any message of a newer term: follow
	}
	if c.countsForNothing(m) {
		c.ignore(m, "from a data directory that is not the member's")
		return
	}
	switch body := m.Body.(type) {
	case *RequestVote:
		c.handleRequestVote(m, body)
	case *RequestVoteReply:
		c.handleRequestVoteReply(m, body)
	case *AppendEntries:
		c.handleAppendEntries(m, body)
	case *AppendEntriesReply:
		c.handleAppendEntriesReply(m, body)
	case *ReadIndex:
		c.handleReadIndex(m, body)
	case *ReadIndexReply:
		c.handleReadIndexReply(m, body)
	case *InstallSnapshot:
		c.followLeader(m.From)
		c.receiveSnapshot(body.Snapshot)
	case *TimeoutNow:
		c.handleTimeoutNow(m)
	}
}

// answerOldTerm deals with a message from an earlier term. Requests are refused
// with the current term in the reply, so that a deposed leader or a candidate
// that was cut off learns about it; late replies mean nothing any more.
func (c *Core) answerOldTerm(m Message) {
	switch body := m.Body.(type) {
	// The reply is of the current term, which the deposed leader may lead by the
	// time it arrives: it must not echo a round of the earlier one.
	case *AppendEntries: // rule:term.reject §5.1 an older term is refused and changes nothing
		c.send(m.From, &AppendEntriesReply{})
	case *RequestVote:
		c.send(m.From, &RequestVoteReply{PreVote: body.PreVote})
	case *InstallSnapshot: // a snapshot is as good as it was when it was taken
		c.receiveSnapshot(body.Snapshot)
	default: // rule:reply.term §5.1 replies of an earlier term count for nothing
		c.ignore(m, "earlier term")
	}
}

// countsForNothing reports whether m is a vote or an acknowledgement by a server
// that has the ID of a member and another data directory. The member that was
// counted on is gone, and with it what it had promised and stored.
//
// What such a server says otherwise is welcome. It may have been admitted with its
// new directory long ago, and even lead, while this server was away.
func (c *Core) countsForNothing(m Message) bool {
	switch m.Body.(type) {
	case *RequestVoteReply, *AppendEntriesReply:
		member, ok := c.log.configuration().Member(m.From)
		return ok && m.Instance != InstanceID{} && m.Instance != member.Instance // rule:member.disk thesis 3.8 what a lost disk has promised and stored is lost
	}
	return false
}

// changesNoTerm reports whether m carries a term that nobody is in yet: a
// PreVote asks about a term that the sender would begin, and a granted PreVote
// is answered with that same term (thesis 9.6).
func changesNoTerm(m Message) bool {
	switch body := m.Body.(type) {
	case *RequestVote:
		return body.PreVote
	case *RequestVoteReply:
		return body.PreVote && body.Granted // rule:prevote.term thesis 9.6 asking changes no term
	}
	return false
}

// Tick tells the core that one tick of time has passed.
func (c *Core) Tick() {
	c.now++
	c.expireForwardedReads()
	if c.role == Leader {
		c.tickLeader()
		return
	}
	c.electionElapsed++
	if c.electionElapsed >= c.electionTimeout && c.now >= c.promisedUntil && c.mayCampaign() {
		c.startPreVote()
	}
}

// mayCampaign reports whether this server may stand for election: nothing of its
// log is lost, it is not about to be replaced, and this server votes in a
// configuration that may be in force.
//
// The latest one is not enough (thesis 4.2.2). Suppose that a leader removes
// itself, and that it crashes when the entry is on its own disk alone. The entry
// makes its log the most up-to-date one, so it may be that nobody else can win;
// and in the latest configuration of that log it is no voter.
func (c *Core) mayCampaign() bool {
	return !c.recovering() && // rule:recover.campaign thesis 3.8 who has lost something cannot lead
		c.installing == nil && slices.ContainsFunc(c.log.configurations, func(ic IndexedConfiguration) bool {
		return c.votesIn(ic.Configuration) // rule:member.campaign thesis 4.2.2 a voter of any configuration that may still be in force
	})
}

// votesIn reports whether this server is a voter of a configuration.
//
// The ID is not enough. A server that was the only voter once, lost its disk, was
// removed and added again comes across that old configuration when it receives
// the log from its beginning. By the ID it would be a majority of one, and could
// elect itself without any of the entries that it has yet to receive.
func (c *Core) votesIn(configuration Configuration) bool {
	m, ok := configuration.Member(c.id)
	return ok && (m.Votes || m.VotedBefore) &&
		(m.Instance == c.cfg.Instance || c.cfg.Instance == InstanceID{}) // rule:member.instance thesis 3.8 a lost disk's vote is lost
}

// becomeFollower is the only way into the role, from any other one and from any
// earlier term. Within the same term the vote stays as it is: a candidate that
// gives way to the winner has still voted for itself.
func (c *Core) becomeFollower(term Term, leader NodeID) {
	c.adoptTerm(term)
	wasLeader := c.role == Leader
	if c.role != Follower || c.leader != leader {
		c.failReads()
	}
	c.role, c.leader = Follower, leader
	c.peers, c.ballots, c.transfer = nil, nil, transfer{}
	if wasLeader {
		c.resetElectionTimer()
	}
	c.trace(Event{Kind: EventRole})
}

// adoptTerm moves to a newer term, in which nobody has been voted for yet.
func (c *Core) adoptTerm(term Term) {
	switch {
	case term < c.currentTerm:
		broken("term goes back from %d to %d", c.currentTerm, term) // rule:term.monotonic §5.1 terms only grow
	case term > c.currentTerm:
		c.currentTerm, c.votedFor = term, None
		c.hardStateDirty = true
		c.verified, c.heardRound = 0, 0
		c.promiseNoted = c.now < c.promisedUntil
	}
}

// ConnectionLost tells the core that the connection to a server broke. It is a
// hint: whether it is true can only affect how soon something happens, never
// what is decided.
func (c *Core) ConnectionLost(id NodeID) {
	switch {
	case c.role == Leader && c.peers[id] != nil:
		c.peers[id].connectionLost()
	case c.role == Follower && c.leader == id && c.mayCampaign() && c.now >= c.promisedUntil:
		// The leader's process has probably died. Waiting for the rest of the
		// timeout would gain nothing; a small random delay remains, so that the
		// followers do not all stand up at once (§5.2).
		//
		// They still may, and then nobody wins. That is tried again soon, as long
		// as the hint is fresh: see resetElectionTimer, and outranks.
		c.leader = None
		c.failReads()
		c.urgentUntil = c.now + uint64(c.cfg.ElectionTicks)
		c.electionTimeout = min(c.electionTimeout, c.electionElapsed+1+c.cfg.Random(c.cfg.HeartbeatTicks))
		c.trace(Event{Kind: EventRole, Cause: "connection to the leader lost"})
	}
}

// configurationChanged recomputes what follows from the configuration in force.
func (c *Core) configurationChanged() {
	configuration := c.log.configuration()
	c.quorum = configuration.quorum()
	c.votes = c.votesIn(configuration)
	c.members = configuration.idsOf(func(m Member) bool { return m.ID != c.id })
	if c.role != Leader {
		return
	}
	for _, id := range c.members {
		if c.peers[id] == nil {
			c.peers[id] = newProgress(c.log.last, c.now, c.confirm.round+1)
		}
	}
	for id := range c.peers {
		if !slices.Contains(c.members, id) {
			delete(c.peers, id)
		}
	}
	if to := c.transfer.to; to != None && !configuration.IsVoter(to) {
		c.transfer = transfer{}
	}
}

// resetElectionTimer starts a new timeout of random length (§5.2). Only three
// things may do so: word from the current leader, a vote given, an election
// started. Anything else would let servers that cannot win keep others from
// trying.
func (c *Core) resetElectionTimer() {
	c.electionElapsed = 0
	c.electionTimeout = c.cfg.ElectionTicks + c.cfg.Random(c.cfg.ElectionTicks) // rule:timer.random §5.2 a new random timeout each time
	if c.urgent() {
		c.electionTimeout = c.cfg.HeartbeatTicks + c.cfg.Random(2*c.cfg.HeartbeatTicks)
	}
}

// urgent reports whether the connection to the leader broke a moment ago, and
// nobody has been heard to lead since.
func (c *Core) urgent() bool { return c.now < c.urgentUntil }

// broken reports a violated invariant. What this server believes is then worth
// nothing, and stopping is the one safe thing to do: the others can go on.
func broken(format string, args ...any) {
	panic("raft: broken invariant: " + fmt.Sprintf(format, args...))
}
