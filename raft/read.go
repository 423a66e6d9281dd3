package raft

import "slices"

// Linearizable reads without a log entry (§8, thesis 6.4). The steps of the
// thesis:
//
//  1. wait until an entry of the leader's own term is committed: only then does
//     it know all that earlier leaders have committed;
//  2. take commitIndex as the read index;
//  3. make sure that it was still the leader then, by a round of messages that
//     began after the read arrived;
//  4. wait until the state machine has applied up to the read index (the host
//     does, see ReadResult).
//
// Any server takes reads: a follower asks the leader for the read index and
// then serves the read from its own state machine.

// leaderReads are the reads that a leader has taken on.
type leaderReads struct {
	// waiting have no read index yet.
	waiting []read
	// confirming wait for their round, in the order of their rounds.
	confirming []readBatch
}

// read is one read, of this server's own clients or on behalf of a follower.
type read struct {
	id   uint64
	from NodeID
}

// readBatch are reads that share a read index and a round.
type readBatch struct {
	round uint64
	index Index
	reads []read
}

// forwardedRead is a read that a follower has sent to its leader.
type forwardedRead struct {
	id      uint64
	expires uint64 // the tick at which it counts as lost
}

// ReadIndex asks for an index at which a read that arrives now may be served.
// The answer comes in [Output].Reads under the same id, always, sooner or
// later; it is a failure if no leader is known or leadership changes. The id
// must never have been used in the cluster, not even before a restart: a late
// answer to an earlier read would be taken for the answer to this one.
func (c *Core) ReadIndex(id uint64) {
	switch {
	case c.role == Leader:
		c.reads.waiting = append(c.reads.waiting, read{id, c.id})
	case c.leader != None:
		c.forwardRead(&ReadIndex{ID: id})
	default:
		c.readFailed(id)
	}
}

// forwardRead sends a read to the leader.
func (c *Core) forwardRead(request *ReadIndex) {
	c.forwards = append(c.forwards, forwardedRead{request.ID, c.now + uint64(c.cfg.ElectionTicks)})
	c.send(c.leader, request)
}

// handleReadIndex takes on the read of a follower.
func (c *Core) handleReadIndex(m Message, request *ReadIndex) {
	if c.role != Leader {
		c.ignore(m, "not leading")
		return
	}
	if request.Lease {
		c.readByLease(read{request.ID, m.From})
		return
	}
	c.reads.waiting = append(c.reads.waiting, read{request.ID, m.From})
}

// startReads gives the waiting reads their index and a round, as soon as that
// is possible. Reads that arrive while a round is under way wait for the next
// one, and share it, however many they are.
func (c *Core) startReads() {
	if len(c.reads.waiting) == 0 || len(c.reads.confirming) > 0 {
		return
	}
	if term, _ := c.log.term(c.commitIndex); term != c.currentTerm { // rule:read.ownterm thesis 6.4 step 1
		return
	}
	c.reads.confirming = append(c.reads.confirming, readBatch{
		round: c.confirm.round + 1, // rule:read.quorum thesis 6.4 step 3: a round that begins after the reads arrived
		index: c.commitIndex,       // rule:read.index thesis 6.4 step 2
		reads: c.reads.waiting,
	})
	c.reads.waiting = nil
	c.beginRound()
}

// readsConfirmed answers the reads whose round a quorum has echoed.
func (c *Core) readsConfirmed(echoed uint64) {
	n := 0
	for ; n < len(c.reads.confirming) && c.reads.confirming[n].round <= echoed; n++ {
		batch := c.reads.confirming[n]
		c.trace(Event{Kind: EventReadConfirmed, Last: batch.index})
		for _, r := range batch.reads {
			c.answerRead(r, batch.index)
		}
	}
	c.reads.confirming = slices.Delete(c.reads.confirming, 0, n)
}

func (c *Core) answerRead(r read, index Index) {
	if r.from == c.id {
		c.out.Reads = append(c.out.Reads, ReadResult{ID: r.id, Index: index})
	} else {
		c.send(r.from, &ReadIndexReply{ID: r.id, Index: index})
	}
}

// handleReadIndexReply is the leader's answer to a forwarded read.
func (c *Core) handleReadIndexReply(m Message, reply *ReadIndexReply) {
	i := slices.IndexFunc(c.forwards, func(f forwardedRead) bool { return f.id == reply.ID })
	if i < 0 {
		c.ignore(m, "no such read is waiting")
		return
	}
	c.forwards = slices.Delete(c.forwards, i, i+1)
	// The read index is committed. Where this log is known to equal the
	// leader's, that is news worth having: the read need not wait for the next
	// AppendEntries to say it.
	c.commitTo(min(reply.Index, c.verified))
	c.out.Reads = append(c.out.Reads, ReadResult{ID: reply.ID, Index: reply.Index})
}

// expireForwardedReads gives up on reads whose request or answer was probably
// lost.
func (c *Core) expireForwardedReads() {
	n := 0
	for ; n < len(c.forwards) && c.forwards[n].expires <= c.now; n++ {
		c.readFailed(c.forwards[n].id)
	}
	c.forwards = slices.Delete(c.forwards, 0, n)
}

// failReads gives up on every read under way: the leader that would have
// confirmed them is gone.
func (c *Core) failReads() {
	for _, f := range c.forwards {
		c.readFailed(f.id)
	}
	for _, batch := range c.reads.confirming {
		c.failOwnReads(batch.reads)
	}
	c.failOwnReads(c.reads.waiting)
	c.forwards, c.reads = nil, leaderReads{}
}

// failOwnReads fails the reads of this server's own clients. A follower learns
// of the change of leader by itself.
func (c *Core) failOwnReads(reads []read) {
	for _, r := range reads {
		if r.from == c.id {
			c.readFailed(r.id)
		}
	}
}

func (c *Core) readFailed(id uint64) {
	c.out.Reads = append(c.out.Reads, ReadResult{ID: id, Failed: true})
}
