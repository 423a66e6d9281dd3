package raft

import (
	"strings"
	"testing"
)

// The tests of this file are mistakes that real Raft systems made. Each drives
// one core by hand.

// server is one core whose disk is instant.
type server struct {
	*Core
	t *testing.T
}

func newServer(t *testing.T, id NodeID, voters int, term Term, terms ...Term) *server {
	t.Helper()
	if len(terms) == 0 {
		terms = []Term{1}
	}
	return &server{Core: coreWithLog(t, id, voters, term, terms), t: t}
}

// do carries out what the core wants and returns what it sends.
func (s *server) do() []Message {
	s.t.Helper()
	var sent []Message
	for {
		out := s.TakeOutput()
		if out.Write == nil && len(out.Send)+len(out.SendAfterWrite) == 0 && out.Apply.First == 0 {
			return sent
		}
		if out.Write != nil {
			s.Written(out.Write.ID)
		}
		for _, m := range append(out.Send, out.SendAfterWrite...) {
			if m.To == s.id {
				s.Core.Step(m)
			} else {
				sent = append(sent, m)
			}
		}
		if out.Apply.First != 0 {
			s.Applied(out.Apply.Last)
		}
		if err := s.CheckInvariants(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// receive steps one message and returns what the core sends in answer.
func (s *server) receive(from NodeID, term Term, body Body) []Message {
	s.t.Helper()
	s.Core.Step(Message{From: from, To: s.id, Term: term, Body: body})
	return s.do()
}

// granted reports whether the messages are one granted vote.
func granted(messages []Message) bool {
	if len(messages) != 1 {
		return false
	}
	reply, ok := messages[0].Body.(*RequestVoteReply)
	return ok && reply.Granted
}

// becomeLeaderOf makes the server win the next term with the votes of all.
func (s *server) becomeLeaderOf(voters int) {
	s.t.Helper()
	for s.Role() != PreCandidate {
		s.Tick()
	}
	s.do()
	for id := NodeID(1); id <= NodeID(voters); id++ {
		if id != s.id {
			s.receive(id, s.currentTerm+1, &RequestVoteReply{PreVote: true, Granted: true})
		}
	}
	for id := NodeID(1); id <= NodeID(voters); id++ {
		if id != s.id {
			s.receive(id, s.currentTerm, &RequestVoteReply{Granted: true})
		}
	}
	if s.Role() != Leader {
		s.t.Fatalf("%s is %s, not leader", s.id, s.Role())
	}
}

func TestVoteIsKeptWhenACandidateGivesWayInItsOwnTerm(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	for s.Role() != PreCandidate {
		s.Tick()
	}
	s.do()
	s.receive(2, 2, &RequestVoteReply{PreVote: true, Granted: true})
	if s.Role() != Candidate {
		t.Fatalf("is %s", s.Role())
	}
	s.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}})
	if s.Role() != Follower || s.votedFor != 1 {
		t.Fatalf("is %s, has voted for %s; want a follower that has voted for itself", s.Role(), s.votedFor)
	}
	s.leader = None // even if it forgot who leads
	if granted(s.receive(3, 2, &RequestVote{LastLog: EntryID{1, 1}})) {
		t.Error("voted twice in term 2")
	}
}

func TestANewTermBeginsWithoutAVote(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	if !granted(s.receive(2, 2, &RequestVote{LastLog: EntryID{1, 1}})) {
		t.Fatal("no vote for n2 in term 2")
	}
	if granted(s.receive(3, 2, &RequestVote{LastLog: EntryID{1, 1}})) {
		t.Fatal("a second vote in term 2")
	}
	if !granted(s.receive(2, 2, &RequestVote{LastLog: EntryID{1, 1}})) {
		t.Error("the same candidate asks again and is refused: its first answer may have been lost")
	}
	if !granted(s.receive(3, 3, &RequestVote{LastLog: EntryID{1, 1}})) {
		t.Error("no vote for n3 in term 3")
	}
}

func TestALaterLastTermBeatsALongerLog(t *testing.T) {
	for _, test := range []struct {
		last EntryID
		want bool
	}{
		{EntryID{3, 5}, true},
		{EntryID{3, 6}, true},
		{EntryID{3, 4}, false},
		{EntryID{2, 50}, false}, // longer, and older
		{EntryID{4, 1}, true},   // shorter, and newer
	} {
		s := newServer(t, 1, 3, 4, 1, 1, 2, 3, 3)
		if got := granted(s.receive(2, 5, &RequestVote{LastLog: test.last})); got != test.want {
			t.Errorf("own log ends with 5/t3, candidate's with %s: granted = %v", test.last, got)
		}
	}
}

