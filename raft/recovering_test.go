package raft

import "testing"

// forgetful returns server 2 of three. Its log ended with entry 4 of term 2, of
// which its disk has kept the entries up to 2; its witness says so.
func forgetful(t *testing.T) *server {
	t.Helper()
	c, err := New(Config{ID: 2, Random: func(n int) int { return 2 % n }}, InitialState{
		HardState: HardState{CurrentTerm: 2},
		Log: LogState{
			Witness: EntryID{2, 4}, Last: 2, Spans: []TermSpan{{1, 1}, {2, 2}},
			Configurations: []IndexedConfiguration{{1, testConfiguration(3)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &server{Core: c, t: t}
}

// missing are the entries that the disk has lost, and one more.
func missing() []Entry {
	return []Entry{testEntry(2, 3, "a"), testEntry(2, 4, "b"), testEntry(2, 5, "c")}
}

// standsForElection waits far longer than an election timeout.
func (s *server) standsForElection() bool {
	s.t.Helper()
	for range 10 * s.cfg.ElectionTicks {
		if s.Tick(); s.Role() != Follower {
			return true
		}
	}
	return false
}

// A leads and has entry 4 on its own disk and on B's, so it is committed. B loses
// it. A dies. C, which never had it, must not be elected with B's vote.
func TestWhoHasLostAnEntryVotesForNobodyWhoLacksIt(t *testing.T) {
	for last, want := range map[EntryID]bool{{2, 2}: false, {2, 3}: false, {1, 9}: false, {2, 4}: true, {2, 5}: true, {3, 3}: true} {
		s := forgetful(t)
		if got := granted(s.receive(3, 4, &RequestVote{LastLog: last})); got != want {
			t.Errorf("a candidate whose log ends with %s: granted = %v, want %v; 4/t2 was acknowledged", last, got, want)
		}
	}
}

func TestWhoHasLostAnEntryDoesNotStandForElectionUntilItIsBack(t *testing.T) {
	s := forgetful(t)
	if s.standsForElection() {
		t.Fatal("a server that has lost entries stands for election")
	}
	s.receive(1, 2, &AppendEntries{Prev: EntryID{2, 2}, Entries: missing()[:1]})
	if s.standsForElection() {
		t.Fatal("a server that has received one of two lost entries stands for election")
	}
	s.receive(1, 2, &AppendEntries{Prev: EntryID{2, 3}, Entries: missing()[1:]})
	if !s.standsForElection() {
		t.Error("a server that has everything again never stands for election")
	}
}

// An entry of a later term comes from a leader who had all that was committed: the
// log is as good as the one that was lost, although it is shorter.
func TestALogOfALaterTermMakesUpForALongerOne(t *testing.T) {
	s := forgetful(t)
	s.receive(1, 3, &AppendEntries{Prev: EntryID{2, 2}, Entries: []Entry{testEntry(3, 3, "new")}})
	if !s.standsForElection() {
		t.Error("a server with the log of a later leader never stands for election")
	}
}

// Another crash must not make it forget that it has forgotten.
func TestTheWitnessStaysUntilEverythingIsBack(t *testing.T) {
	s := forgetful(t)
	for i, want := range []EntryID{{2, 4}, {2, 4}, {2, 5}} {
		prev := EntryID{2, 2 + Index(i)}
		s.Core.Step(Message{From: 1, To: 2, Term: 2, Body: &AppendEntries{Prev: prev, Entries: missing()[i : i+1]}})
		out := s.TakeOutput()
		if out.Write.Witness != want {
			t.Errorf("with the log up to %d/t2 the witness says %s, want %s", prev.Index+1, out.Write.Witness, want)
		}
		s.Written(out.Write.ID)
	}
}

// The directory of server 2 is restored from an old copy, with its witness. The
// leader remembers what it has acknowledged.
func TestTheLeadersMemoryReplacesALostWitness(t *testing.T) {
	s := newServer(t, 2, 3, 2, 1, 2)
	sent := s.receive(1, 2, &AppendEntries{Prev: EntryID{2, 2}, Match: EntryID{2, 4}})
	if reply := sent[0].Body.(*AppendEntriesReply); !reply.Lost {
		t.Errorf("answers %s and does not say that 4/t2 is lost", reply)
	}
	if s.standsForElection() {
		t.Error("stands for election although the leader has said that entries are lost")
	}
	if granted(s.receive(3, 4, &RequestVote{LastLog: EntryID{2, 3}})) {
		t.Error("votes for a candidate that lacks 4/t2, which it had acknowledged")
	}
}

// What a follower has lost is on one disk less, and must not be counted.
func TestALeaderForgetsWhatAFollowerHasLost(t *testing.T) {
	s := newServer(t, 1, 5, 1)
	s.becomeLeaderOf(5)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	s.receive(2, 2, &AppendEntriesReply{Lost: true, RejectedPrev: 1, Round: 1})
	s.receive(3, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if s.commitIndex != 0 {
		t.Errorf("commits %d, which is on two disks of five", s.commitIndex)
	}
	s.receive(4, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if s.commitIndex != 2 {
		t.Errorf("commitIndex %d, want 2: it is on three disks of five", s.commitIndex)
	}
}
