package sim

import (
	"testing"

	"balsa/raft"
)

// losesOne makes the follower's disk lose its last entry.
func (s scene) losesOne() {
	s.oracle.pledged(s.follower, s.follower.disk.log.clone())
	s.follower.disk.log = s.follower.disk.log.clone().upTo(s.follower.disk.log.last() - 1)
}

func TestTheOracleSeesWhenALossIsCoveredUp(t *testing.T) {
	expectViolations(t, []lie{
		{"the witness says less than the log", "Witness", func(s scene) {
			s.follower.disk.witness.Index--
			s.oracle.witnessed(s.follower)
		}},
		{"the witness forgets what was lost", "Witness", func(s scene) {
			s.losesOne()
			s.follower.view.log = s.follower.disk.log.clone()
			s.oracle.witnesses(s.follower, &raft.Write{Witness: s.follower.disk.log.lastID()})
		}},
		{"a leader's word that is ignored", "Witness", func(s scene) {
			last := s.follower.view.log.lastID()
			s.oracle.toldOfLoss(s.follower, s.term(), raft.EntryID{Term: last.Term, Index: last.Index + 1})
			s.oracle.witnesses(s.follower, &raft.Write{Witness: last})
		}},
		{"a loss that is admitted too early", "Witness", func(s scene) {
			last := s.follower.view.log.lastID()
			s.oracle.toldOfLoss(s.follower, s.term(), raft.EntryID{Term: last.Term, Index: last.Index + 1})
			s.oracle.sent(s.follower, s.message(s.follower, s.leader, s.term(), &raft.AppendEntriesReply{Lost: true}))
		}},
		{"a candidate that has lost something", "Recovery", func(s scene) {
			s.losesOne()
			s.stats.Steps++
			s.follower.view.log = s.follower.disk.log.clone()
			s.oracle.stillPledged(s.follower, "stands for election")
		}},
	})
}

func TestWhatIsLostCountsUntilItIsThereAgain(t *testing.T) {
	s := newScene(t)
	lost := s.follower.disk.log.last()
	chain, _ := s.follower.disk.log.chainAt(lost)
	m := s.follower.member(true)
	// The state machine holds the entry too, and would make up for it.
	s.follower.machine.flushed = newMachine(1).state
	s.losesOne()
	if s.oracle.holds(s.oracle.remains(m).log, lost, chain) || !s.oracle.pledgedTo(m, lost, chain) {
		t.Error("what is lost does not count")
	}
	if _, recovering := restriction(&node{w: s.world, disk: s.follower.disk}); !recovering {
		t.Error("a server that has lost something is as good as any")
	}
	s.follower.disk.log = s.leader.disk.log.clone()
	s.oracle.witnessed(s.follower)
	if len(s.oracle.pledges) > 0 || s.failure != nil {
		t.Errorf("it is there again, and %d pledges are left (%v)", len(s.oracle.pledges), s.failure)
	}
}

// A disk loses nothing that nobody else has: that is for people to repair.
func TestNothingIsLostThatTheClusterNeeds(t *testing.T) {
	s := newScene(t)
	for _, n := range []*node{s.follower, s.third, s.leader} {
		n.machine.flushed = newMachine(s.options.Workload.Keys).state // which would make up for the log
		n.losesEnd(3)
	}
	if s.stats.Forgetting.Losses == 0 || !s.leader.up {
		t.Errorf("%d losses; the only one who has everything is up: %v", s.stats.Forgetting.Losses, s.leader.up)
	}
	if !s.oracle.canGoOn(s.nodes) || s.oracle.canGoOn([]*node{s.follower, s.third}) {
		t.Error("the cluster can go on without what was lost, or cannot with it")
	}
}
