package modelcheck

import (
	"slices"

	"balsa/raft"
)

// step is the way from one world to the next.
type step struct {
	c    *Checker
	next world
	// history is that of the next world; shared says that it is also that of others.
	history *history
	shared  bool
	// sent are the messages that were sent in this step, touched the servers to
	// which something has happened, a set of indexes.
	sent    []messageRef
	touched uint
	wrong   *Violation
}

// take does what was chosen in a world. It returns false if that is impossible, or
// changes nothing.
func (x *step) take(w *world, o choice) bool {
	c := x.c
	net := append(x.next.net[:0], w.net...)
	x.next = *w
	x.next.net = net
	x.history, x.shared = c.histories.things[w.history], true
	x.sent, x.touched, x.wrong = x.sent[:0], 0, nil

	i := int(o.server)
	if o.kind == ReadIndex {
		x.asked(uint64(o.argument), i)
	}
	changed := false
	switch {
	case o.kind == Timeout && !c.scope.PreVotes:
		changed = x.campaign(i, o)
	default:
		done := x.run(i, o)
		changed = done.possible && done.changes(w.servers[i])
	}
	if x.wrong != nil {
		return true
	}
	if !changed {
		return false
	}
	if o.kind == Deliver {
		x.next.remove(messageRef(o.argument))
	}
	if b := o.kind.budget(); b >= 0 {
		x.next.used[b]++
	}
	if o.crash != NoCrash {
		x.next.used[crashes]++
	}
	if o.kind == Crash || o.kind == Lose || o.crash != NoCrash {
		x.forgetsReads(i)
	}
	if x.wrong == nil {
		x.finish()
	}
	return true
}

// run makes a server do something, and judges it.
func (x *step) run(i int, o choice) *outcome {
	before := x.next.servers[i]
	done := x.c.run(before, o)
	switch {
	case !done.possible:
	case done.wrong != nil:
		x.wrong = done.wrong
	default:
		x.next.servers[i] = done.after
		x.touched |= 1 << i
		x.sent = append(x.sent, done.sent...)
		x.judge(i, before, done)
	}
	return done
}

// campaign lets a server stand for election. It asks the others whether they would
// vote for it, and those who would say so at once; if they are no majority, nothing has
// happened.
//
// Nobody but the one who asks is changed by a PreVote, so it makes no difference what
// else happens between the question and the answer, except that somebody who would
// not vote any more might have said before that it would. Scope.PreVotes looks at that.
func (x *step) campaign(i int, o choice) bool {
	c := x.c
	if !x.run(i, choice{kind: Timeout, server: o.server}).possible || x.wrong != nil {
		return false
	}
	asked := slices.Clone(x.sent)
	x.sent = x.sent[:0]
	for _, question := range asked {
		if !c.isPreVote(question) {
			x.sent = append(x.sent, question) // of a server that needs no other's vote
			continue
		}
		answer, granted := c.preVote(question, &x.next)
		if !granted || c.views[x.next.servers[i]].role != raft.PreCandidate {
			continue
		}
		deliver := choice{kind: Deliver, server: o.server, argument: uint32(answer), crash: o.crash}
		if x.run(i, deliver).possible || x.wrong != nil {
			if o.crash != NoCrash {
				return true
			}
			continue
		}
		deliver.crash = NoCrash // there was nothing to write yet
		x.run(i, deliver)
	}
	return o.crash == NoCrash && c.views[x.next.servers[i]].role != raft.PreCandidate
}

func (c *Checker) isPreVote(m messageRef) bool {
	body, ok := c.messages.things[m].Body.(*raft.RequestVote)
	return ok && body.PreVote
}

// preVote asks a server for a PreVote. Who would not give it is as one who was not
// asked.
func (c *Checker) preVote(question messageRef, w *world) (answer messageRef, granted bool) {
	to := uint8(c.messages.things[question].To) - 1
	o := c.run(w.servers[to], choice{kind: Deliver, server: to, argument: uint32(question)})
	if !o.possible || o.after != w.servers[to] || len(o.sent) != 1 {
		return 0, false
	}
	body, ok := c.messages.things[o.sent[0]].Body.(*raft.RequestVoteReply)
	return o.sent[0], ok && body.PreVote && body.Granted
}

// finish puts together the next world: the network and the history.
func (x *step) finish() {
	for _, m := range x.sent {
		if x.next.insert(m) {
			x.touched |= 1 << (x.c.messages.things[m].To - 1)
		}
	}
	if !x.c.scope.Unreduced.DeadMessages {
		x.next.net = slices.DeleteFunc(x.next.net, func(m messageRef) bool { return x.isDead(m) })
	}
	x.forget()
	if !x.shared {
		x.next.history = x.c.addHistory(x.history)
	}
}

// change returns the history to be written to.
func (x *step) change() *history {
	if x.shared {
		x.history, x.shared = x.history.clone(), false
	}
	return x.history
}

// asked takes note of a read, and of what is committed before it is asked.
func (x *step) asked(id uint64, i int) {
	y := x.change()
	y.reads = append(y.reads, pendingRead{id, raft.NodeID(i + 1), y.committed()})
}

// forgetsReads takes note that nobody waits for the reads of a server any more.
func (x *step) forgetsReads(i int) {
	mine := func(r pendingRead) bool { return r.from == raft.NodeID(i+1) }
	if slices.ContainsFunc(x.history.reads, mine) {
		y := x.change()
		y.reads = slices.DeleteFunc(slices.Clone(y.reads), mine)
	}
}

// forget drops from the history what nobody can contradict any more: who was elected
// in a term that all disks have left behind, and votes in a term that the voter's disk
// has left behind.
func (x *step) forget() {
	c, y := x.c, x.history
	if len(y.leaders) > 0 {
		oldest := ^raft.Term(0)
		for _, s := range x.next.servers[:c.scope.servers()] {
			oldest = min(oldest, c.views[s].durable)
		}
		if y.leaders[0].term < oldest {
			y = x.change()
			y.leaders = slices.DeleteFunc(slices.Clone(y.leaders), func(l leaderOf) bool { return l.term < oldest })
		}
	}
	if len(y.votes) > 0 {
		y = x.change()
		y.votes = slices.DeleteFunc(slices.Clone(y.votes), func(l leaderOf) bool {
			return l.term < c.views[x.next.servers[l.voter-1]].durable
		})
	}
}
