// Package mutants is a collection of deliberate bugs. Each breaks one rule of Raft
// in one place, by a few lines, and each must be noticed by a named check: a green
// test suite proves as much as the bugs that it turns red on.
//
// A student can read it as the list of what goes wrong without a rule; each bug
// says so in a sentence or two. Many are mistakes of real systems.
//
// # How to read it
//
//	mutant.go       what a mutant is
//	elections.go    elections and votes
//	promises.go     what a crash must not take back, and disks that forget
//	replication.go  the log, commitment, application
//	reads.go        reads and leases
//	members.go      snapshots, changes of members, transfers
//	hosts.go        bugs of those who carry out what the core wants
//	missing.go      entries of the list without a mutant, and changes that are no
//	                bugs
//	runner.go       how a mutant is built and checked without changing the tree
//	table.go        the page docs/mutants.md
//	trial           the command that runs the simulator, with chosen kinds of faults
//	matrix          the command that writes docs/fault-matrix.md
//
// # How to run it
//
//	go test ./raft/mutants                             all apply; a few are killed
//	go test ./raft/mutants -all -timeout 20m           all are killed
//	go test ./raft/mutants -all -only 'figure-8' -v    one, and what it dies of
//	go test ./raft/mutants -rewrite                    writes docs/mutants.md anew
//	go run ./raft/mutants/matrix                       writes docs/fault-matrix.md anew
//
// # What a check is
//
// The best check shows what a bug means: the simulator sees two leaders in a term,
// two servers that have committed different things, a read that misses a write, a
// cluster that does not come back to life. Some bugs it sees much earlier, as a
// broken promise: a vote that leaves before it is durable. For some of these the
// promise is overlooked, so that what comes of it has to show; for others that
// takes more luck than a test can wait for. Where the simulator has no chance, a
// test plays the scene. That a script goes another way than it is written down is
// the weakest kind.
//
// A check passes on the real code and fails on the mutant, with the verdict that is
// given; a mutant that makes its check fail otherwise, or never come to an end, is
// not killed.
package mutants
