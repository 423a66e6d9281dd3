package raft

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// decides reports whether the servers in the set are a quorum of c.
func decides(c Configuration, set uint) bool {
	ballots := map[NodeID]bool{}
	for id := NodeID(1); id <= 7; id++ {
		ballots[id] = set&(1<<id) != 0
	}
	return c.quorum().votes(ballots) == won
}

// Any two sets of servers that can decide, one under each of two configurations
// that may be in force at the same time, share a server (§6): Cold and Cold,new;
// Cold,new and Cnew. Cold and Cnew need not, and are never in force together.
//
// Trap 44.
func TestQuorumsOfNeighbouringConfigurationsShareAServer(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	joint := 0
	for range 300 {
		old := randomConfiguration(rng)
		next, err := old.after(randomChange(rng, old))
		if err != nil {
			continue
		}
		mustShareQuorums(t, old, next)
		if !next.Joint() {
			if !slices.Equal(old.Voters(), next.Voters()) {
				t.Fatalf("from %s to %s in one step", old, next)
			}
			continue
		}
		joint++
		last := next.left()
		mustShareQuorums(t, next, last)
		for _, m := range last.Members {
			if m.VotedBefore || m.Leaving {
				t.Fatalf("%s after the joint configuration %s was left", last, next)
			}
		}
	}
	if joint < 50 {
		t.Fatalf("only %d changes of voters among the random ones", joint)
	}
}

func mustShareQuorums(t *testing.T, a, b Configuration) {
	t.Helper()
	const all = 1 << 8
	for x := uint(0); x < all; x += 2 {
		if !decides(a, x) {
			continue
		}
		// The largest set that shares nobody with x.
		if decides(b, ^x&(all-1)) {
			t.Fatalf("%s decides with the servers %b, and %s with all the others", a, x, b)
		}
	}
}

func randomConfiguration(rng *rand.Rand) Configuration {
	var c Configuration
	for id := NodeID(1); id <= 7; id++ {
		if rng.IntN(3) > 0 {
			c.Members = append(c.Members, Member{ID: id, Votes: rng.IntN(3) > 0})
		}
	}
	if c.validate() != nil {
		return testConfiguration(1 + rng.IntN(5))
	}
	return c
}

func randomChange(rng *rand.Rand, c Configuration) Change {
	var change Change
	for id := NodeID(1); id <= 7; id++ {
		_, member := c.Member(id)
		switch rng.IntN(4) {
		case 0:
			change.Set = append(change.Set, Member{ID: id, Votes: rng.IntN(2) == 0})
		case 1:
			if member {
				change.Remove = append(change.Remove, id)
			}
		}
	}
	return change
}

func TestOnlySoManyRemovedServersAreRemembered(t *testing.T) {
	c := testConfiguration(2)
	for i := range MaxRemoved + 10 {
		c.remember(RemovedMember{ID: NodeID(100 + i)})
	}
	if err := c.validate(); err != nil {
		t.Fatal(err)
	}
	if c.WasRemoved(109, InstanceID{}) || !c.WasRemoved(110, InstanceID{}) || !c.WasRemoved(NodeID(100+MaxRemoved+9), InstanceID{}) {
		t.Errorf("the %d removed last are not those that are remembered", MaxRemoved)
	}
}

// A change computed from one configuration must not alter it: it stays in force
// until the new one is appended, and may be in force again after a truncation.
func TestComputingAChangeLeavesTheConfigurationAlone(t *testing.T) {
	c := testConfiguration(3)
	before := c.clone()
	next, err := c.after(Change{Set: []Member{{ID: 1}}, Remove: []NodeID{2}})
	if err != nil {
		t.Fatal(err)
	}
	next.left()
	if !slices.Equal(c.Members, before.Members) || !slices.Equal(c.Removed, before.Removed) {
		t.Errorf("was %v, is %v", before, c)
	}
}

// A leader that is alone counts its own disk and nobody else, also while it makes
// a second server a voter.
//
// Trap 49.
func TestTheOnlyVoterCommitsAChangeByItself(t *testing.T) {
	s := newServer(t, 1, 1, 1)
	for s.Role() != Leader {
		s.Tick()
		s.do()
	}
	if _, err := s.ChangeMembers(Change{Set: []Member{{ID: 2}}}); err != nil {
		t.Fatal(err)
	}
	s.do()
	if st := s.Status(); st.ConfigurationIndex > st.CommitIndex {
		t.Errorf("the configuration of entry %d is not committed (%d)", st.ConfigurationIndex, st.CommitIndex)
	}
}

