package raft

// Disks that forget (thesis 3.8). All of Raft's safety rests on servers keeping
// what they have acknowledged. Disks, file systems and databases sometimes do not:
// a block of the newest write-ahead log becomes unreadable, or a directory is
// restored from an older copy, and the storage takes the damage for the place at
// which a crash has interrupted the last write. It opens without complaint, and
// the end of the log is gone.
//
// A server that goes on as if nothing had happened can cost the cluster an entry
// that is committed. Of three servers, A leads and has entry 7 on its own disk and
// on B's, so it is committed. B loses it. A dies. C, which never had it, asks B
// for a vote, and B's log is no longer than C's.
//
// So a witness stands beside the log: a small record, made durable after each
// write and in another place, of the last entry that the log ends with. A crash
// leaves it as new as the log, or a little older. A log that is older than its
// witness has lost something, and the server is recovering until its log is again
// at least as up-to-date as the witness says:
//
//   - It does not stand for election. It lacks what others may count on.
//   - It votes as if it still had what it has lost: only for candidates whose log
//     is at least as up-to-date as the witness. For the election restriction
//     (§5.4.1) it does not matter whether the voter itself still has an entry, only
//     that it lets nobody win who lacks it. So B refuses C, and helps A.
//
// Its acknowledgements count as ever, for they say what is on its disk now.
//
// A directory that was restored as a whole brings an old witness along. The leader
// remembers better, as long as it leads: every AppendEntries says what the receiver
// has acknowledged in this term. Nothing that was acknowledged in a term is removed
// in the same term, so a server that does not have it has lost it. It takes the
// leader's word for what its witness should have said, and the leader finds out
// anew where its log ends.
//
// What no witness can do is bring back an entry that all who had it have lost.
// Then nobody can be elected until an operator decides to go on without it.

// newer returns the one of two entries with which a more up-to-date log ends
// (§5.4.1).
func newer(a, b EntryID) EntryID {
	if b.Term > a.Term || b.Term == a.Term && b.Index > a.Index {
		return b
	}
	return a
}

// whatIsLost returns the entry that a log once ended with, according to its
// witness, if the log is older than that, and otherwise zero.
func whatIsLost(last, witness EntryID) EntryID {
	if newer(last, witness) == last {
		return EntryID{}
	}
	return witness
}

// recovering reports whether this server has lost a part of its log that it has
// not received again.
func (c *Core) recovering() bool { return c.lost != EntryID{} }

// noticeLoss compares the log with what the leader of this term says that this
// server has acknowledged, and reports whether that is lost.
func (c *Core) noticeLoss(acknowledged EntryID) bool {
	if c.log.matches(acknowledged) {
		return false
	}
	if newer(c.lost, acknowledged) != c.lost {
		c.lost = acknowledged   // rule:recover.notice thesis 3.8 nothing acknowledged is removed in the same term
		c.hardStateDirty = true // the witness is to know
		c.trace(Event{Kind: EventLost, Entry: acknowledged, Last: c.log.last})
		c.maybeRecovered()
	}
	return true
}

// maybeRecovered ends the recovery when the log is as up-to-date as it once was.
//
// It need not end with the very entry that was lost. A log that ends with an entry
// of a later term comes from a leader of that term, who had all that was committed
// before; and one that ends in the same term has the same entries (Log Matching).
func (c *Core) maybeRecovered() {
	if c.recovering() && whatIsLost(c.log.lastID(), c.lost) == (EntryID{}) { // rule:recover.complete §5.4.1 at least as up-to-date as it was
		c.lost = EntryID{}
		c.trace(Event{Kind: EventRecovered, Last: c.log.last})
	}
}
