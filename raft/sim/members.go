package sim

import (
	"errors"
	"slices"

	"balsa/raft"
)

// Operators change who is in the cluster. They talk to whoever they think leads,
// and act on what they think is so: most of the time that is what the server that
// they ask has in force, now and then it is what was so long ago, or what gossip
// says of a server that is dead or of a disk that is gone. The core must refuse
// what would do harm, and survive what it accepts.

// changeMembers lets an operator ask for a change.
func (w *world) changeMembers() {
	n := w.someoneBelievedToLead()
	if !n.up {
		return
	}
	basis := n.core.Configuration()
	lies := w.operatorRandom.chance(w.faults.Lies)
	if lies && w.operatorRandom.IntN(2) == 0 {
		basis = pick(w.operatorRandom, w.oracle.configurations...).IndexedConfiguration
	}
	if len(basis.Configuration.Members) == 0 {
		return // it has not heard of any cluster
	}
	change, ok := w.someChange(basis.Configuration, lies)
	if !ok {
		return
	}
	if w.operatorRandom.IntN(2) == 0 {
		change.Basis = basis.Index
	}
	w.act(Action{Verb: Change, Node: n.id, Change: w.described(change)})
}

// inChaos does what an operator has asked for, if faults still happen when it gets
// there. Whether the cluster can go on without some servers is decided when they
// end: a change that makes one of those count must not come after that.
func (w *world) inChaos(do func()) func() {
	return func() {
		if w.chaos {
			do()
		}
	}
}

// someoneBelievedToLead picks a node that operators take for the leader.
func (w *world) someoneBelievedToLead() *node {
	if leaders := w.leaders(); len(leaders) > 0 && w.operatorRandom.chance(0.95) {
		return pick(w.operatorRandom, leaders...)
	}
	return pick(w.operatorRandom, w.nodes...)
}

// changeMembers asks the core for a change.
func (n *node) changeMembers(change raft.Change) {
	stats := &n.w.stats.Members
	before := n.core.Configuration().Configuration
	id, err := n.core.ChangeMembers(change)
	n.w.note(n, "is asked to set %s and to remove %v: %s, %v", describe(change.Set), change.Remove, id, err)
	switch {
	case err == nil:
		n.w.oracle.acceptedChange(n)
		stats.count(before, n.core.Configuration().Configuration, n.id)
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrTransferring):
		stats.RefusedWrongServer++
	case errors.Is(err, raft.ErrChangePending):
		stats.RefusedPending++
	case errors.Is(err, raft.ErrLeaderTooNew):
		stats.RefusedTooNew++
	case errors.Is(err, raft.ErrOtherConfiguration):
		stats.RefusedOther++
	case errors.Is(err, raft.ErrNotCaughtUp):
		stats.RefusedNotCaughtUp++
	case errors.Is(err, raft.ErrNoLiveMajority):
		stats.RefusedNoMajority++
	case errors.Is(err, raft.ErrInvalidChange):
		stats.RefusedInvalid++
	}
}

func describe(members []raft.Member) string {
	return raft.Configuration{Members: members}.String()
}

// count counts what a change that a leader has accepted does.
func (s *MemberStatistics) count(before, after raft.Configuration, leader raft.NodeID) {
	changed := 0
	for _, m := range after.Members {
		old, known := before.Member(m.ID)
		switch {
		case !known:
			s.Added++
			changed++
			if slices.ContainsFunc(before.Removed, func(r raft.RemovedMember) bool { return r.ID == m.ID }) {
				s.Readded++
			}
		case m.Leaving:
			s.Removed++
			changed++
			if m.ID == leader {
				s.LeaderRemoved++
			}
		case m.Votes && !old.Votes:
			s.Promoted++
			changed++
		case !m.Votes && old.Votes:
			s.Demoted++
			changed++
			if m.ID == leader {
				s.LeaderDemoted++
			}
		}
	}
	for _, m := range before.Members {
		if _, stays := after.Member(m.ID); !stays {
			s.Removed++
			changed++
		}
	}
	if changed > 1 {
		s.Several++
	}
}

// someChange draws a change of a configuration. An honest operator wants a
// certain number of voters, and first gets rid of members that are gone. One that
// believes lies wants anything.
func (w *world) someChange(c raft.Configuration, lies bool) (raft.Change, bool) {
	r := w.operatorRandom
	var voters, learners, gone []raft.Member
	for _, m := range c.Members {
		switch {
		case !w.node(m.ID).is(m):
			gone = append(gone, m)
		case m.Votes:
			voters = append(voters, m)
		default:
			learners = append(learners, m)
		}
	}
	var outsiders []*node
	for _, n := range w.nodes {
		if _, known := c.Member(n.id); !known && !c.WasRemoved(n.id, n.instance) {
			outsiders = append(outsiders, n)
		}
	}
	if r.IntN(8) == 0 {
		w.targetVoters = 1 + r.IntN(min(7, len(w.nodes)))
	}
	switch {
	case lies:
		return w.falseChange(c, outsiders)
	case len(gone) > 0 && r.IntN(4) > 0:
		return raft.Change{Remove: []raft.NodeID{pick(r, gone...).ID}}, true
	case r.IntN(5) == 0:
		return w.changeOfSeveral(voters, learners, outsiders)
	case len(voters) < w.targetVoters && len(learners) > 0 && r.IntN(4) > 0:
		return raft.Change{Set: []raft.Member{withVote(pick(r, learners...), true)}}, true
	case len(voters) < w.targetVoters && len(outsiders) > 0:
		return raft.Change{Set: []raft.Member{pick(r, outsiders...).member(false)}}, true
	case len(voters) > w.targetVoters && r.IntN(2) == 0:
		return raft.Change{Set: []raft.Member{withVote(pick(r, voters...), false)}}, true
	case len(voters) > w.targetVoters:
		return raft.Change{Remove: []raft.NodeID{pick(r, voters...).ID}}, true
	case len(learners) > 0 && r.IntN(2) == 0:
		return raft.Change{Remove: []raft.NodeID{pick(r, learners...).ID}}, true
	}
	return raft.Change{}, false
}

