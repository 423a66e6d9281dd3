package raft

import (
	"errors"
	"fmt"
	"slices"
)

// Changing who is in the cluster (§6, thesis ch. 4).
//
// A configuration takes effect on each server as soon as it is in its log. If
// the voters were exchanged in one step, there would be a time at which some
// servers decide by the old ones and others by the new ones, and two majorities
// that share nobody could decide differently. So a change of voters takes two
// steps. While the joint configuration is in force, every decision needs a
// majority of the old voters and one of the new ones; when it is committed, no
// majority of the old voters alone can decide anything any more, and the new
// voters can be left to themselves:
//
//	Cold ----> Cold,new ----------------------> Cnew
//	    append         committed: append Cnew       committed: done
//
// The second step is taken by whoever leads when the joint configuration is
// committed, so that a leader that dies in between leaves nothing undone.
// Learners decide nothing; adding or removing one takes a single step.

// Change asks for another configuration.
type Change struct {
	// Basis, unless it is zero, is the index of the configuration that the
	// change was computed from. If another one is in force the change is
	// refused with ErrOtherConfiguration.
	Basis Index
	// Set are servers to add and members to alter: ID, Instance, Address, Votes
	// and Held are taken over. Who is no member yet is added; a member is promoted,
	// demoted or gets another address, and its Instance must be what it was. A
	// server must be a learner that has caught up before it can vote.
	Set []Member
	// Remove are members to remove.
	Remove []NodeID
}

// Errors of [Core.ChangeMembers], beside ErrNotLeader and ErrTransferring. In
// each case nothing was changed.
var (
	// ErrChangePending: another change is under way. Try again when it is done.
	ErrChangePending = errors.New("raft: another change of members is under way")
	// ErrLeaderTooNew: the leader has not committed an entry of its own term.
	// Try again in a moment.
	ErrLeaderTooNew = errors.New("raft: the leader is too new to know which configuration is in force")
	// ErrOtherConfiguration: the configuration is not the change's Basis.
	ErrOtherConfiguration = errors.New("raft: another configuration is in force by now")
	// ErrNotCaughtUp: a server that is to vote is not a learner that has caught
	// up. Wrapped with which one and how far it is.
	ErrNotCaughtUp = errors.New("raft: a new voter has to catch up as a learner first")
	// ErrNoLiveMajority: too many voters of the new configuration are silent
	// for it to decide anything. Wrapped with which ones.
	ErrNoLiveMajority = errors.New("raft: the change would leave no majority that answers")
	// ErrInvalidChange: the change can never be made. Wrapped with the reason.
	ErrInvalidChange = errors.New("raft: not a possible change")
)

// ChangeMembers appends the configuration that the change leads to, and returns
// the identity of its entry. If voters change it is a joint configuration, and
// the one that ends it will follow by itself: the change is done when
// [Status].Configuration is committed and not joint.
//
// Trap 51 cannot happen here: a change is judged once, by the configuration in force,
// and the entry holds the whole configuration that it leads to.
func (c *Core) ChangeMembers(change Change) (EntryID, error) {
	switch {
	case c.role != Leader:
		return EntryID{}, ErrNotLeader
	case c.transfer.to != None:
		return EntryID{}, ErrTransferring
	}
	latest := c.log.latestConfiguration()
	if latest.Index > c.commitIndex || latest.Configuration.Joint() { // rule:member.one thesis 4.1 one change at a time
		return EntryID{}, ErrChangePending
	}
	if term, _ := c.log.term(c.commitIndex); term != c.currentTerm { // rule:member.ownterm thesis 4.1 first something of the own term is committed
		return EntryID{}, ErrLeaderTooNew
	}
	if change.Basis != 0 && change.Basis != latest.Index {
		return EntryID{}, fmt.Errorf("%w: that of entry %d, not of entry %d", ErrOtherConfiguration, latest.Index, change.Basis)
	}
	next, err := latest.Configuration.after(change)
	if err != nil {
		return EntryID{}, fmt.Errorf("%w: %w", ErrInvalidChange, err)
	}
	if err := c.mayVote(latest.Configuration, next); err != nil {
		return EntryID{}, err
	}
	return c.appendConfiguration(next), nil
}

// appendConfiguration puts a configuration in force. A round begins with it, so
// that a newcomer's answers can be told from those of a server that had its id
// before: see progress.joined.
func (c *Core) appendConfiguration(configuration Configuration) EntryID {
	e := NewEntry(EntryID{c.currentTerm, c.log.last + 1}, EntryConfiguration, configuration.Encode())
	c.appendToLog(e)
	// Those who have promised may be no majority of the new voters. (A marked
	// round that is under way is counted by the new rule.)
	c.lease.held = false // rule:lease.members thesis 6.4.1 a change of members ends the lease
	c.beginRound()
	return e.ID()
}

