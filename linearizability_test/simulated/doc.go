// Package simulated holds nothing but tests: whole servers in one process, in
// virtual time.
//
// package raft/sim simulates the algorithm. Here everything around it is under
// fire as well: the goroutines of raft/node, the log in raft/logstore and the
// state in kv on Pebble, its flushes, compactions and snapshots. Only three
// things are not real. The disk is Pebble's crashable file system in memory, the
// network carries encoded messages from one goroutine to another, and the clock
// is that of a testing/synctest bubble, in which a minute passes as soon as
// nobody has anything left to do in it.
//
// A seed decides how the cluster is set up, what clients ask and which faults
// happen when: power failures at a moment or at the n-th operation on a disk,
// disks that fail, fill up or are slow, killed and stopped processes, partitions,
// messages lost, late, twice and out of order, changes of members and of
// leaders. What it does not decide is in which order the goroutines of the
// servers run. So a seed that has failed is a strong hint and not a replay: "-hostseed"
// runs it again as often as "-hostseeds" says, and the log of what happened is
// printed with the verdict.
//
// The judges are in judge_test.go. Some runs have a bug planted in them, and the
// test fails if nobody notices. So does a batch of runs in which too little
// happened to prove anything.
package simulated
