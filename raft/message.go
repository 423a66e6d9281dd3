package raft

import "fmt"

// Message is what one server says to another. Every message carries its
// sender's term (§5.1): terms act as a logical clock, and [Core.Step] settles
// them before it looks at the body.
type Message struct {
	From, To NodeID
	Term     Term
	Body     Body
	// Instance is the sender's data directory, if the receiver's host knows it;
	// otherwise zero. It is not part of the encoding: it is said once, when a
	// connection begins.
	Instance InstanceID
}

// Body is the part of a message that depends on its kind: one of the types
// below, as a pointer. Replies are messages of their own, because they may
// arrive late, twice or never; nothing in the algorithm waits for one.
type Body interface {
	kind() messageKind
	fmt.Stringer
}

// RequestVote asks for a vote (§5.2, Figure 2).
type RequestVote struct {
	// PreVote asks "would you vote for me?" without anybody's term or vote
	// changing (thesis 9.6). The message then carries the term that the sender
	// would campaign in, one above its own.
	PreVote bool
	// Transfer says that the leader itself asked for this election, so that a
	// server which hears from that leader need not refuse (thesis 4.2.3).
	Transfer bool
	// LastLog identifies the last entry of the candidate's log (§5.4.1).
	LastLog EntryID
}

// RequestVoteReply answers RequestVote.
type RequestVoteReply struct {
	PreVote bool
	Granted bool
}

// AppendEntries replicates entries and, empty, is the heartbeat (§5.2, §5.3).
// There is no second kind of heartbeat that would skip the log check.
type AppendEntries struct {
	// Prev identifies the entry immediately before the new ones (the paper's
	// prevLogIndex and prevLogTerm).
	Prev EntryID
	// Entries are contiguous and begin at Prev.Index+1; none for a heartbeat.
	Entries []Entry
	// LeaderCommit is the leader's commitIndex.
	LeaderCommit Index
	// Round numbers the leader's rounds of messages within its term. The reply
	// echoes it, which proves that the follower still recognised this leader
	// after the round began: see confirm.go.
	Round uint64
	// Match is the last entry that the receiver has acknowledged in this term, as
	// far as the leader knows; zero if it knows of none. A receiver that does not
	// have it has lost it: see recovering.go.
	Match EntryID
	// Lease says that the leader will take an answer as a promise not to elect
	// anybody else for a while, whatever hints there may be: see lease.go.
	Lease bool
}

// AppendEntriesReply answers AppendEntries.
type AppendEntriesReply struct {
	// Success says that the log check passed: this server's log is equal to
	// the leader's up to MatchIndex, and durable up to there.
	Success    bool
	MatchIndex Index
	// Round is the Round of the message that this answers.
	Round uint64

	// Lost says that this server does not have what the leader said that it had
	// acknowledged.
	Lost bool

	// RejectedPrev is, on failure, the Prev.Index that did not match, so that
	// the leader can tell a late rejection from a fresh one.
	RejectedPrev Index
	// Hint identifies, on failure, the last entry of this server's log that
	// could still agree with the leader's: see Core.nextAfterRejection.
	Hint EntryID
}

// ReadIndex asks the leader, on behalf of a follower, for an index at which a
// linearizable read may be served (thesis 6.4).
type ReadIndex struct {
	// ID is the follower's name for the read. It is never used for another
	// read, not even after a restart.
	ID uint64
	// Lease says that the leader's lease is good enough: see lease.go.
	Lease bool
}

// ReadIndexReply answers ReadIndex, once a quorum has confirmed the leader.
type ReadIndexReply struct {
	ID uint64
	// Index is the read index; the follower serves the read once it has
	// applied up to there. The leader knows that Index is committed.
	Index Index
}

// InstallSnapshot brings a follower a state instead of the log that made it
// (§7). The paper's RPC carries the state in chunks; here the hosts carry the
// chunks between them, and this message reaches the receiver's core when they
// are complete.
type InstallSnapshot struct {
	Snapshot Snapshot
}

// TimeoutNow tells a follower that the leader wants it to become leader: it
// starts an election at once (thesis 3.10).
type TimeoutNow struct{}

func (*RequestVote) kind() messageKind        { return kindRequestVote }
func (*RequestVoteReply) kind() messageKind   { return kindRequestVoteReply }
func (*AppendEntries) kind() messageKind      { return kindAppendEntries }
func (*AppendEntriesReply) kind() messageKind { return kindAppendEntriesReply }
func (*ReadIndex) kind() messageKind          { return kindReadIndex }
func (*ReadIndexReply) kind() messageKind     { return kindReadIndexReply }

func (*InstallSnapshot) kind() messageKind { return kindInstallSnapshot }
func (*TimeoutNow) kind() messageKind      { return kindTimeoutNow }

func (m Message) String() string {
	return fmt.Sprintf("%s->%s t%d %s", m.From, m.To, m.Term, m.Body)
}

func (b *RequestVote) String() string {
	name := "RequestVote"
	if b.PreVote {
		name = "PreVote"
	}
	if b.Transfer {
		name += " (transfer)"
	}
	return fmt.Sprintf("%s last=%s", name, b.LastLog)
}

func (b *RequestVoteReply) String() string {
	name, verdict := "RequestVoteReply", "refused"
	if b.PreVote {
		name = "PreVoteReply"
	}
	if b.Granted {
		verdict = "granted"
	}
	return name + " " + verdict
}

func (b *AppendEntries) String() string {
	entries := "heartbeat"
	if n := len(b.Entries); n == 1 {
		entries = "[" + b.Entries[0].ID().String() + "]"
	} else if n > 1 {
		entries = fmt.Sprintf("[%s..%s]", b.Entries[0].ID(), b.Entries[n-1].ID())
	}
	s := fmt.Sprintf("AppendEntries prev=%s %s commit=%d round=%d", b.Prev, entries, b.LeaderCommit, b.Round)
	if b.Lease {
		s += " lease"
	}
	return s
}

func (b *AppendEntriesReply) String() string {
	s := fmt.Sprintf("AppendEntriesReply rejected prev=%d hint=%s round=%d", b.RejectedPrev, b.Hint, b.Round)
	if b.Success {
		s = fmt.Sprintf("AppendEntriesReply ok match=%d round=%d", b.MatchIndex, b.Round)
	}
	if b.Lost {
		s += " lost"
	}
	return s
}

func (b *ReadIndex) String() string {
	if b.Lease {
		return fmt.Sprintf("ReadIndex id=%d lease", b.ID)
	}
	return fmt.Sprintf("ReadIndex id=%d", b.ID)
}

func (b *ReadIndexReply) String() string {
	return fmt.Sprintf("ReadIndexReply id=%d index=%d", b.ID, b.Index)
}

func (b *InstallSnapshot) String() string { return "InstallSnapshot " + b.Snapshot.String() }
func (*TimeoutNow) String() string        { return "TimeoutNow" }

// String writes an entry's identity as index/term, for example 5/t2.
func (id EntryID) String() string { return fmt.Sprintf("%d/t%d", id.Index, id.Term) }
