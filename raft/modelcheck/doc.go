// Package modelcheck explores every way that a small world of real cores can go.
//
// The simulator (package sim) throws dice: it tries millions of long histories of
// large clusters, with every fault that there is, and most of them are boring in the
// same way. This package tries all histories of a small cluster, up to some bounds: a
// few terms, a command or two, a crash. What it has explored to the end it has shown:
// within these bounds there is no order of messages, timeouts, writes and crashes that
// breaks a promise. Nearly all bugs that Raft systems ever had show within such
// bounds, if only the right twenty things happen in the right order; dice need a long
// time for that. And as it visits what is near first, what it finds is a shortest
// way, with nothing in it that is beside the point.
//
// The cores are those of package raft, the same code that a server runs. There is no
// second Raft here that could be right where the first is wrong.
//
// # How to read it
//
//	scope.go           the bounds of a world
//	scopes.go          those that are explored, and what for
//	action.go          what can happen, and how time passes
//	server.go          a server at one moment: a core, a disk, a state machine
//	log.go             a log
//	host.go            what a host does for a core
//	facts.go           what a server does that must be judged, and what is judged at once
//	world.go           all servers, and the messages on the way; what may happen next
//	step.go            from one world to the next
//	history.go         what has happened and can still be contradicted
//	judge.go           what Raft promises about a world (Figure 3)
//	configurations.go  and about who is a member
//	checker.go         each server does each thing once
//	rename.go          worlds that are equal up to names
//	dead.go            messages that cannot change anything any more
//	search.go          the exploration
//	replay.go          a way through it, done again
//	scenario.go        and told to the simulator
//
// # What makes it end
//
// Time. A core counts ticks. Here no time passes unless an action says so: an election
// timeout is over, a leader hears from nobody for long enough, or sends heartbeats. So
// ticks are no part of a world (raft.Core.AppendState leaves them out), and whatever
// depends on them can happen at any moment. A server that is asked for a vote is first
// given the time to lose its patience with the leader that it follows; were it to
// refuse, the request might as well have been lost. Reads by lease rest on clocks, and
// are left to the simulator.
//
// PreVote. A PreVote changes nobody but the one who asks for it. So an election timeout
// comes with the answers of all who would grant one at that moment, and leads to an
// election or to nothing. Scopes named pre-votes send these messages like all others.
//
// Disks. A write is done before anything else happens, but a crash may come before or
// after it is done; in scopes named slow-disks writes take their time. In scopes named
// losses a disk forgets the end of its log, and the witness beside it does not.
//
// Names. Servers that begin alike are interchangeable (rename.go): with three voters,
// six worlds are one.
//
// Dead messages. A vote that was counted, an acknowledgement of what is known, anything
// of a term that is over, can be dropped: worlds that differ only in such messages are
// one (dead.go). This is what matters most. Each is dropped by a rule that says why it
// will never matter, and a trial: the real server is given the message and must not
// change. So a bug that takes such a message seriously is not hidden.
//
// Without names and dead messages, the 442 worlds of two terms without a
// command are 17,806; one command more, and there is no end.
//
// What cannot be told apart. A message that would change nothing now is not
// delivered now. What nobody can contradict any more is dropped from the history.
//
// Answers that say nothing. Refused votes and the answers to messages of an older term
// are lost, except in scopes that say otherwise. They tell a newer term at most.
//
// How it is known that no reduction hides anything: reduce_test.go explores small scopes
// with and without them, and compares what servers can come to, side by side. It checks
// that servers that look alike behave alike, in everything that ever happens to one of
// them. And mutants_test.go puts bugs into the core that must be found.
//
// # What makes it fast
//
// What a server does depends on the server and on what happens to it. So the core runs
// once for each pair of the two that occurs, some thousand times in a scope with a
// hundred thousand worlds, and the rest is looking up. A world is a few numbers: of its
// servers, of its messages, of its history. Its fingerprint, 64 bits, is a sum of their
// hashes, which are known. One core of a small machine visits 100,000 to 200,000 worlds
// in a second, of 400,000 and more that it looks at; with a hundred million worlds the
// chance that two share a fingerprint would be one in four thousand.
//
// # How to run it
//
//	go test ./raft/modelcheck                                            the quick scopes
//	go test ./raft/modelcheck -run TestScope -v -effort=thorough -timeout 30m
//	go test ./raft/modelcheck -run TestScope -v -effort=nightly -minutes=60 -parallel 1 -timeout 0
//	go test ./raft/modelcheck -run TestMutantsDie -mutants               bugs that must be found
//	go test ./raft/modelcheck -run NONE -bench .                         worlds per second
package modelcheck
