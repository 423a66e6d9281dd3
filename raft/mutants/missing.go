package mutants

// Missing is an entry of the list that docs/mutants.md shows, or a change of the
// code, for which there is no mutant.
type Missing struct {
	// What is the entry, as in "M26", or the change in words.
	What string
	// Why there is none.
	Why string
}

// NotExpressed are entries of the list that no change of a few lines makes.
var NotExpressed = []Missing{
	{"M26, the torn vote", "Term and vote are one value (raft.HardState), one record on the disk and one write of the simulator: to tear them apart takes a second kind of write. The half of it that can be written down, a vote that is carried into the next term, is vote-carried-into-the-next-term."},
	{"M35, M36", "The store has no sessions yet."},
	{"M37, in the API", "The core and the node never say \"failed\" of what may commit; a-lost-leader-means-failed makes the node do so. What the HTTP interface makes of it is tested there."},
	{"M43 at T2 P2 C1", "The exhaustive search of the list was not finished. removed-servers-are-still-counted dies in the simulator."},
}

// Equivalent are changes of a rule's line that break no property, with the reason.
// They are not bugs, and so not mutants.
var Equivalent = []Missing{
	{"configuration taken from what is committed instead of what is appended (RULES: member.on-append)", "Done everywhere alike, this is another correct algorithm: etcd switches when it applies. configuration-takes-effect-too-late does it in one place only."},
	{"M26, second half: a repeated vote is granted without looking at the log", "A server that has voted for a candidate in a term takes entries from nobody else in that term but this candidate, so the log check has the same result again."},
	{"elect.retry: startElection does not reset the timer", "The PreVote that led to it has reset it within the same round trip; the next attempt comes a little earlier."},
	{"elect.announce: the first round is not begun", "The no-op of the new leader is sent at once by itself; the round only numbers it. leader-says-nothing-until-the-next-heartbeat holds that back, too."},
	{"snap.stale alone: an old snapshot is not recognised as old", "What it contains is committed here, so the log holds its last entry or begins after it, and the next case (snap.suffix) ignores it as well. old-snapshots-are-installed takes both away."},
	{"snap.suffix alone: a snapshot is installed although the log holds its last entry", "Installed looks again before it drops the log. snapshot-drops-the-log-behind-it takes both away."},
	{"a log check below the start of the log fails instead of passing (M31b)", "It costs a round trip: the follower's hint leads the leader to the start of its log. The mistake that M31b means is entries-before-the-log-are-taken-for-new."},
	{"progress.joined: answers of an earlier member with the same id are taken in", "The host says which data directory a message comes from (Message.Instance), and member.disk counts none but the member's. Only where the host does not know, as in the script id-used-again, would it make a difference."},
}