// n4 is dead, and n3 is slow. As long as the joint configuration is in force, three of
// the four are needed; after that two of the three that are left, and what two have
// by then is committed without another message from anybody.
//
// Trap 48.
// Rules: member.on-append, commit.majority.
func TestRemovingADeadServerCommitsWhatWaitedForIt(t *testing.T) {
	s := newServer(t, 1, 4, 1)
	s.becomeLeaderOf(4)
	for _, id := range []NodeID{2, 3} {
		s.receive(id, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	}
	if _, err := s.ChangeMembers(Change{Remove: []NodeID{4}}); err != nil { // entry 3
		t.Fatal(err)
	}
	if _, err := s.Propose([]byte("x")); err != nil { // entry 4
		t.Fatal(err)
	}
	s.do()
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 4, Round: 2})
	if s.commitIndex != 2 {
		t.Fatalf("commitIndex = %d with two of the four old voters", s.commitIndex)
	}
	s.receive(3, 2, &AppendEntriesReply{Success: true, MatchIndex: 3, Round: 2})
	if st := s.Status(); st.Configuration.Joint() || st.ConfigurationIndex != 5 || st.CommitIndex != 4 {
		t.Fatalf("%s of entry %d, commitIndex %d; want n1 to n3, entry 5, and 4", st.Configuration, st.ConfigurationIndex, st.CommitIndex)
	}
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 5, Round: 3})
	if s.commitIndex != 5 {
		t.Errorf("commitIndex = %d with two of the three voters that are left", s.commitIndex)
	}
}

// A transfer to a server that is removed meanwhile would block proposals
// for nothing.
func TestATransferEndsWhenItsTargetIsNoVoterAnyMore(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	if err := s.TransferLeadership(3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ChangeMembers(Change{Remove: []NodeID{3}}); err != ErrTransferring {
		t.Errorf("a change during a transfer: %v, want %v", err, ErrTransferring)
	}
	if _, err := s.Propose([]byte("x")); err != ErrTransferring {
		t.Errorf("a proposal during a transfer: %v, want %v", err, ErrTransferring)
	}
	for range s.cfg.ElectionTicks {
		s.Tick()
	}
	if _, err := s.Propose([]byte("x")); err != nil {
		t.Errorf("a proposal after the transfer was given up: %v", err)
	}
}

// n1 was the only voter once, lost its disk, was removed and added again. It
// receives the log from its beginning and comes to the entry in which its earlier
// self is the only voter. It must not take that for a majority of one.
//
// Trap 42.
// Rules: member.instance.
func TestAServerThatLostItsDiskIsNotTheVoterThatItWas(t *testing.T) {
	old := Configuration{Members: []Member{{ID: 1, Instance: InstanceID{1}, Votes: true}}}
	founding, err := FoundingEntry(old)
	if err != nil {
		t.Fatal(err)
	}
	for instance, mayLead := range map[InstanceID]bool{{1}: true, {2}: false, {}: true} {
		c, err := New(Config{ID: 1, Instance: instance, Random: func(int) int { return 0 }}, InitialState{})
		if err != nil {
			t.Fatal(err)
		}
		s := &server{Core: c, t: t}
		s.receive(2, 5, &AppendEntries{Entries: []Entry{founding}, LeaderCommit: 1})
		for range 100 {
			s.Tick()
			s.do()
		}
		if got := s.Role() == Leader; got != mayLead {
			t.Errorf("with data directory %v it is %s", instance[0], s.Role())
		}
	}
}

// Trap 42.
// Rules: member.disk.
func TestWhatALostDiskAcknowledgesOrVotesCountsForNothing(t *testing.T) {
	s := newServer(t, 1, 3, 1) // the members' instances are zero
	for s.Role() != PreCandidate {
		s.Tick()
	}
	s.do()
	stranger := InstanceID{7}
	s.Core.Step(Message{From: 2, To: 1, Term: 2, Instance: stranger, Body: &RequestVoteReply{PreVote: true, Granted: true}})
	if s.Role() != PreCandidate {
		t.Fatalf("is %s by the pre-vote of another data directory", s.Role())
	}
	s.becomeLeaderOf(3)
	s.Core.Step(Message{From: 2, To: 1, Term: 2, Instance: stranger, Body: &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1}})
	s.do()
	if s.commitIndex != 0 {
		t.Errorf("commitIndex = %d by the acknowledgement of another data directory", s.commitIndex)
	}
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if s.commitIndex != 2 {
		t.Errorf("commitIndex = %d, want 2", s.commitIndex)
	}
}

// The quorum goes back with the configuration. A server whose log has lost a
// configuration of five servers needs one other vote again, as one of three.
func TestTruncationTakesTheQuorumBack(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	bigger := NewEntry(EntryID{2, 2}, EntryConfiguration, testConfiguration(5).Encode())
	s.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{bigger}})
	s.receive(3, 3, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{testEntry(3, 2, "x")}})
	for s.Role() != PreCandidate {
		s.Tick()
	}
	s.do()
	s.receive(2, 4, &RequestVoteReply{PreVote: true, Granted: true})
	s.receive(2, 4, &RequestVoteReply{Granted: true})
	if s.Role() != Leader {
		t.Errorf("is %s with two votes of three", s.Role())
	}
}
