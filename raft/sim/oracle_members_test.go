package sim

import (
	"testing"

	"balsa/raft"
)

// configuration returns one of the scene's servers, voters first.
func (s scene) configuration(voters []*node, learners ...*node) raft.Configuration {
	var c raft.Configuration
	for _, n := range s.nodes {
		for _, v := range voters {
			if v == n {
				c.Members = append(c.Members, n.member(true))
			}
		}
		for _, l := range learners {
			if l == n {
				c.Members = append(c.Members, n.member(false))
			}
		}
	}
	return c
}

// appendsConfiguration makes the oracle believe that the leader has appended a
// configuration.
func (s scene) appendsConfiguration(c raft.Configuration) {
	v := &s.leader.view
	e := raft.NewEntry(raft.EntryID{Term: s.term(), Index: v.log.last() + 1}, raft.EntryConfiguration, c.Encode())
	s.oracle.handedOut(s.leader, &raft.Write{ID: v.lastWrite + 1, HardState: v.hardState, Entries: []raft.Entry{e}})
	s.oracle.checkInForce(s.leader)
}

func TestTheOracleSeesViolationsThatHaveToDoWithMembers(t *testing.T) {
	expectViolations(t, []lie{
		{"the voters change in one step", "Configuration", func(s scene) {
			s.appendsConfiguration(s.configuration([]*node{s.leader, s.follower}, s.third))
		}},
		{"a member vanishes", "Configuration", func(s scene) {
			c := s.configuration(s.nodes)
			c.Members[s.third.id-1].VotedBefore = true
			c.Members[s.leader.id-1].VotedBefore = true
			c.Members[s.follower.id-1].VotedBefore = true
			s.appendsConfiguration(c)
			c = s.configuration([]*node{s.leader, s.follower})
			s.appendsConfiguration(c)
		}},
		{"a member has another disk from one moment to the next", "Configuration", func(s scene) {
			c := s.configuration(s.nodes)
			c.Members[0].Instance[5]++
			s.appendsConfiguration(c)
		}},
		{"a removed server is a member again", "Configuration", func(s scene) {
			c := s.configuration(s.nodes)
			c.Removed = []raft.RemovedMember{{ID: s.third.id, Instance: s.third.instance}}
			s.appendsConfiguration(c)
		}},
		{"two changes are under way", "One Change", func(s scene) {
			c := s.configuration(s.nodes)
			s.appendsConfiguration(c)
			c.Members[0].Address = "elsewhere"
			s.appendsConfiguration(c)
		}},
		{"two disjoint groups may decide", "Disjoint Quorums", func(s scene) {
			s.oracle.checkOverlap(s.leader,
				committedConfiguration{IndexedConfiguration: raft.IndexedConfiguration{Configuration: s.configuration([]*node{s.leader})}, chain: 1},
				committedConfiguration{IndexedConfiguration: raft.IndexedConfiguration{Configuration: s.configuration([]*node{s.follower, s.third})}, chain: 2})
		}},
		{"a change is accepted by a leader that has committed nothing of its term", "Configuration", func(s scene) {
			s.leader.view.commit = 1
			s.oracle.acceptedChange(s.leader)
		}},
		{"a change is accepted while another one is under way", "Configuration", func(s scene) {
			s.appendsConfiguration(s.configuration(s.nodes))
			s.oracle.acceptedChange(s.leader)
		}},
		{"a leader is elected without a quorum", "Election Quorum", func(s scene) {
			clear(s.oracle.votes)
			s.oracle.electedByQuorum(s.leader, s.term())
		}},
		{"a leader is elected by the vote of a disk that is gone", "Election Quorum", func(s scene) {
			for ballot := range s.oracle.votes {
				if ballot.voter != s.leader.instance {
					s.oracle.votes[ballotOf(raft.InstanceID{99}, ballot.term)] = s.oracle.votes[ballot]
					delete(s.oracle.votes, ballot)
				}
			}
			s.oracle.electedByQuorum(s.leader, s.term())
		}},
		{"a server stands for election with a disk that nobody has admitted", "Campaign", func(s scene) {
			s.follower.instance[5]++
			s.oracle.mayCampaign(s.follower)
		}},
		{"a learner's acknowledgement is counted", "Durability", func(s scene) {
			c := s.configuration([]*node{s.leader, s.follower}, s.third)
			s.leader.view.log.configurations = []raft.IndexedConfiguration{{Index: 1, Configuration: c}}
			s.leader.view.began.configurations = s.leader.view.log.configurations
			i := s.appends(s.leader, "new")
			s.leader.disk.log.records = s.leader.view.log.records
			s.third.disk.log.records = s.leader.view.log.records
			s.oracle.commit(s.leader, raft.Event{Role: raft.Leader, Term: s.term(), Last: i})
		}},
		{"only the old voters have what is committed in a joint configuration", "Durability", func(s scene) {
			c := s.configuration([]*node{s.third}, s.leader, s.follower)
			for i := range c.Members {
				c.Members[i].VotedBefore = true
			}
			s.leader.view.log.configurations = []raft.IndexedConfiguration{{Index: 1, Configuration: c}}
			s.leader.view.began.configurations = s.leader.view.log.configurations
			i := s.appends(s.leader, "new")
			s.leader.disk.log.records = s.leader.view.log.records
			s.follower.disk.log.records = s.leader.view.log.records
			s.oracle.commit(s.leader, raft.Event{Role: raft.Leader, Term: s.term(), Last: i})
		}},
		{"a follower orders an election", "Transfer", func(s scene) {
			s.oracle.sent(s.follower, s.message(s.follower, s.third, s.term(), &raft.TimeoutNow{}))
		}},
		{"a successor is called that lacks a part of the log", "Transfer", func(s scene) {
			s.appends(s.leader, "new")
			s.leader.view.turn(s.leader.core)
			s.leader.view.successors = []raft.NodeID{s.third.id}
			s.oracle.sent(s.leader, s.message(s.leader, s.third, s.term(), &raft.TimeoutNow{}))
		}},
		{"a voter retires", "Transfer", func(s scene) {
			s.oracle.sent(s.leader, s.message(s.leader, s.third, s.term(), &raft.TimeoutNow{}))
		}},
		{"an election by order that nobody has given", "Transfer", func(s scene) {
			s.follower.disk.hardState.VotedFor = s.follower.id
			s.oracle.sent(s.follower, s.message(s.follower, s.third, s.term(), &raft.RequestVote{Transfer: true}))
		}},
		{"a read is answered from a lease while another leader exists", "Lease", func(s scene) {
			s.oracle.newestTerm = s.term() + 1
			s.oracle.saw(s.leader, raft.Event{Kind: raft.EventReadConfirmed, Term: s.term(), Cause: "by lease"})
		}},
		{"a joint configuration that is never left", "Liveness", func(s scene) {
			c := s.configuration(s.nodes)
			for i := range c.Members {
				c.Members[i].VotedBefore = true
			}
			for _, n := range s.nodes {
				n.view.log.configurations = []raft.IndexedConfiguration{{Index: 1, Configuration: c}}
			}
			s.checkProgress(s.noHardship())
		}},
	})
}

