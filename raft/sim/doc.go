// Package sim runs whole clusters of real cores in a simulated world, breaks the
// world in every way that Raft must survive, and judges each step by what Raft
// promises.
//
// The cores are those of package raft, the same code that a server runs. What is
// simulated is all that a core leaves to its host: time, the network, disks,
// state machines, snapshots, crashes, clients, and the operators who change the
// cluster. One seed decides everything, in one goroutine, so that a run that fails
// can be repeated event by event.
//
// # How to read it
//
// The world, and a run from its beginning to its end:
//
//	queue.go           virtual time, and what happens next; random numbers
//	options.go         what a run can be told
//	kinds.go           the kinds of faults, by name
//	swarm.go           what the seed decides otherwise
//	world.go           a run
//	actions.go         what can be done to a cluster from outside
//	points.go          what in it is left to chance, and how a run is recorded
//	recovery.go        the end of a run: it must come back to life
//	hardship.go        what may remain broken then, and when it must recover at all
//	healthy.go         what a cluster that has recovered must be able to do
//
// A server and what it consists of:
//
//	node.go            a server: it feeds a core
//	host.go            and carries out its output
//	clock.go           its ticks, and its idea of time
//	disk.go            what is written, when, and what a crash leaves of it
//	log.go             a log and the hashes by which logs are compared
//	machine.go         the replicated state machine, which is behind on its disk
//	compaction.go      the log is cut below what the state machine has on disk
//	snapshots.go       how a snapshot travels
//	install.go         how it is received, and takes the place of a state
//	forgetting.go      disks that lose what was durable
//
// What happens to it:
//
//	network.go         loss, delay, repetition, and who talks to whom
//	partitions.go      the ways in which a network falls apart
//	faults.go          when things go wrong
//	attack.go          attempts to break a lease
//	members.go         operators: changes of members, transfers, lost disks
//	clients.go         who asks for what
//	history.go         what they saw, for others to judge
//
// The judges, who know everything, share no code with package raft, and tell the
// cores nothing:
//
//	oracle.go          what is remembered, and the checks of each step
//	view.go            what is known of one core, and what is left of a server
//	logs.go            logs, leaders, commitment (Figure 3)
//	promises.go        what must not be said or kept: votes, terms, acknowledgements
//	quorums.go         who decides, and who may want to lead
//	configurations.go  who may be in force at the same time
//	states.go          what is applied, compacted and installed
//	handovers.go       orders to take over
//	reads.go           what a read must see, and when a lease may answer it
//	trace.go           what happened, as text
//	result.go          statistics, and the error that tells how to run it again
//
// Runs that need no seed:
//
//	scenario.go        a run as data: recorded, checked, replayed
//	scenario_text.go   and as text
//	scenario_parse.go  how that is read
//	shrink.go          how a long one becomes short
//
// # What is checked
//
// After every step:
//
//   - Election Safety over the whole history; a leader has the votes of a quorum,
//     of disks that are members; who stands for election is a voter; one vote in a
//     term, among those that were sent and those on the disk.
//   - No message tells a term, a vote or an acknowledgement that its sender's disk
//     could forget.
//   - Leader Append-Only, Log Matching, Leader Completeness, State Machine Safety,
//     for what is committed and for what is applied. commitIndex and matchIndex
//     never decrease; a leader believes of no disk what is not on it; what is
//     committed is on a quorum of disks, and stays there, whatever is lost.
//   - Every state machine is equal to a serial execution of the committed log up to
//     where it is, also after a snapshot. A snapshot says the truth about itself,
//     arrives in an idle state machine, and costs no entry that follows it. A log
//     is cut only where the state machine has the effect on disk, and its start is
//     what was committed.
//   - At most one change of members is under way, by a leader that has committed
//     something in its term; no two configurations that may decide have disjoint
//     quorums (configurations.go says when they may); who was removed stays out; a
//     disk that is lost counts for nothing any more.
//   - A read sees all that was committed when it was asked for, and is confirmed by
//     a quorum that was heard after it arrived, or by a lease during which no other
//     leader is elected.
//   - Nobody is ordered to take over who lacks a part of the log, and nobody takes
//     over by an order that was not given.
//   - Who has lost a part of its log does not stand for election before it has it
//     again, and the witness knows.
//   - The core's own invariants.
//
// At the end all faults stop, except that some servers may remain down, deaf or
// mute, as many as a cluster can bear. The rest must elect a leader within 20
// election timeouts, leave a joint configuration, bring every member up to date, by
// a snapshot if need be, commit a new command and answer reads; nobody may campaign
// after that for another 20; and then the same again with all nodes. What a healthy
// cluster can do is tried last: a transfer, a change of members.
//
// A test fails if any of this was never put to the test: Statistics counts how
// often each interesting thing has happened.
//
// # Scenarios
//
// Every run is a plain world, in which everything takes its usual time and nothing
// goes wrong, with a list of what is done to it (a crash, a partition, a client's
// request) and of where it departs from the usual (this message is lost, that write
// takes three ticks). A random run thinks the list up on the way, and can write it
// down; a scenario has it from the start. So a run that was found once can be kept,
// whatever becomes of the random generator, and shortened by leaving parts out.
// Those in testdata/scenarios say in their last lines how they end.
//
// # Disks that forget
//
// A disk may lose the end of its log, find an entry damaged, or be replaced by an
// older copy, while its server is down. What was lost goes on counting for votes
// and commitment, because the server must vote as if it still had it; that it does,
// and that the witness beside the log knows, is checked. An old copy of the whole
// directory, witness included, is put back only where the others can do without
// what it has forgotten: no protocol survives more.
//
// # How to run it
//
//	go test ./raft/sim                                 some fixed seeds
//	go test ./raft/sim -run TestSeeds -fresh -seeds=5000    other ones
//	go test ./raft/sim -run 'TestSeed$' -seed=17 -v    one, with its whole trace
//	go test ./raft/sim -run Browser -browser           the same runs under js/wasm
//	balsa sim --help                                   all of it from the command line
package sim
