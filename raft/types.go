package raft

import "strconv"

// NodeID names a server of the cluster. The operator chooses it (--id) and it
// is never reused for another machine. Zero is nobody; see [None].
type NodeID uint64

// None is the NodeID of nobody: no leader is known, no vote has been given.
const None NodeID = 0

// Term numbers the periods of the paper's logical clock (§5.1). The first
// election of a cluster takes place in term 2: term 1 is the term of the entry
// that founds it, and term 0 is the time before.
type Term uint64

// Index is a position in the log. The first entry has index 1; index 0 stands
// for "before the log", with term 0, so that no rule needs a special case for
// an empty log.
type Index uint64

// InstanceID is the identity of one data directory, drawn at random when the
// directory is created. A server whose disk was wiped returns with its old
// NodeID but a new InstanceID, and is thereby known to have forgotten what it
// once promised (thesis 3.8).
type InstanceID [16]byte

func (n NodeID) String() string {
	if n == None {
		return "none"
	}
	return "n" + strconv.FormatUint(uint64(n), 10)
}

// Role is what a server currently is (§5.1, Figure 4).
type Role uint8

// The roles of Figure 4, and the one that the PreVote extension adds between
// the first two (thesis 9.6).
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
)

func (r Role) String() string {
	switch r {
	case Follower:
		return "follower"
	case PreCandidate:
		return "pre-candidate"
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	}
	return "role(" + strconv.Itoa(int(r)) + ")"
}

// HardState is the part of Figure 2's persistent state that is not the log.
// All fields are written together, always: a crash between two writes could
// pair a new term with an old vote.
type HardState struct {
	// CurrentTerm is the latest term this server has seen. It never decreases.
	CurrentTerm Term
	// VotedFor is the candidate that received this server's vote in
	// CurrentTerm, or None.
	VotedFor NodeID
	// Promised says that this server may have promised, shortly before a crash, to
	// vote for nobody for an election timeout: see lease.go.
	Promised bool
}

// EntryID identifies an entry: by the Log Matching property (Figure 3), two
// logs that hold an entry with this index and term are equal up to it.
type EntryID struct {
	Term  Term
	Index Index
}
