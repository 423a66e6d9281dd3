package raft

// Reads by lease (thesis 6.4.1): a read that asks nobody.
//
// When a quorum has answered a round, none of its servers will vote for anybody
// else for the shortest election timeout. For a little less than that, counted
// from the beginning of the round, the leader can be sure that there is no other
// one, and that its commitIndex is the newest. "For a little less" is where the
// clocks come in: this is the one thing in Raft whose safety depends on time.
//
// # What is assumed
//
// No clock of a server runs faster than another server's by more than the ratio
// of the shortest election timeout to Config.LeaseTime, and none stands still. A
// virtual machine that is suspended and resumed breaks this: its clock stands
// still, and the lease outlives the time that it was given for. Reads by
// [Core.ReadIndex] assume nothing, and are what [Core.LeaseRead] falls back to.
//
// # The promise
//
// Ordinarily a follower is free to forget a leader that it has heard (thesis
// 4.2.3 only makes it reluctant): it restarts, or the connection breaks and it
// stands up at once, or a late message moves it to a newer term. Each of these
// would let another leader be elected while the lease runs. So the leader marks
// the rounds by which it wants to extend a lease, and who answers a marked round
// promises: no vote for an election timeout, whatever happens. As long as nobody
// reads by lease no round is marked, and a dead leader is replaced as fast as
// the broken connection tells.
//
// Example. n2 answers a marked round of n1 and restarts at once. It has
// forgotten that it did. If it voted now, n3 could be elected while n1 still
// answers reads from its lease. So the disk knows of the first promise before the
// leader does, and whoever restarts with that behaves as if it had just promised.
type lease struct {
	// wantedUntil is the tick until which rounds are marked.
	wantedUntil uint64
	// began is the clock's time at which the newest confirmed marked round
	// began; held says that there was one.
	began uint64
	held  bool
	// surrendered says that a successor was ordered to take over in this term.
	// The order cannot be recalled, and may arrive at any time.
	surrendered bool
}

// leaseInterest is for how many election timeouts after a read by lease rounds
// go on being marked.
const leaseInterest = 10

// SetClock tells the core the time of the host's monotonic clock, in whatever
// unit Config.LeaseTime is in. The host calls it after it has taken in requests
// and before it passes them on.
func (c *Core) SetClock(now uint64) { c.clock = max(c.clock, now) }

// LeaseRead is like [Core.ReadIndex], but content with the leader's lease, under
// the assumption about clocks that lease.go states.
func (c *Core) LeaseRead(id uint64) {
	switch {
	case c.role == Leader:
		c.readByLease(read{id, c.id})
	case c.leader != None:
		c.forwardRead(&ReadIndex{ID: id, Lease: true})
	default:
		c.readFailed(id)
	}
}

// readByLease answers a read at once if the lease holds. Otherwise it waits for
// a round, like any other; that round is marked.
func (c *Core) readByLease(r read) {
	c.lease.wantedUntil = c.now + uint64(leaseInterest*c.cfg.ElectionTicks)
	if !c.leaseHolds() {
		c.reads.waiting = append(c.reads.waiting, r)
		return
	}
	c.trace(Event{Kind: EventReadConfirmed, Last: c.commitIndex, Cause: "by lease"})
	c.answerRead(r, c.commitIndex)
}

func (c *Core) leaseHolds() bool {
	term, _ := c.log.term(c.commitIndex)
	return term == c.currentTerm && // the commitIndex is the newest: see rule read.ownterm
		c.lease.held && !c.lease.surrendered &&
		c.clock < c.lease.began+c.cfg.LeaseTime // rule:read.lease thesis 6.4.1 only while no other leader can exist
}

// surrenderLease gives the lease up for good: from now on another leader may be
// elected at any time.
func (c *Core) surrenderLease() { c.lease.surrendered = true } // rule:lease.transfer thesis 6.4.1 no lease once a successor is called

// wantsLease reports whether the next round is to be marked.
func (c *Core) wantsLease() bool { return c.now < c.lease.wantedUntil && !c.lease.surrendered }

// promise takes note that this server votes for nobody for an election timeout.
//
// Two ticks more than that: the one under way may be nearly over, and another one
// may have come while the host was busy and be counted right after this. The host
// may lose ticks; it must not make any up.
func (c *Core) promise() {
	c.promisedUntil = c.now + uint64(c.cfg.ElectionTicks) + 2
	if !c.promiseNoted {
		c.promiseNoted, c.hardStateDirty = true, true
	}
}

// promised reports whether m asks for a vote that this server has promised not to
// give. The leader to whom it was promised may itself ask for an election.
func (c *Core) promised(m Message) bool {
	request, ok := m.Body.(*RequestVote)
	return ok && !request.Transfer && c.now < c.promisedUntil // rule:lease.promise thesis 6.4.1 a promise outlives terms and restarts
}
