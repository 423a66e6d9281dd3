package raft

import "testing"

// Entries that were read from the disk for a follower before the log was
// compacted, and arrive after it. What precedes them is not known any more, so
// they cannot be sent; least of all behind another entry.
func TestEntriesLoadedBeforeACompactionAreNotSentAfterIt(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	for range 5 {
		if _, err := s.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	s.do()
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 7, Round: 1})
	s.log.tail, s.log.tailBytes = nil, 0 // everything is on disk only
	s.Core.Step(Message{From: 3, To: 1, Term: 2, Body: &AppendEntriesReply{RejectedPrev: 1, Round: 1}})
	out := s.TakeOutput()
	if len(out.Load) != 1 || out.Load[0].First != 1 {
		t.Fatalf("loads %v, want the log from entry 1 for n3", out.Load)
	}
	s.Compact(6)
	s.Loaded(3, []Entry{testEntry(1, 1, ""), testEntry(2, 2, "")})
	for _, m := range s.TakeOutput().Send {
		if ae, ok := m.Body.(*AppendEntries); ok && m.To == 3 && (len(ae.Entries) > 0 || ae.Prev.Index != 6) {
			t.Errorf("sent %s", m)
		}
	}
	if state := s.peers[3].state; state != needsSnapshot {
		t.Errorf("n3 is in state %s, want %s", state, needsSnapshot)
	}
}

// Rules: snap.applied.
func TestTheLogIsForgottenOnlyAsFarAsItIsApplied(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	s.becomeLeaderOf(3)
	for range 5 {
		if _, err := s.Propose([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	s.do()
	if got := s.Compact(7); got.Index != 0 {
		t.Errorf("forgets up to %s, nothing is committed", got)
	}
	s.receive(2, 2, &AppendEntriesReply{Success: true, MatchIndex: 4, Round: 1})
	if got := s.Compact(7); got != (EntryID{2, 4}) {
		t.Errorf("forgets up to %s, entry 4 is the last that is applied", got)
	}
	if got := s.Compact(2); got != (EntryID{2, 4}) {
		t.Errorf("the log begins after %s, and began after entry 4", got)
	}
}

// A snapshot is announced, installed and finished once; while it is, nothing is
// applied and no second one is accepted.
//
// Rules: snap.order.
func TestWhileASnapshotIsInstalledNothingElseHappensToTheState(t *testing.T) {
	s := newServer(t, 3, 3, 1)
	snapshot := func(index Index) *InstallSnapshot {
		return &InstallSnapshot{Snapshot{Last: EntryID{2, index}, Configuration: IndexedConfiguration{1, testConfiguration(3)}}}
	}
	s.Core.Step(Message{From: 1, To: 3, Term: 2, Body: snapshot(10)})
	out := s.TakeOutput()
	if out.Install != nil {
		t.Fatal("installed before the disk knows term 2")
	}
	s.Written(out.Write.ID)
	out = s.TakeOutput()
	if out.Install == nil || out.Install.Last.Index != 10 {
		t.Fatalf("install %v, want the snapshot of entry 10", out.Install)
	}
	// Meanwhile the log catches up in the ordinary way, and commits.
	s.Core.Step(Message{From: 1, To: 3, Term: 2, Body: snapshot(20)})
	s.Core.Step(Message{From: 1, To: 3, Term: 2, Body: &AppendEntries{
		Prev: EntryID{1, 1}, Entries: []Entry{testEntry(2, 2, "a"), testEntry(2, 3, "b")}, LeaderCommit: 3,
	}})
	for range 3 {
		out = s.TakeOutput()
		if out.Write != nil {
			s.Written(out.Write.ID)
		}
		if out.Apply.First != 0 || out.Install != nil {
			t.Fatalf("apply %v, install %v while a snapshot is being installed", out.Apply, out.Install)
		}
	}
	s.Installed()
	if st := s.Status(); st.LastApplied != 10 || st.CommitIndex != 10 || st.LastIndex != 10 || st.FirstIndex != 11 {
		t.Errorf("applied %d, committed %d, log %d to %d; want 10, 10, and an empty log after 10",
			st.LastApplied, st.CommitIndex, st.FirstIndex, st.LastIndex)
	}
	if err := s.CheckInvariants(); err != nil {
		t.Error(err)
	}
}