// after returns the configuration that a change of c, which is not joint, leads
// to: a joint one if the voters change.
func (c Configuration) after(change Change) (Configuration, error) {
	next := Configuration{Members: slices.Clone(c.Members), Removed: slices.Clone(c.Removed)}
	var named []NodeID
	for _, m := range change.Set {
		if err := next.set(m); err != nil {
			return Configuration{}, err
		}
		named = append(named, m.ID)
	}
	for _, id := range change.Remove {
		m, ok := c.Member(id)
		if !ok {
			return Configuration{}, fmt.Errorf("%s is not a member", id)
		}
		next.Members = slices.DeleteFunc(next.Members, func(m Member) bool { return m.ID == id })
		next.remember(RemovedMember{m.ID, m.Instance})
		named = append(named, id)
	}
	slices.Sort(named)
	if len(slices.Compact(named)) != len(change.Set)+len(change.Remove) {
		return Configuration{}, errors.New("a server is named twice")
	}
	if slices.Equal(next.Members, c.Members) {
		return Configuration{}, errors.New("nothing would change")
	}
	if err := next.validate(); err != nil {
		return Configuration{}, err
	}
	if slices.Equal(c.Voters(), next.Voters()) {
		return next, nil
	}
	return next.joinedWith(c), nil
}

// set adds a server or alters a member.
func (c *Configuration) set(m Member) error {
	m = Member{ID: m.ID, Instance: m.Instance, Address: m.Address, Votes: m.Votes, Held: m.Held}
	if c.WasRemoved(m.ID, m.Instance) {
		return fmt.Errorf("%s was removed with this data directory and stays out; start it with an empty one to bring it back", m.ID)
	}
	i, found := slices.BinarySearchFunc(c.Members, m.ID, compareMember)
	switch {
	case !found:
		c.Members = slices.Insert(c.Members, i, m)
	case c.Members[i].Instance != m.Instance:
		return fmt.Errorf("%s is a member with another data directory; remove it first, or give the new server another id", m.ID)
	default:
		c.Members[i] = m
	}
	return nil
}

// remember takes note of a removed server.
func (c *Configuration) remember(r RemovedMember) {
	c.Removed = append(c.Removed, r)
	if n := len(c.Removed) - MaxRemoved; n > 0 {
		c.Removed = slices.Delete(c.Removed, 0, n)
	}
}

// joinedWith returns Cold,new for Cnew = c: the old voters stay as members until
// the joint configuration is left.
func (c Configuration) joinedWith(old Configuration) Configuration {
	for _, m := range old.Members {
		if !m.Votes {
			continue
		}
		i, stays := slices.BinarySearchFunc(c.Members, m.ID, compareMember)
		if stays {
			c.Members[i].VotedBefore = true
			continue
		}
		m.Votes, m.VotedBefore, m.Leaving = false, true, true
		c.Members = slices.Insert(c.Members, i, m)
	}
	return c
}

// left returns the Cnew of a joint configuration.
func (c Configuration) left() Configuration {
	next := Configuration{Removed: c.Removed}
	for _, m := range c.Members {
		if !m.Leaving {
			m.VotedBefore = false
			next.Members = append(next.Members, m)
		}
	}
	return next
}

// mayVote checks that the new voters would be of use. Neither test is needed for
// safety. But a configuration is in force from the moment when it is appended,
// and cannot be taken back by a leader that finds no majority for it.
func (c *Core) mayVote(old, next Configuration) error {
	var silent []NodeID
	ballots := map[NodeID]bool{c.id: true}
	for _, m := range next.Members {
		p := c.peers[m.ID]
		heard := m.ID == c.id || p != nil && c.now-p.lastReply <= uint64(2*c.cfg.ElectionTicks)
		if !heard && next.IsVoter(m.ID) {
			silent = append(silent, m.ID)
		}
		ballots[m.ID] = heard
		if !m.Votes || old.IsVoter(m.ID) {
			continue
		}
		if p == nil || p.state != replicating || p.match+Index(c.cfg.MaxPromotionLag) < c.commitIndex { // rule:member.catchup thesis 4.2.1 a voter has most of the log
			return fmt.Errorf("%w: %s", ErrNotCaughtUp, c.describeLag(m.ID, p))
		}
	}
	if next.quorum().votes(ballots) != won {
		return fmt.Errorf("%w: %v silent", ErrNoLiveMajority, silent)
	}
	return nil
}

func (c *Core) describeLag(id NodeID, p *progress) string {
	if p == nil {
		return fmt.Sprintf("%s is no learner yet", id)
	}
	return fmt.Sprintf("%s has entry %d of %d (%s)", id, p.match, c.commitIndex, p.state)
}

// configurationCommitted takes the next step of a change when a leader has
// committed the configuration in force.
func (c *Core) configurationCommitted() {
	latest := c.log.latestConfiguration()
	switch {
	case latest.Index > c.commitIndex:
	case latest.Configuration.Joint():
		c.appendConfiguration(latest.Configuration.left()) // rule:member.leave §6 the joint configuration is committed: on to Cnew
	case !c.votes:
		c.retire() // rule:member.self §6 a leader that Cnew leaves out leads until it is committed
	}
}

// retire ends the office of a leader that votes no more. Somebody has to follow;
// that need not take an election timeout.
func (c *Core) retire() {
	if successor := c.mostAdvancedVoter(); successor != None {
		c.send(successor, &TimeoutNow{})
	}
	c.becomeFollower(c.currentTerm, None)
}
