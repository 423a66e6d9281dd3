package node

import (
	"context"
	"math/rand/v2"

	"balsa/raft"
)

// readWaiter waits until a read may be served.
type readWaiter struct {
	ctx   context.Context
	proof proof
	done  chan readOutcome // receives exactly one, or none if the node stops
}

// proof is what a read wants to know its leader by.
type proof int

const (
	byQuorum proof = iota // a majority says so
	byLease               // a majority said so a moment ago
	proofs
)

type readOutcome struct {
	index raft.Index
	err   error
}

// reads are the linearizable reads of this node's clients. All that arrive in
// one turn of the loop and want the same proof share one read of the core.
type reads struct {
	max     int
	waiting int // how many readWaiters there are in the three places below
	nextID  uint64

	// unasked wait until a leader is known.
	unasked [proofs][]*readWaiter
	// asked wait for the core's answer, by the id of the core's read.
	asked map[uint64][]*readWaiter
	// confirmed wait until the state machine has caught up with their index.
	confirmed []confirmedReads

	lastApplied raft.Index
}

type confirmedReads struct {
	index   raft.Index
	waiters []*readWaiter
}

// newReads starts the ids at a random number: no read of an earlier run of this
// node may have had the same one (see raft.Core.ReadIndex).
func newReads(limit int, lastApplied raft.Index) reads {
	return reads{
		max: limit, nextID: rand.Uint64(), lastApplied: lastApplied,
		asked: map[uint64][]*readWaiter{},
	}
}

// request takes on new reads.
func (r *reads) request(core *raft.Core, arrived []*readWaiter) {
	for _, w := range arrived {
		if r.waiting >= r.max {
			w.done <- readOutcome{err: ErrBusy}
			continue
		}
		r.waiting++
		r.unasked[w.proof] = append(r.unasked[w.proof], w)
	}
	if len(arrived) > 0 {
		r.ask(core)
	}
}

// ask requests one read of the core for all that are unasked, and another one
// for those who want the other proof.
func (r *reads) ask(core *raft.Core) {
	if core.Leader() == raft.None {
		return
	}
	for proof := range proofs {
		if len(r.unasked[proof]) == 0 {
			continue
		}
		r.nextID++
		r.asked[r.nextID] = r.unasked[proof]
		r.unasked[proof] = nil
		if proof == byLease {
			core.LeaseRead(r.nextID)
		} else {
			core.ReadIndex(r.nextID)
		}
	}
}

// retry asks again for reads that failed because there was no leader or it
// changed, and forgets those that nobody waits for any more.
func (r *reads) retry(core *raft.Core) {
	for proof, waiters := range r.unasked {
		kept := waiters[:0]
		for _, w := range waiters {
			if w.ctx.Err() == nil {
				kept = append(kept, w)
			}
		}
		r.waiting -= len(waiters) - len(kept)
		clear(waiters[len(kept):])
		r.unasked[proof] = kept
	}
	r.ask(core)
}

// results takes in what the core says about reads.
//
// Trap 68 cannot happen here: a read has one outcome and one channel for it, and the
// core says what it was in the order in which things happened.
func (r *reads) results(results []raft.ReadResult) {
	for _, result := range results {
		waiters := r.asked[result.ID]
		delete(r.asked, result.ID)
		if result.Failed {
			for _, w := range waiters {
				r.unasked[w.proof] = append(r.unasked[w.proof], w)
			}
			continue
		}
		r.confirmed = append(r.confirmed, confirmedReads{result.Index, waiters})
	}
	if len(results) > 0 {
		r.applied(r.lastApplied)
	}
}

// applied lets go of the reads that the state machine has caught up with.
func (r *reads) applied(i raft.Index) {
	r.lastApplied = i
	kept := r.confirmed[:0]
	for _, c := range r.confirmed {
		if c.index > i { // rule:read.wait thesis 6.4 step 4: applied up to the read index, then answered
			kept = append(kept, c)
			continue
		}
		for _, w := range c.waiters {
			w.done <- readOutcome{index: c.index}
		}
		r.waiting -= len(c.waiters)
	}
	clear(r.confirmed[len(kept):])
	r.confirmed = kept
}
