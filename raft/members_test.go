package raft

import "testing"

// shrunk is the leader of three servers after n3 was removed.
func shrunk(t *testing.T) *server {
	t.Helper()
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if _, err := s.ChangeMembers(Change{Remove: []NodeID{3}}); err != nil {
		t.Fatal(err)
	}
	s.do()
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 3, Round: 2})
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 4, Round: 3})
	if st := s.Status(); st.CommitIndex != 4 || len(st.Configuration.Members) != 2 {
		t.Fatalf("commitIndex %d, %s; want n1 and n2 alone", st.CommitIndex, st.Configuration)
	}
	return s
}

// A server that was removed does not know it, and its answers arrive late.
//
// Trap 9.
// Rules: elect.majority, commit.majority, member.on-append.
func TestWhatARemovedServerSaysDoesNotCount(t *testing.T) {
	s := shrunk(t)
	if _, err := s.Propose([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.do()
	s.receive(3, 2, &AppendEntriesReply{Success: true, MatchIndex: 5, Round: 3})
	if s.commitIndex != 4 {
		t.Errorf("commitIndex = %d by an acknowledgement of n3, which was removed", s.commitIndex)
	}
	s.receive(2, 5, &AppendEntriesReply{}) // deposes it
	for s.Role() != PreCandidate {
		s.Tick()
	}
	s.do()
	s.receive(3, 6, &RequestVoteReply{PreVote: true, Granted: true})
	if s.Role() != PreCandidate {
		t.Fatalf("is %s by the PreVote of n3", s.Role())
	}
	s.receive(2, 6, &RequestVoteReply{PreVote: true, Granted: true})
	s.receive(3, 6, &RequestVoteReply{Granted: true})
	if s.Role() != Candidate {
		t.Fatalf("is %s by the vote of n3", s.Role())
	}
	s.receive(2, 6, &RequestVoteReply{Granted: true})
	if s.Role() != Leader {
		t.Errorf("is %s with both votes", s.Role())
	}
}

// A voter whose log ends before the entry that has made the candidate a voter does
// not know it as one, or not at all. It has to vote all the same: it may be the one
// that is missing, and the log of the candidate is what counts.
//
// Trap 15.
func TestAVoteDoesNotDependOnWhoTheVoterKnows(t *testing.T) {
	for _, preVote := range []bool{true, false} {
		s := newServer(t, 1, 3, 1)
		if !granted(s.receive(9, 2, &RequestVote{PreVote: preVote, LastLog: EntryID{1, 3}})) {
			t.Errorf("refused to a candidate with a longer log, because it is not in the own configuration (PreVote: %v)", preVote)
		}
	}
}

// A leader that finds an uncommitted change in its log makes no second one.
//
// Trap 45.
// Rules: member.one.
func TestAnInheritedChangeIsUnderWay(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	withLearner := testConfiguration(3)
	withLearner.Members = append(withLearner.Members, Member{ID: 4})
	inherited := NewEntry(EntryID{2, 2}, EntryConfiguration, withLearner.Encode())
	s.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{inherited}, LeaderCommit: 1})
	s.becomeLeaderOf(3)
	change := Change{Set: []Member{{ID: 5}}}
	if _, err := s.ChangeMembers(change); err != ErrChangePending {
		t.Errorf("a second change: %v, want %v", err, ErrChangePending)
	}
	s.receive(2, 3, &AppendEntriesReply{Success: true, MatchIndex: 3, Round: 1})
	if _, err := s.ChangeMembers(change); err != nil {
		t.Errorf("a change when the inherited one is committed: %v", err)
	}
}