func TestAPreVoteLeavesNoTrace(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	elapsed := s.electionElapsed
	s.Tick()
	s.Core.Step(Message{From: 2, To: 1, Term: 2, Body: &RequestVote{PreVote: true, LastLog: EntryID{1, 1}}})
	out := s.TakeOutput()
	if out.Write != nil {
		t.Errorf("a PreVote was written: %s", out.Write)
	}
	if s.currentTerm != 1 || s.votedFor != None || s.electionElapsed != elapsed+1 {
		t.Errorf("term %d, vote %s, timer %d: a PreVote changed something", s.currentTerm, s.votedFor, s.electionElapsed)
	}
	if m := out.Send[0]; m.Term != 2 || !m.Body.(*RequestVoteReply).Granted {
		t.Errorf("answered %s; want a grant that carries the term that was asked about", m)
	}
	if !granted(s.receive(3, 2, &RequestVote{LastLog: EntryID{1, 1}})) {
		t.Error("the real vote of term 2 was refused to another candidate")
	}
}

func TestAcknowledgementsOfStrangersDoNotCommit(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	s.receive(8, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	s.receive(9, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if s.commitIndex != 0 {
		t.Errorf("commitIndex = %d after acknowledgements of servers that are no members", s.commitIndex)
	}
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if s.commitIndex != 2 {
		t.Errorf("commitIndex = %d, want 2", s.commitIndex)
	}
}

func TestRepliesOfAnEarlierTermOfTheSameLeaderCountForNothing(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	s.receive(3, 5, &RequestVote{LastLog: EntryID{1, 1}, Transfer: true}) // deposes it
	s.becomeLeaderOf(3)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 3, Round: 1})
	if s.commitIndex != 0 || s.peers[2].match != 0 || s.peers[2].round != 0 {
		t.Errorf("commit %d, match %d, round %d from a reply of term 2, now is term %d",
			s.commitIndex, s.peers[2].match, s.peers[2].round, s.currentTerm)
	}
}

func TestAnAcknowledgementOfWhatWasNeverSentIsIgnored(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 99, Round: 1})
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 1, Round: 99})
	if s.commitIndex != 0 || s.peers[2].match != 0 || s.peers[2].round != 0 {
		t.Errorf("commit %d, match %d, round %d", s.commitIndex, s.peers[2].match, s.peers[2].round)
	}
}

func TestTruncationTakesTheConfigurationBack(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	bigger := NewEntry(EntryID{2, 2}, EntryConfiguration, testConfiguration(5).Encode())
	s.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{bigger}})
	if got := len(s.Status().Configuration.Voters()); got != 5 {
		t.Fatalf("%d voters after the configuration was appended, want 5", got)
	}
	s.receive(3, 3, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{testEntry(3, 2, "x")}})
	if got := len(s.Status().Configuration.Voters()); got != 3 {
		t.Errorf("%d voters after the configuration was removed from the log, want 3", got)
	}
}

// Two configurations that are not committed, and only the second is removed: it
// is the first that is in force then, not the last committed one.
func TestTruncationTakesBackOnlyTheConfigurationsItRemoves(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{
		NewEntry(EntryID{2, 2}, EntryConfiguration, testConfiguration(4).Encode()),
		NewEntry(EntryID{2, 3}, EntryConfiguration, testConfiguration(5).Encode()),
	}})
	s.receive(3, 3, &AppendEntries{Prev: EntryID{2, 2}, Entries: []Entry{testEntry(3, 3, "x")}})
	if got := len(s.Status().Configuration.Voters()); got != 4 {
		t.Errorf("%d voters, want 4", got)
	}
}

func TestContradictingACommittedEntryStopsTheServer(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{testEntry(2, 2, "x")}, LeaderCommit: 2})
	defer func() {
		if r, ok := recover().(string); !ok || !strings.Contains(r, "entry 2 is committed") {
			t.Errorf("recovered %v, want a panic that says that entry 2 is committed", r)
		}
	}()
	s.receive(3, 3, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{testEntry(3, 2, "y")}})
}

func TestTwoLeadersInOneTermStopTheServer(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	defer func() {
		if recover() == nil {
			t.Error("a second leader in the same term went unnoticed")
		}
	}()
	s.receive(3, 2, &AppendEntries{Prev: EntryID{1, 1}})
}

func TestSuccessClaimsWhatTheMessageProvedNotTheWholeLog(t *testing.T) {
	s := newServer(t, 1, 3, 2, 1, 2, 2, 2) // a stale tail up to 4
	sent := s.receive(2, 3, &AppendEntries{Prev: EntryID{1, 1}, LeaderCommit: 4})
	reply := sent[0].Body.(*AppendEntriesReply)
	if !reply.Success || reply.MatchIndex != 1 || s.commitIndex != 1 {
		t.Errorf("answered %s, commitIndex %d; only entry 1 was verified", reply, s.commitIndex)
	}
}

func TestOnlyTermsVotesAndEntriesAreWrittenNotTheCommitIndex(t *testing.T) {
	s := newServer(t, 1, 3, 2, 1, 2)
	s.Core.Step(Message{From: 2, To: 1, Term: 2, Body: &AppendEntries{Prev: EntryID{2, 2}, LeaderCommit: 2}})
	if out := s.TakeOutput(); out.Write != nil || s.commitIndex != 2 {
		t.Errorf("write %v, commitIndex %d; want no write", out.Write, s.commitIndex)
	}
}