func ballotOf(voter raft.InstanceID, term raft.Term) ballot { return ballot{voter, term} }

func TestQuorums(t *testing.T) {
	member := func(id raft.NodeID, votes, before bool) raft.Member {
		return raft.Member{ID: id, Votes: votes, VotedBefore: before}
	}
	var (
		three  = raft.Configuration{Members: []raft.Member{member(1, true, false), member(2, true, false), member(3, true, false), member(4, false, false)}}
		others = raft.Configuration{Members: []raft.Member{member(3, true, false), member(4, true, false), member(5, true, false)}}
		joint  = raft.Configuration{Members: []raft.Member{
			member(1, false, true), member(2, false, true), member(3, true, true), member(4, true, false), member(5, true, false),
		}}
	)
	for _, test := range []struct {
		c    raft.Configuration
		yes  []raft.NodeID
		want bool
	}{
		{three, nil, false},
		{three, []raft.NodeID{1, 4}, false}, // a learner does not count
		{three, []raft.NodeID{1, 2}, true},
		{joint, []raft.NodeID{1, 2, 3}, false}, // the old ones alone
		{joint, []raft.NodeID{3, 4, 5}, false}, // the new ones alone
		{joint, []raft.NodeID{1, 3, 4}, true},
	} {
		yes := func(m raft.Member) bool {
			for _, id := range test.yes {
				if id == m.ID {
					return true
				}
			}
			return false
		}
		if got := decides(test.c, yes); got != test.want {
			t.Errorf("%s, %v agree: %v, want %v", test.c, test.yes, got, test.want)
		}
	}
	for _, test := range []struct {
		a, b raft.Configuration
		want bool
	}{
		{three, three, true},
		{three, others, false},
		{three, joint, true},
		{joint, others, true},
		{joint, joint, true},
	} {
		if got := overlap(test.a, test.b); got != test.want || overlap(test.b, test.a) != test.want {
			t.Errorf("%s and %s overlap: %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

// What must be so at the end of a run has to be neither too much nor too little.
func TestAClusterMustGoOnWithAQuorumOfEveryConfigurationThatMayDecide(t *testing.T) {
	s := newScene(t)
	all, two := s.nodes, []*node{s.leader, s.follower}
	if !s.oracle.canGoOn(all) || !s.oracle.canGoOn(two) || s.oracle.canGoOn([]*node{s.leader}) {
		t.Error("three voters: want all and any two to be enough, and one not")
	}
	// The leader has put another one after it, in which it does not vote.
	newest := s.oracle.newestConfiguration().chain
	s.oracle.successors[newest] = []raft.Configuration{s.configuration([]*node{s.follower, s.third})}
	if s.oracle.canGoOn(two) {
		t.Error("both of the others may be needed")
	}
	if !s.oracle.canGoOn([]*node{s.follower, s.third}) {
		t.Error("both of the others are enough in either")
	}
	delete(s.oracle.successors, newest)
	// A disk that is gone votes no more.
	s.follower.newDisk()
	if s.oracle.canGoOn(two) {
		t.Error("one of two voters has lost its disk")
	}
}
