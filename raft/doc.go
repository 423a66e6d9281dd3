// Package raft is the Raft consensus algorithm as a deterministic state machine
// and nothing else: no goroutine, lock, clock, disk, socket or random source of
// its own. What calls it, and does what it wants done, is its host: package node
// runs it, package sim breaks it, package modelcheck tries everything that can
// happen to it, and package mutants breaks its rules.
//
// # The idea in one page
//
// A cluster of servers keeps copies of one log. Each server hands the entries of
// its log, in order, to its state machine; if all do so with the same entries,
// all state machines are equal. Raft makes the logs agree although messages are
// lost and servers crash:
//
//   - Time is divided into terms. In each term the servers elect at most one
//     leader (§5.2): each server has one vote, and a majority wins.
//   - Only the leader appends entries. It sends them to the others; an entry of
//     its own term that a majority has on disk is committed, with all before it,
//     and will never be lost (§5.3, §5.4.2).
//   - A server votes only for a candidate whose log is at least as up-to-date as
//     its own, so that whoever wins has every committed entry (§5.4.1).
//
// The five properties of Figure 3 follow; invariants.go and package sim check
// them.
//
// # How to read it
//
// What the words mean:
//
//	types.go          terms, indexes, roles, the state that must survive a crash
//	entry.go          a position of the log, and its one encoding
//	message.go        what servers say to each other
//	configuration.go  who votes
//	snapshot.go       what a copy of the state contains, and what becomes of it (§7)
//	output.go         what a core asks of its host
//	config.go         its timeouts and limits
//
// The algorithm, in the order of the paper:
//
//	core.go           the state of Figure 2; Step, where terms are settled
//	election.go       elections, votes, PreVote (§5.2, §5.4.1, thesis 9.6)
//	follower.go       receiving AppendEntries (§5.3)
//	leader.go         sending it, going back, committing (§5.3, §5.4.2)
//	quorum.go         who has to agree
//	progress.go       what a leader knows of each follower
//	log.go            the log, and what of it is on disk (thesis 3.8, 10.2.1)
//	recovering.go     when a disk has lost what it had (thesis 3.8)
//	confirm.go        how a leader knows that it still leads (thesis 6.2, 6.4)
//	read.go           linearizable reads without a log entry (thesis 6.4)
//	lease.go          reads without a message (thesis 6.4.1)
//	change.go         changing who is in the cluster (§6, thesis ch. 4)
//	transfer.go       handing over leadership (thesis 3.10)
//
// The rest:
//
//	host.go           the outbox, and the host's reports
//	encoding.go       messages as bytes
//	invariants.go     what must always be so
//	trace.go          every transition, for logs, tests and pictures
//
// The scripts in testdata/scripts play the scenes; figure-7 and figure-8 are the
// paper's.
//
// # Where the rules of Figure 2 are
//
//	State                        Core, in the paper's order
//	RequestVote 1                Core.answerOldTerm
//	RequestVote 2                Core.handleRequestVote, Core.upToDate
//	AppendEntries 1              Core.answerOldTerm
//	AppendEntries 2 to 5         Core.handleAppendEntries, Core.appendMissing
//	All servers: apply           Core.nextApply
//	All servers: newer term      Core.Step, Core.becomeFollower
//	Followers: timeout           Core.Tick, Core.startPreVote
//	Candidates                   Core.startElection, Core.handleRequestVoteReply, Core.followLeader
//	Leaders: heartbeats          Core.becomeLeader, Core.tickLeader
//	Leaders: commands            Core.Propose
//	Leaders: AppendEntries       Core.replicate, Core.handleAppendEntriesReply
//	Leaders: commitIndex         Core.maybeCommit
//	InstallSnapshot (Figure 13)  Core.receiveSnapshot, Core.Installed
//	thesis 3.10, transfer        Core.TransferLeadership, Core.handleTimeoutNow
//	thesis 4, membership         Core.ChangeMembers, Core.configurationCommitted
//	thesis 6.4, read-only        Core.startReads, Core.readsConfirmed
//	thesis 6.4.1, leases         Core.LeaseRead, Core.promised
//
// A line that decides one of the rules carries its name, as in
// "rule:vote.once"; docs/rules.md lists them all.
//
// # The disk is a peer
//
// The core never waits for a disk. It says what to write, goes on, and is told
// later that the write is durable, just as it is told later that a follower has
// an entry. What must not be seen before (a vote, an acknowledgement, a request
// for votes) is handed to the host together with the write and leaves after it.
// The leader counts its own copy of an entry when its own disk reports it; so
// its disk and the network work at the same time, and a leader with a slow disk
// does not hold up a majority that has fast ones.
//
// # Where this differs from the paper
//
//   - An election is preceded by a PreVote (thesis 9.6), always.
//   - A leader that no quorum answers steps down (CheckQuorum, thesis 6.2).
//   - A server that hears from a leader does not vote (thesis 4.2.3).
//   - A follower whose connection to the leader breaks does not wait for its
//     election timeout, see [Core.ConnectionLost]. When several stand up at once,
//     the one with the highest ID goes first.
//   - A leader can have a lease, and its followers then promise to elect nobody
//     else for a while (lease.go).
//   - The founding configuration is entry 1 of term 1, in every founder's log
//     from the start, see [FoundingEntry].
//   - After a rejection both sides skip a term at a time (the optimisation that
//     §5.3 mentions).
//   - A server applies an entry when it is committed and on its own disk.
//   - InstallSnapshot reaches a core when the whole state has arrived: hosts
//     carry the chunks. Which leader has sent it does not matter.
//   - Every change of voters is a joint one, also that of a single server. The
//     leader refuses changes that would leave nobody to decide.
//   - A server whose disk has lost the end of its log, and who knows, does not
//     stand for election and votes as if it still had it.
//   - A follower may learn that an entry is committed from the answer to a read,
//     see [ReadIndexReply].
package raft
