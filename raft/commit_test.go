package raft

import (
	"math/rand/v2"
	"testing"
)

// A new leader commits what it has inherited although nobody proposes anything:
// its no-op is an entry of its own term.
//
// Trap 22.
// Rules: commit.noop, commit.ownterm, append.only.
func TestANewLeaderCommitsWhatItHasInheritedWithoutAProposal(t *testing.T) {
	s := newServer(t, 1, 3, 2, 1, 2, 2)
	s.becomeLeaderOf(3)
	s.receive(2, 3, &AppendEntriesReply{Success: true, MatchIndex: 3, Round: 1})
	if s.commitIndex != 0 {
		t.Fatalf("commitIndex = %d: entries of an earlier term were counted", s.commitIndex)
	}
	s.receive(2, 3, &AppendEntriesReply{Success: true, MatchIndex: 4, Round: 1})
	if s.commitIndex != 4 {
		t.Errorf("commitIndex = %d, want 4: two of three have the no-op", s.commitIndex)
	}
}

// Trap 34.
// Rules: commit.monotonic, match.monotonic.
func TestNeitherCommitIndexNorMatchIndexGoesBack(t *testing.T) {
	follower := newServer(t, 1, 3, 1)
	entries := []Entry{testEntry(2, 2, "a"), testEntry(2, 3, "b")}
	follower.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}, Entries: entries, LeaderCommit: 3})
	follower.receive(2, 2, &AppendEntries{Prev: EntryID{1, 1}, Entries: entries[:1], LeaderCommit: 1}) // late
	if follower.commitIndex != 3 {
		t.Errorf("the follower's commitIndex = %d after a late message, want 3", follower.commitIndex)
	}

	leader := newServer(t, 1, 3, 1)
	leader.becomeLeaderOf(3)
	if _, err := leader.Propose([]byte("x")); err != nil {
		t.Fatal(err)
	}
	leader.do()
	for _, match := range []Index{3, 2, 1} {
		leader.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: match, Round: 1})
		if got := leader.peers[2].match; got != 3 || leader.commitIndex != 3 {
			t.Errorf("matchIndex = %d, commitIndex = %d after an acknowledgement of %d, want 3", got, leader.commitIndex, match)
		}
	}
}

// Committed entries reach the state machine one after the other, none twice and
// none left out, however small the runs are and whenever the server restarts. What
// was committed is not stored: the leader says it again (see trap 43).
//
// Trap 37.
// Rules: apply.order.
func TestEntriesAreAppliedOnceAndInOrderAcrossRestarts(t *testing.T) {
	founding, err := FoundingEntry(testConfiguration(3))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	disk, applied, runs := []Entry{founding}, Index(0), 0
	for life := range 200 {
		c := restarted(t, disk, applied)
		prev := disk[len(disk)-1].ID()
		c.Step(Message{From: 2, To: 1, Term: 2, Body: &AppendEntries{
			Prev:         prev,
			Entries:      []Entry{testEntry(2, prev.Index+1, "a"), testEntry(2, prev.Index+2, "b"), testEntry(2, prev.Index+3, "c")},
			LeaderCommit: prev.Index + 3,
		}})
		steps := rng.IntN(8)
		if life == 199 {
			steps = 2000
		}
		for range steps {
			out := c.TakeOutput()
			if out.Write != nil {
				disk = append(disk, out.Write.Entries...)
				c.Written(out.Write.ID)
			}
			a := out.Apply
			if a.First == 0 {
				continue
			}
			if a.First != applied+1 || a.Last < a.First || a.Last > Index(len(disk)) {
				t.Fatalf("applies %d to %d after %d, the disk holds %d", a.First, a.Last, applied, len(disk))
			}
			if a.Entries != nil && (len(a.Entries) != 1 || a.Entries[0].Index != a.First || a.Last != a.First) {
				t.Fatalf("a run of %d entries from %s on, want the entry %d alone", len(a.Entries), a.Entries[0].ID(), a.First)
			}
			applied = a.Last
			runs++
			c.Applied(applied)
		}
	}
	if applied != Index(len(disk)) || runs < 200 {
		t.Errorf("applied %d of %d entries in %d runs", applied, len(disk), runs)
	}
}

// restarted returns server 1 of three with that log and that state.
func restarted(t *testing.T, disk []Entry, applied Index) *Core {
	t.Helper()
	log := LogState{Last: Index(len(disk)), Spans: []TermSpan{{1, 1}}, Configurations: []IndexedConfiguration{{1, testConfiguration(3)}}}
	if len(disk) > 1 {
		log.Spans = append(log.Spans, TermSpan{2, 2})
	}
	state := InitialState{HardState: HardState{CurrentTerm: 2}, Log: log}
	if applied > 0 {
		state.State = Snapshot{Last: disk[applied-1].ID(), Configuration: log.Configurations[0]}
	}
	c, err := New(Config{ID: 1, MaxApplyBytes: 1, Random: func(int) int { return 0 }}, state)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is refused for being too much is counted per term: a leader that is deposed
// and elected again has as much room as any other, and its no-op is never refused.
//
// Trap 40.
func TestWhatWasUncommittedInAnEarlierTermTakesNoRoom(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.cfg.MaxUncommittedBytes = 1000
	s.becomeLeaderOf(3)
	var err error
	for err == nil {
		_, err = s.Propose(make([]byte, 100))
	}
	if err != ErrTooMuchUncommitted {
		t.Fatal(err)
	}
	s.do()
	s.receive(3, 5, &AppendEntriesReply{}) // there is a later term
	s.becomeLeaderOf(3)
	if last := s.log.lastID(); last.Term != s.currentTerm {
		t.Errorf("the log ends with %s, without a no-op of term %d", last, s.currentTerm)
	}
	if _, err := s.Propose(make([]byte, 100)); err != nil {
		t.Errorf("the first proposal of the term: %v", err)
	}
}

// All that a full window holds arrives, and every answer is lost. The next
// heartbeat is answered for all of it, and the window opens again.
//
// Trap 39.
// Rules: append.heartbeat.
func TestAFullWindowOpensWhenOnlyAHeartbeatIsAnswered(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.cfg.MaxWindowMessages = 2
	s.becomeLeaderOf(3)
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 2, Round: 1})
	entries := 0
	for range 4 {
		if _, err := s.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
		entries += countEntries(s.do(), 2)
	}
	if entries != 2 {
		t.Fatalf("%d entries were sent ahead, the window holds 2 messages", entries)
	}
	var heartbeat *AppendEntries
	for range s.cfg.HeartbeatTicks {
		s.Tick()
		for _, m := range s.do() {
			if m.To == 2 {
				heartbeat = m.Body.(*AppendEntries)
			}
		}
	}
	if heartbeat == nil || heartbeat.Prev.Index != 4 || len(heartbeat.Entries) > 0 {
		t.Fatalf("sent %s; want a heartbeat that asks for what was sent last, entry 4", heartbeat)
	}
	sent := s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 4, Round: heartbeat.Round})
	if got := countEntries(sent, 2); got != 2 {
		t.Errorf("%d entries were sent after the answer, want the other two", got)
	}
}

func countEntries(messages []Message, to NodeID) int {
	n := 0
	for _, m := range messages {
		if ae, ok := m.Body.(*AppendEntries); ok && m.To == to {
			n += len(ae.Entries)
		}
	}
	return n
}