// An entry from before the change is committed. That says nothing about the joint
// configuration behind it, which is not left before it is committed itself.
//
// Rules: member.leave.
func TestTheJointConfigurationIsNotLeftBeforeItIsCommitted(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if _, err := s.Propose([]byte("x")); err != nil { // entry 3
		t.Fatal(err)
	}
	s.receive(3, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if _, err := s.ChangeMembers(Change{Remove: []NodeID{3}}); err != nil { // entry 4
		t.Fatal(err)
	}
	s.do()
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 3, Round: 2})
	if st := s.Status(); st.CommitIndex != 3 || !st.Configuration.Joint() || st.LastIndex != 4 {
		t.Errorf("commitIndex %d, %s, log up to %d; want 3, and the joint configuration at the end", st.CommitIndex, st.Configuration, st.LastIndex)
	}
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 4, Round: 2})
	if st := s.Status(); st.CommitIndex != 4 || st.Configuration.Joint() || st.LastIndex != 5 {
		t.Errorf("commitIndex %d, %s, log up to %d; want 4, and the configuration that follows", st.CommitIndex, st.Configuration, st.LastIndex)
	}
}

// The step from the joint configuration to the new one is not a proposal, and is
// not refused as one: not by a transfer, and not because too much is uncommitted.
//
// Trap 46.
// Rules: member.leave.
func TestTheJointConfigurationIsLeftDuringATransfer(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.cfg.MaxUncommittedBytes = 100
	s.becomeLeaderOf(3)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	s.receive(3, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if _, err := s.ChangeMembers(Change{Remove: []NodeID{3}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Propose(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := s.TransferLeadership(2); err != nil {
		t.Fatal(err)
	}
	s.do()
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 3, Round: 2})
	if st := s.Status(); st.Configuration.Joint() || st.ConfigurationIndex != 5 {
		t.Errorf("%s of entry %d, want the one that follows the joint one, entry 5", st.Configuration, st.ConfigurationIndex)
	}
}

// A leader removes itself from a cluster of two. It needs the other for that, does
// not count itself in the end, and leaves at the end only.
//
// Trap 47.
// Rules: member.self.
func TestALeaderRemovesItselfFromAClusterOfTwo(t *testing.T) {
	s := newServer(t, 1, 2, 1)
	s.becomeLeaderOf(2)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if _, err := s.ChangeMembers(Change{Remove: []NodeID{1}}); err != nil {
		t.Fatal(err)
	}
	s.do()
	if s.commitIndex != 2 {
		t.Fatalf("commitIndex = %d, and n2 knows nothing of it", s.commitIndex)
	}
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 3, Round: 2})
	if s.Role() != Leader || s.commitIndex != 3 || s.log.last != 4 {
		t.Fatalf("is %s, commitIndex %d of %d; want a leader that waits for entry 4", s.Role(), s.commitIndex, s.log.last)
	}
	sent := s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 4, Round: 3})
	if s.Role() != Follower || s.commitIndex != 4 {
		t.Errorf("is %s, commitIndex %d; want a follower, and 4", s.Role(), s.commitIndex)
	}
	called := false
	for _, m := range sent {
		if _, ok := m.Body.(*TimeoutNow); ok && m.To == 2 {
			called = true
		}
	}
	if !called {
		t.Errorf("sends %v; want an order to n2, who is alone now", sent)
	}
}

// A member that was added a moment ago and has said nothing yet does not make the
// leader believe that it has lost its followers.
//
// Trap 48.
func TestANewMemberDoesNotUnseatTheLeader(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	answered := func(messages []Message) {
		for _, m := range messages {
			if ae, ok := m.Body.(*AppendEntries); ok && m.To == 2 {
				s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: ae.Prev.Index + Index(len(ae.Entries)), Round: ae.Round})
			}
		}
	}
	answered(s.do())
	for range 2 * s.cfg.ElectionTicks { // time enough to be forgotten in
		s.Tick()
		answered(s.do())
	}
	if _, err := s.ChangeMembers(Change{Set: []Member{{ID: 4}}}); err != nil {
		t.Fatal(err)
	}
	for range 4 * s.cfg.ElectionTicks {
		answered(s.do())
		s.Tick()
	}
	if s.Role() != Leader {
		t.Errorf("is %s", s.Role())
	}
}
