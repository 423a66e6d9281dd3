package autopilot

import (
	"slices"

	"balsa/raft"
)

// Who votes.

// handOver makes a leader that has left give up leadership. Its own departure is
// the one thing in gossip that nobody else can say.
func (d *deliberation) handOver() {
	i := slices.IndexFunc(d.servers, func(s *server) bool { return s.self })
	if i < 0 || !d.servers[i].hasLeft() {
		return
	}
	self := d.servers[i]
	var best *server
	for _, s := range d.voters() {
		if !s.self && s.healthy && !s.hasLeft() && (best == nil || s.match > best.match) {
			best = s
		}
	}
	if best == nil {
		self.say("left", "has left, but there is no other voter that could lead")
		return
	}
	d.propose(action{transfer: best.id, parts: []part{{self, "relieved by " + best.id.String() + ", because it has left"}}})
}

// isGone reports whether a member is to be removed: it left, or it is dead and
// the dead are removed. In either case Raft has not heard it for as long as it
// is gone in gossip, so that nobody who answers is ever removed, whatever gossip
// says.
func (d *deliberation) isGone(s *server) bool {
	if s.member == nil || s.self {
		return false
	}
	left := min(s.left, s.silent) >= d.cfg.StabilizationTime
	dead := d.cfg.RemoveDeadAfter > 0 && min(s.absent, s.silent) >= d.cfg.RemoveDeadAfter
	return left || dead
}

// takeVotes deals with voters that are gone. A voter is never removed as such:
// first its vote is taken, and in the same change given to a learner if one is
// ready; then it is a learner that is gone, which removeGone looks at anew. It
// reports whether there is such a voter whose vote can be taken.
func (d *deliberation) takeVotes() bool {
	voters := d.voters()
	gone := slices.DeleteFunc(slices.Clone(voters), func(s *server) bool { return !d.isGone(s) })
	ready, found := d.ready(), false
	for _, s := range gone {
		remaining := len(voters) - 1
		a := action{
			change: raft.Change{Set: []raft.Member{s.setVote(false)}},
			parts:  []part{{s, "removed, beginning with its vote"}},
		}
		if len(ready) > 0 {
			next := ready[0]
			remaining++
			a.change.Set = append(a.change.Set, next.setVote(true))
			a.parts = append(a.parts, part{next, "made a voter in place of " + s.id.String()})
		}
		if !s.hasLeft() && remaining < min(len(voters), d.cfg.MinVoters) {
			s.warn("kept", "votes, but seems to be dead; stays a member until a learner can take its place, because %s would be too few", count(remaining, "voter"))
			continue
		}
		d.propose(a)
		found = true
	}
	return found
}

// pairPatience is for how many stabilisation times a learner that is ready
// waits for another one, if there is only one voter.
const pairPatience = 3

// giveVotes makes voters of learners that are ready.
//
// It prefers an odd number. A fourth voter is one more to wait for and one more
// to fail, and does not make up for it: four survive no more failures than
// three. So with an odd number of voters two learners are promoted together, and
// one alone waits for another.
//
// The exception is a cluster with a single voter. Two voters are the worst
// number there is for availability: either one's failure stops them. But what a
// single voter acknowledges is on one disk only, and what two acknowledge is on
// both. So a learner that has waited in vain for a second one is promoted alone.
// It does wait, because servers are mostly started one after the other: from one
// voter straight to three, no failure of a newcomer is ever one too many.
func (d *deliberation) giveVotes() {
	ready, voters := d.ready(), len(d.voters())
	switch {
	case len(ready) == 0:
	case voters >= d.cfg.MaxVoters:
		for _, s := range ready {
			s.say("spare", "caught up; stays a learner, because %s are enough", count(voters, "voter"))
		}
	case voters%2 == 0:
		d.promote(ready[:1])
	case len(ready) >= 2:
		d.promote(ready[:2])
	case voters == 1 && ready[0].steady >= (1+pairPatience)*d.cfg.StabilizationTime:
		d.promote(ready)
	case voters == 1:
		ready[0].say("pair", "caught up; waits for a second learner for another %s, because two voters survive no failure",
			whole((1+pairPatience)*d.cfg.StabilizationTime-ready[0].steady))
	default:
		ready[0].say("pair", "caught up; stays a learner until there is another one, because %d voters survive no more failures than %d", voters+1, voters)
	}
}

func (d *deliberation) promote(learners []*server) {
	var a action
	for _, s := range learners {
		a.change.Set = append(a.change.Set, s.setVote(true))
		a.parts = append(a.parts, part{s, "made a voter"})
	}
	d.propose(a)
}
