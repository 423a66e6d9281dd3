package raft

import (
	"math/rand/v2"
	"testing"
)

// Every message of a newer term says that this server's term is over, replies not
// excepted: a leader hears of it from a follower that is ahead of it and that
// answers nothing else (§5.1).
//
// Rules: term.adopt.
func TestANewerTermInAnyMessageIsAdopted(t *testing.T) {
	snapshot := Snapshot{Last: EntryID{1, 1}, Configuration: IndexedConfiguration{1, testConfiguration(3)}}
	for _, body := range []Body{
		&RequestVote{Transfer: true}, &RequestVoteReply{}, &RequestVoteReply{PreVote: true}, &RequestVoteReply{Granted: true},
		&AppendEntries{Prev: EntryID{1, 1}}, &AppendEntriesReply{}, &AppendEntriesReply{Success: true, MatchIndex: 1},
		&ReadIndex{}, &ReadIndexReply{}, &InstallSnapshot{snapshot},
	} {
		s := newServer(t, 1, 3, 1)
		s.becomeLeaderOf(3)
		s.receive(2, 7, body)
		if s.currentTerm != 7 || s.Role() != Follower || s.votedFor != None && s.votedFor != 2 {
			t.Errorf("after %s of term 7 it is %s in term %d", body, s.Role(), s.currentTerm)
		}
	}
}

// Nothing but the refusal tells a leader that one of its followers is in a later
// term, and must be led from there (§5.1).
func TestARequestOfAnOlderTermIsAnsweredWithTheNewerOne(t *testing.T) {
	for name, body := range map[string]Body{
		"AppendEntries": &AppendEntries{Prev: EntryID{1, 1}}, "RequestVote": &RequestVote{}, "PreVote": &RequestVote{PreVote: true},
	} {
		s := newServer(t, 1, 3, 9)
		sent := s.receive(2, 2, body)
		if len(sent) != 1 || sent[0].Term != 9 || s.Leader() != None {
			t.Errorf("%s of term 2 is not answered with term 9: %v", name, sent)
		}
	}
}

// lockstep are servers whose clocks tick at the same moment and whose messages
// all take no time: nothing but their timeouts tells them apart.
func lockstep(t *testing.T, n int) []*server {
	t.Helper()
	var servers []*server
	for id := NodeID(1); id <= NodeID(n); id++ {
		s := newServer(t, id, n, 1)
		s.cfg.Random = rand.New(rand.NewPCG(uint64(id), 0)).IntN
		s.resetElectionTimer()
		servers = append(servers, s)
	}
	return servers
}

// tickAll lets one tick pass on all servers, and delivers messages until there are
// none, all those of a round at once.
func tickAll(servers []*server) {
	var network []Message
	for _, s := range servers {
		s.Tick()
		network = append(network, s.do()...)
	}
	for len(network) > 0 {
		delivered := network
		network = nil
		for _, m := range delivered {
			servers[m.To-1].Core.Step(m)
		}
		for _, s := range servers {
			network = append(network, s.do()...)
		}
	}
}

func leaderOf(servers []*server) *server {
	for _, s := range servers {
		if s.Role() == Leader {
			return s
		}
	}
	return nil
}

// Without random timeouts all would stand for election at the same moment, vote
// for themselves, and do so again, forever (§5.2).
//
// Rules: timer.random.
func TestServersInLockstepElectALeader(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		servers := lockstep(t, n)
		const elections = 20
		for range 2 * elections * servers[0].cfg.ElectionTicks {
			tickAll(servers)
		}
		if leaderOf(servers) == nil {
			t.Errorf("no leader of %d servers after %d election timeouts", n, 2*elections)
		}
	}
}

// Who hears from a server that cannot win, or that leads no more, waits no longer
// for its own election than it would have (§5.2): the others may depend on it.
//
// Rules: timer.reset, term.reject, term.monotonic.
func TestNothingButTheLeaderAndAVotePutsAnElectionOff(t *testing.T) {
	for name, message := range map[string]Message{
		"the RequestVote of an older term":               {Term: 2, Body: &RequestVote{LastLog: EntryID{1, 1}}},
		"the RequestVote of a server that is behind":     {Term: 3, Body: &RequestVote{Transfer: true, LastLog: EntryID{1, 1}}},
		"the PreVote of a server that is behind":         {Term: 4, Body: &RequestVote{PreVote: true, LastLog: EntryID{1, 1}}},
		"the AppendEntries of a leader that was deposed": {Term: 2, Body: &AppendEntries{Prev: EntryID{1, 1}}},
		"a vote that was refused":                        {Term: 3, Body: &RequestVoteReply{}},
	} {
		s := newServer(t, 1, 3, 3, 1, 2, 3)
		waited := 0
		for s.Role() == Follower && waited < 10*s.cfg.ElectionTicks {
			if s.Tick(); waited%3 == 0 && s.Role() == Follower {
				s.receive(2, message.Term, message.Body)
			}
			waited++
		}
		if waited >= 2*s.cfg.ElectionTicks {
			t.Errorf("%s: no election within %d ticks", name, waited)
		}
	}
}

// Until the others hear of a new leader they go on with elections of their own
// (§5.2).
//
// Rules: elect.announce.
func TestANewLeaderTellsEveryoneAtOnce(t *testing.T) {
	servers := lockstep(t, 3)
	for leaderOf(servers) == nil {
		tickAll(servers)
	}
	leader := leaderOf(servers)
	for _, s := range servers {
		if s.Leader() != leader.id {
			t.Errorf("%s follows %s when %s has been elected and all messages have arrived", s.id, s.Leader(), leader.id)
		}
	}
}

// A late message can bring entries that a snapshot has replaced since, together
// with some that it has not. Those that are gone were committed; they are no news.
func TestEntriesBeforeTheStartOfTheLogAreNoNews(t *testing.T) {
	s := newServer(t, 1, 3, 1)
	late := &AppendEntries{Prev: EntryID{1, 1}, LeaderCommit: 3, Entries: []Entry{
		testEntry(2, 2, "a"), testEntry(2, 3, "b"), testEntry(2, 4, "c"), testEntry(2, 5, "d"),
	}}
	s.receive(2, 2, &AppendEntries{Prev: late.Prev, LeaderCommit: 4, Entries: late.Entries[:3]})
	s.Compact(3)
	s.receive(2, 2, late)
	if st := s.Status(); st.FirstIndex != 4 || st.LastIndex != 5 || st.CommitIndex != 4 {
		t.Errorf("the log is %d to %d, committed up to %d; want 4 to 5, and 4", st.FirstIndex, st.LastIndex, st.CommitIndex)
	}
}
