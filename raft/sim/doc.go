// Package sim runs whole clusters of real cores in a simulated world, breaks the
// world in every way that Raft must survive, and judges each step by what Raft
// promises.
//
// The cores are those of package raft, the same code that a server runs. What is
// simulated is all that a core leaves to its host: time, the network, disks,
// state machines, crashes and clients. One seed decides everything, in one
// goroutine, so that a run that fails can be repeated event by event.
//
// # How to read it
//
//	queue.go      virtual time, and what happens next; random numbers
//	options.go    what a run can be told, and what the seed decides otherwise
//	world.go      a run from its beginning to its end
//	node.go       a server: it feeds a core and carries out its output
//	disk.go       what is written, when, and what a crash leaves of it
//	log.go        a log and the hashes by which logs are compared
//	machine.go    the replicated state machine, which is behind on its disk
//	network.go    loss, delay, repetition, partitions
//	faults.go     when things go wrong
//	clients.go    who asks for what
//	history.go    what they saw, for others to judge
//	recovery.go   the end of a run: it must come back to life
//	oracle.go     what must never happen: logs, leaders, commitment (Figure 3)
//	promises.go   what must not be said or kept: votes, terms, acknowledgements
//	reads.go      what a read must see
//	trace.go      what happened, as text
//	result.go     statistics, and the error that tells how to run it again
//
// # What is checked
//
// After every step: Election Safety over the whole history; one vote in a term,
// among those that were sent and those on the disk; no message tells a term, a
// vote or an acknowledgement that its sender's disk could forget; Leader
// Append-Only; Log Matching; Leader Completeness; State Machine Safety, for what
// is committed and for what is applied; commitIndex and matchIndex never
// decrease; a leader believes of no disk what is not on it; what is committed is
// on a majority of disks, and stays there; a read sees all that was committed
// when it was asked for, and is confirmed by a majority that was heard after it
// arrived; and the core's own invariants.
//
// At the end all faults stop, except that a minority may remain down, deaf or
// mute. The rest must elect a leader within 20 election timeouts, commit a new
// command, answer reads and come to equal states; nobody may campaign after that
// for another 20; and then the same again with all nodes.
//
// # How to run it
//
//	go test ./raft/sim                                 some fixed seeds
//	go test ./raft/sim -run TestSeeds -fresh -seeds=5000    other ones
//	go test ./raft/sim -run 'TestSeed$' -seed=17 -v    one, with its whole trace
package sim
