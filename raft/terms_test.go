package raft

import "testing"

// A leader whose entries do not fit is a leader all the same. A follower that can
// take none of them, and so refuses message after message, does not campaign.
//
// Trap 14.
// Rules: timer.reset.
func TestAFollowerThatRefusesEntriesDoesNotCampaign(t *testing.T) {
	s := newServer(t, 1, 3, 3)
	for range 3 * s.cfg.ElectionTicks {
		s.Tick()
		sent := s.receive(2, 3, &AppendEntries{Prev: EntryID{3, 9}, Entries: []Entry{testEntry(3, 10, "x")}})
		if reply, ok := sent[0].Body.(*AppendEntriesReply); !ok || reply.Success {
			t.Fatalf("answers %s", sent[0])
		}
	}
	if s.Role() != Follower || s.Leader() != 2 {
		t.Errorf("is %s, leader %s", s.Role(), s.Leader())
	}
}

// An election that brings no decision is followed by another, after a new timeout
// and not earlier: the answers need the time. The next term begins with a vote for
// the candidate itself, whomever it voted for before.
//
// Trap 4.
// Rules: elect.retry, elect.start.
func TestACandidateThatIsNotElectedTriesAgainInALaterTerm(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	if !granted(s.receive(2, 2, &RequestVote{LastLog: EntryID{1, 1}})) {
		t.Fatal("no vote for n2 in term 2")
	}
	for s.Role() == Follower {
		s.Tick()
	}
	s.do()
	for term := Term(3); term < 6; term++ {
		s.Core.Step(Message{From: 3, To: 1, Term: term, Body: &RequestVoteReply{PreVote: true, Granted: true}})
		out := s.TakeOutput()
		if s.Role() != Candidate || out.Write == nil || out.Write.HardState != (HardState{CurrentTerm: term, VotedFor: 1}) {
			t.Fatalf("is %s and writes %s; want a candidate that has voted for itself in term %d", s.Role(), out.Write, term)
		}
		s.Written(out.Write.ID)
		ticks := 0
		for ; s.Role() == Candidate && ticks <= 2*s.cfg.ElectionTicks; ticks++ {
			s.Tick()
		}
		if ticks < s.cfg.ElectionTicks || ticks > 2*s.cfg.ElectionTicks {
			t.Errorf("after %d ticks without an answer it is %s; an election timeout is %d ticks or more, less than twice that",
				ticks, s.Role(), s.cfg.ElectionTicks)
		}
		s.do()
	}
}

// Trap 10.
// Rules: reply.term, prevote.term.
func TestAVoteOfAnEarlierTermOrOfAPreVoteElectsNobody(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	for s.Role() != PreCandidate {
		s.Tick()
	}
	s.do()
	s.receive(2, 2, &RequestVoteReply{PreVote: true, Granted: true}) // term 2 begins
	for s.Role() != PreCandidate {
		s.Tick()
	}
	s.do()
	s.receive(2, 3, &RequestVoteReply{PreVote: true, Granted: true}) // and term 3
	s.receive(3, 2, &RequestVoteReply{Granted: true})                // a late answer
	s.receive(3, 3, &RequestVoteReply{PreVote: true, Granted: true}) // another one
	if s.Role() != Candidate || s.currentTerm != 3 {
		t.Fatalf("is %s in term %d; want a candidate in term 3, who has one vote", s.Role(), s.currentTerm)
	}
	s.receive(3, 3, &RequestVoteReply{Granted: true})
	if s.Role() != Leader {
		t.Errorf("is %s with two votes of three", s.Role())
	}
	s.receive(2, 3, &RequestVoteReply{}) // a refusal that comes when it leads already
	if s.Role() != Leader {
		t.Errorf("a leader that is refused a vote is %s", s.Role())
	}
}

// A leader that steps down within its term has still voted for itself in it.
//
// Trap 3.
// Rules: elect.yield, vote.once.
func TestALeaderThatStepsDownHasStillVotedForItself(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	for s.Role() == Leader { // nobody answers
		s.Tick()
	}
	s.do()
	if granted(s.receive(3, 2, &RequestVote{LastLog: EntryID{2, 2}})) {
		t.Error("votes for n3 in the term that it has led itself")
	}
}

// Every election timeout is drawn anew, from the whole of [T, 2T): two servers that
// have once stood up at the same time do so again and again otherwise.
//
// Rules: timer.random.
func TestEveryElectionTimeoutIsDrawnAnew(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	drawn := 0
	s.cfg.Random = func(n int) int {
		if n != s.cfg.ElectionTicks {
			t.Errorf("drawn from [0, %d), want [0, %d)", n, s.cfg.ElectionTicks)
		}
		drawn += 7
		return drawn % n
	}
	s.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}})
	for range 5 {
		want, ticks := s.cfg.ElectionTicks+drawn%s.cfg.ElectionTicks, 0
		for before := drawn; drawn == before && ticks < 3*s.cfg.ElectionTicks; ticks++ {
			s.Tick() // nobody answers its PreVotes
		}
		s.do()
		if ticks != want {
			t.Errorf("the timeout was %d ticks, want %d", ticks, want)
		}
	}
}
