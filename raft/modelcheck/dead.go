package modelcheck

import "balsa/raft"

// Dead messages. A message that will never change anything, whenever it arrives, can as
// well be lost: worlds that differ only in such messages are one. This is the reduction
// that matters most.
//
// Two things must come together. The first is a rule, one of those below, that says why
// such a message stays useless once it is. The second is a trial: the real server is
// given the message, and it must not change, nor say anything but what is dead as well.
// So a rule that is true of Raft cannot hide a server that does not obey it: one that
// counts the votes of an earlier term, say, changes when it is given one, and the
// message stays. The trial alone would not do either: a leader ignores a request for
// its vote, and votes after it has stepped down.
//
// "Never" leaves one thing out. A server that crashes forgets what it had learnt from a
// message (commitIndex, who leads), and could learn it again from a copy. Those copies
// are lost here; it will learn it from others.

// isDead reports whether a message on its way in the next world is dead.
func (x *step) isDead(m messageRef) bool {
	message := &x.c.messages.things[m]
	to, from := int(message.To)-1, int(message.From)-1
	if x.touched>>to&1 == 0 && x.touched>>from&1 == 0 {
		return false // it was not before, and nothing has changed since
	}
	return x.c.isDead(m, x.next.servers[to], x.next.servers[from])
}

func (c *Checker) isDead(m messageRef, to, from serverRef) bool {
	if !c.isUseless(m, to) {
		return false // nearly always, and quickly
	}
	key := deadKey{m, to, from}
	dead, known := c.dead[key]
	if !known {
		dead = c.triedInVain(m, to, from)
		c.dead[key] = dead
	}
	return dead
}

// isUseless applies the rules. They speak of what the receiver has on disk, for what
// it only has in mind a crash can undo.
func (c *Checker) isUseless(m messageRef, to serverRef) bool {
	message, v := &c.messages.things[m], &c.views[to]
	if message.Term < v.durable {
		// Terms only grow. Snapshots are as good as they were.
		_, snapshot := message.Body.(*raft.InstallSnapshot)
		return !snapshot
	}
	if message.Term > v.durable || message.Term < v.term {
		return isUselessPreVote(&message.Message, v)
	}
	leads := v.role == raft.Leader
	switch body := message.Body.(type) {
	case *raft.RequestVote:
		// There is one vote in a term.
		return !body.PreVote && v.vote != raft.None && v.vote != message.From
	case *raft.RequestVoteReply:
		// The ballot is counted, or the election is over; the next one is in another term.
		return !body.PreVote
	case *raft.AppendEntries:
		// A trial that is answered with success, by a server that does not change, means
		// that the entries are there. They stay while the leader is the same.
		return !leads
	case *raft.AppendEntriesReply:
		// What is known to match goes on matching while the leader is the same. Who does
		// not lead now will not lead in this term again.
		return !leads || body.Success && body.MatchIndex <= v.match[message.From-1] ||
			!body.Success && body.RejectedPrev <= v.match[message.From-1]
	case *raft.ReadIndex:
		return !leads
	case *raft.ReadIndexReply:
		return true // reads are asked for before they are answered
	case *raft.InstallSnapshot:
		return body.Snapshot.Last.Index <= v.commit
	}
	return false
}

// isUselessPreVote: a granted PreVote bears the term that the election would be in.
func isUselessPreVote(m *raft.Message, v *view) bool {
	body, ok := m.Body.(*raft.RequestVoteReply)
	return ok && body.PreVote && body.Granted && m.Term <= v.durable
}

// triedInVain reports whether a server that is given a message does not change, and
// says nothing that would not be dead. A refusal of entries is never in vain while it
// can make the leader try others.
func (c *Checker) triedInVain(m messageRef, to, from serverRef) bool {
	o := c.run(to, choice{kind: Deliver, server: uint8(c.views[to].id) - 1, argument: uint32(m)})
	if !o.possible || o.after != to || len(o.facts) > 0 || o.wrong != nil {
		return false
	}
	_, entries := c.messages.things[m].Body.(*raft.AppendEntries)
	for _, answer := range o.sent {
		a := &c.messages.things[answer]
		if entries {
			if reply, ok := a.Body.(*raft.AppendEntriesReply); !ok || !reply.Success {
				return false
			}
		}
		if a.To != c.views[from].id || !c.isDead(answer, from, to) {
			return false
		}
	}
	return true
}