func withVote(m raft.Member, votes bool) raft.Member {
	return raft.Member{ID: m.ID, Instance: m.Instance, Votes: votes}
}

// changeOfSeveral changes many members at once.
func (w *world) changeOfSeveral(voters, learners []raft.Member, outsiders []*node) (raft.Change, bool) {
	var change raft.Change
	r := w.operatorRandom
	for _, m := range voters {
		switch r.IntN(6) {
		case 0:
			change.Set = append(change.Set, withVote(m, false))
		case 1:
			change.Remove = append(change.Remove, m.ID)
		}
	}
	for _, m := range learners {
		switch r.IntN(6) {
		case 0, 1, 2:
			change.Set = append(change.Set, withVote(m, true))
		case 3:
			change.Remove = append(change.Remove, m.ID)
		}
	}
	for _, n := range outsiders {
		if r.IntN(4) == 0 {
			change.Set = append(change.Set, n.member(false))
		}
	}
	return change, len(change.Set)+len(change.Remove) > 0
}

// neverADisk is the number of a disk that no node ever has.
const neverADisk = 9999

// falseChange makes a change out of a wrong belief: a server that is fine is
// dead, one that is dead is fine, one that was removed is new.
func (w *world) falseChange(c raft.Configuration, outsiders []*node) (raft.Change, bool) {
	r := w.operatorRandom
	anybody := pick(r, w.nodes...)
	switch r.IntN(7) {
	case 0: // dead, they say
		return raft.Change{Remove: []raft.NodeID{pick(r, c.Members...).ID}}, true
	case 1: // a voter at once
		return raft.Change{Set: []raft.Member{anybody.member(true)}}, true
	case 2: // with a disk that it had once, or never
		m := anybody.member(r.IntN(2) == 0)
		m.Instance = diskName(m.ID, max(1, anybody.disks-1))
		if anybody.disks == 1 {
			m.Instance = diskName(m.ID, neverADisk)
		}
		return raft.Change{Set: []raft.Member{m}}, true
	case 3: // all of them
		change := raft.Change{}
		for _, n := range outsiders {
			change.Set = append(change.Set, n.member(false))
		}
		return change, len(outsiders) > 0
	case 4, 5: // all but one, which is dead or gone
		kept := slices.IndexFunc(c.Members, func(m raft.Member) bool {
			return m.Votes && (!w.node(m.ID).up || !w.node(m.ID).is(m))
		})
		if kept < 0 {
			return raft.Change{}, false
		}
		var change raft.Change
		leader := w.leader()
		for i, m := range c.Members {
			if i != kept && (leader == nil || m.ID != leader.id) {
				change.Remove = append(change.Remove, m.ID)
			}
		}
		return change, len(change.Remove) > 0
	default: // back again
		return raft.Change{Set: []raft.Member{withVote(pick(r, c.Members...), true)}}, true
	}
}

// transferLeadership lets an operator ask for a handover, to somebody who may be
// dead, no voter, or the leader itself.
func (w *world) transferLeadership() {
	n := w.someoneBelievedToLead()
	if !n.up {
		return
	}
	to := raft.None
	if w.operatorRandom.IntN(4) > 0 {
		to = pick(w.operatorRandom, w.voters()...).id
	}
	if w.operatorRandom.IntN(8) == 0 {
		to = pick(w.operatorRandom, w.nodes...).id
	}
	w.act(Action{Verb: Transfer, Node: n.id, Peer: to})
}

func (n *node) transferLeadership(to raft.NodeID) {
	err := n.core.TransferLeadership(to)
	n.w.note(n, "is asked to hand over to %s: %v", to, err)
	if err != nil {
		n.w.stats.Transfers.Refused++
	}
}

// wipe makes a node lose its disk. It starts again, soon, with an empty one: a
// new server that has the old one's id. It happens only while the cluster can
// bear the loss: that of a majority is for people to repair.
func (w *world) wipe(n *node) {
	rest := slices.DeleteFunc(slices.Clone(w.nodes), func(other *node) bool { return other == n })
	if !w.oracle.canGoOn(rest) {
		return
	}
	if n.up {
		n.crash("and loses its disk")
	} else {
		w.note(n, "loses its disk")
	}
	w.stats.Members.Wipes++
	w.oracle.bury(n)
	n.newDisk()
}
