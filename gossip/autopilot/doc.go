// Package autopilot turns what gossip sees into safe changes of membership.
//
// A server that is started with the address of another one shows up in gossip;
// some seconds later it votes, and nobody has typed a command. In between, the
// leader's autopilot has done what a careful operator would do:
//
//	seen alive in gossip  --> added as a learner, which has no vote
//	caught up, and stable --> made a voter, if there are not enough
//	left                  --> its vote is taken, then it is removed
//	dead                  --> the same, if that was asked for
//
// Every server runs an [Autopilot]; that of the leader acts, one change at a
// time, each based on the configuration that it was computed from. What it does
// about each server, and what it waits for, [Autopilot.Report] tells.
//
// # What counts as evidence
//
// Gossip is a hint. It is wrong when a server is too busy to answer, when the
// network is cut, and when somebody lies who has its key. So gossip alone only
// ever adds learners, which decide nothing. Whatever concerns a vote takes Raft's
// own word as well, and that is given over connections on which servers prove who
// they are:
//
//   - A vote is given to a learner that has acknowledged nearly the whole log,
//     and has kept pace for the stabilisation time.
//   - A vote is taken only from a server that has not answered Raft for at least
//     the stabilisation time. Who answers stays, whatever is said about it.
//   - Most of the voters must be healthy, in Raft's eyes, both before a change
//     and after it.
//   - Only a leader hands over because it has left, and only it can say that it
//     has.
//
// # What a lie can do
//
// Suppose that somebody can make gossip say anything about anybody but the leader
// itself.
//
//   - It can invent servers. Up to five become learners and never answer; no
//     other server is added until an operator has removed them.
//   - It can keep a server from being added, or from getting a vote, by saying
//     that it is dead, foreign, or there twice.
//   - It can make the leader list a wrong address of a member. Gossip is asked
//     for addresses first in any case, and the server at the wrong address fails
//     the handshake.
//   - It can say that a server left that is only down. This is the worst: when
//     the server has been silent for the stabilisation time it is removed, and
//     must be wiped before it can come back. One that answers cannot be removed
//     like this, and so no lie costs a majority of the voters that are there. But
//     whoever keeps lying through a number of outages can make a cluster
//     smaller, and the failures that it survives fewer, outage by outage. The
//     remedy is the gossip key.
//
// What no rule can help against is bad luck within the time that Raft takes to
// notice: a learner that dies in the very moment in which it is made the second
// of two voters leaves one of two.
//
// # What it leaves to operators
//
// It does not take the vote of a member that has no more than trouble, and does
// not shrink a cluster with more voters than MaxVoters: with different settings on
// two servers, each change of leader would undo the other's work. It keeps two
// voters when one of them leaves: the change would need the vote of the one that
// has to be silent first. Such a server is removed by hand before it is stopped.
//
// # Reading order
//
//	config.go     the settings, and what is needed of Raft and gossip
//	survey.go     one look at the world: each server, seen from all sides
//	memory.go     since when things have been so
//	decide.go     the decision: rules propose, and one action is chosen
//	votes.go      the rules about who votes
//	members.go    the rules about who is a member
//	report.go     what operators are told
//	autopilot.go  the loop around it all
package autopilot