func TestNothingIsUncommittedWhenAllIsCommitted(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	for range 10 {
		if _, err := s.Propose(make([]byte, 100), make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	s.do()
	if s.uncommittedBytes == 0 {
		t.Fatal("twenty commands count for nothing")
	}
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: s.log.last, Round: 1})
	if s.commitIndex != s.log.last || s.uncommittedBytes != 0 {
		t.Errorf("committed %d of %d, %d bytes count as uncommitted", s.commitIndex, s.log.last, s.uncommittedBytes)
	}
}

func TestAFloodOfProposalsIsRefusedAndTheNoOpIsNot(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.cfg.MaxUncommittedBytes = 1000
	s.becomeLeaderOf(3)
	refused := false
	for range 100 {
		if _, err := s.Propose(make([]byte, 100)); err == ErrTooMuchUncommitted {
			refused = true
			break
		}
	}
	if !refused {
		t.Error("a leader without followers accepts without end")
	}
}

// A server that has no configuration has been told nothing yet: it neither
// campaigns nor panics, and it follows whoever leads.
func TestAServerWithoutAConfigurationWaits(t *testing.T) {
	c, err := New(Config{ID: 4, Random: func(int) int { return 0 }}, InitialState{})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Core: c, t: t}
	for range 1000 {
		s.Tick()
	}
	if sent := s.do(); len(sent) > 0 || s.Role() != Follower {
		t.Fatalf("is %s, sends %v", s.Role(), sent)
	}
	founding, err := FoundingEntry(testConfiguration(3))
	if err != nil {
		t.Fatal(err)
	}
	s.receive(1, 2, &AppendEntries{Entries: []Entry{founding}, LeaderCommit: 1})
	if s.commitIndex != 1 || s.Leader() != 1 {
		t.Errorf("commitIndex %d, leader %s", s.commitIndex, s.Leader())
	}
	for range 1000 {
		s.Tick()
	}
	if s.Role() != Follower {
		t.Errorf("a server that does not vote is %s", s.Role())
	}
}

func TestAMemberThatIsNoVoterVotesWhenAsked(t *testing.T) {
	s := newServer(t, 9, 3, 1) // not in the configuration that it knows
	if !granted(s.receive(2, 2, &RequestVote{LastLog: EntryID{1, 1}})) {
		t.Error("refused: the candidate may know a configuration in which this server votes")
	}
}

func TestAStateMachineAheadOfTheLogIsAnError(t *testing.T) {
	_, err := New(Config{ID: 1, Random: func(int) int { return 0 }}, InitialState{
		HardState: HardState{CurrentTerm: 2},
		Log:       LogState{Last: 1, Spans: []TermSpan{{1, 1}}},
		State:     Snapshot{Last: EntryID{2, 7}},
	})
	if err == nil || !strings.Contains(err.Error(), "do not fit together") {
		t.Errorf("error %v", err)
	}
}

// Entries that were asked for from the disk arrive late: the server was deposed,
// its log was cut there, and it leads again and needs the same index for the same
// follower. They are not what its log holds any more.
func TestOldEntriesThatArriveLateAreNotSentIfTheLogHasChanged(t *testing.T) {
	s := newServer(t, 1, 3, 2, 1, 2, 2)
	s.becomeLeaderOf(3) // term 3, and 2/t2 and 3/t2 are not in memory
	s.Core.Step(Message{From: 2, To: 1, Term: 3, Body: &AppendEntriesReply{RejectedPrev: 3, Hint: EntryID{1, 1}, Round: 1}})
	out := s.TakeOutput()
	if len(out.Load) != 1 || out.Load[0].First != 2 {
		t.Fatalf("asks for %v, want the entries from 2 on", out.Load)
	}
	late := []Entry{testEntry(2, 2, "old"), testEntry(2, 3, "old")}

	s.receive(3, 4, &AppendEntries{Prev: EntryID{1, 1}, Entries: []Entry{testEntry(4, 2, "new")}})
	s.becomeLeaderOf(3)
	p := s.peers[2]
	p.becomeProbing(2)
	p.loading = true // as if it had asked again
	s.Loaded(2, late)
	for _, m := range s.do() {
		if ae, ok := m.Body.(*AppendEntries); ok && len(ae.Entries) > 0 && ae.Entries[0].Term == 2 {
			t.Errorf("sends %s, which its log does not hold", m)
		}
	}
	if p.loading {
		t.Error("goes on waiting for entries that have arrived")
	}
}

func TestALateRejectionDoesNotInterruptReplication(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	if _, err := s.Propose([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.do() // entry 3 is on the way
	s.receive(2, 2, &AppendEntriesReply{RejectedPrev: 1, Hint: EntryID{0, 0}})
	if p := s.peers[2]; p.state != replicating || p.next != 4 {
		t.Errorf("state %s, next %d after a rejection from before the logs matched; want replicate, 4", p.state, p.next)
	}
}
