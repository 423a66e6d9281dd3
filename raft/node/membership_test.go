package node

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

func learner(id raft.NodeID) raft.Member { return raft.Member{ID: id} }
func voter(id raft.NodeID) raft.Member   { return raft.Member{ID: id, Votes: true} }

func set(members ...raft.Member) raft.Change { return raft.Change{Set: members} }

// promote makes servers voters, as soon as they have caught up.
func (c *testCluster) promote(ids ...raft.NodeID) {
	c.t.Helper()
	var change raft.Change
	for _, id := range ids {
		change.Set = append(change.Set, voter(id))
	}
	eventually(c.t, "the learners have caught up", func() bool {
		err := c.leader().ChangeMembers(c.t.Context(), change)
		if err != nil && !errors.Is(err, raft.ErrNotCaughtUp) {
			c.t.Fatal(err)
		}
		return err == nil
	})
}

func (c *testCluster) voters(n *Node) []raft.NodeID {
	_, configuration := n.Configuration()
	return configuration.Voters()
}

// While clients write, one server becomes three, and then two, without the one
// that it began with.
func TestAClusterGrowsAndLosesItsLeaderWhileClientsWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1).start(nil)
		first := c.leader()
		load := c.load(8)
		eventually(t, "a first hundred writes", func() bool { return load.count() > 100 })
		c.join(2)
		c.join(3)
		if err := first.ChangeMembers(t.Context(), set(learner(2), learner(3))); err != nil {
			t.Fatal(err)
		}
		c.promote(2, 3)
		if got := c.voters(first); !slices.Equal(got, []raft.NodeID{1, 2, 3}) {
			t.Fatalf("the change is done, the voters are %v", got)
		}
		if leader := c.leader(); leader != first {
			t.Fatalf("%s leads", leader.cfg.ID)
		}
		if err := first.ChangeMembers(t.Context(), raft.Change{Remove: []raft.NodeID{1}}); err != nil {
			t.Fatalf("the leader removes itself: %v", err)
		}
		if s := c.status(first); s.Role != raft.Follower || s.Configuration.Joint() {
			t.Errorf("the removed leader is %s in the configuration %v", s.Role, s.Configuration)
		}
		before := load.count()
		eventually(t, "a hundred writes to the new leader", func() bool { return load.count() > before+100 })
		c.isolate(1, true)
		if got := c.voters(c.leader()); !slices.Equal(got, []raft.NodeID{2, 3}) {
			t.Errorf("the voters are %v, want n2 and n3", got)
		}
		load.end(c, 2, 3)
	})
}

// A refusal comes from the core as it is, and nothing was changed.
func TestAChangeThatIsRefusedSaysWhy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		c.propose(leader, 1, "x") // something of the leader's own term is committed
		follower := c.followerOf(leader)
		err := follower.ChangeMembers(t.Context(), set(learner(9)))
		if refused, ok := errors.AsType[*NotLeaderError](err); !ok || refused.Leader != leader.cfg.ID {
			t.Errorf("on a follower: error %v, want one that names %s", err, leader.cfg.ID)
		}
		ctx := t.Context()
		for _, c := range []struct {
			want   error
			change raft.Change
		}{
			{raft.ErrNotCaughtUp, set(voter(9))},
			{raft.ErrInvalidChange, raft.Change{Remove: []raft.NodeID{9}}},
			{raft.ErrOtherConfiguration, raft.Change{Basis: 77, Set: []raft.Member{learner(9)}}},
		} {
			if err := leader.ChangeMembers(ctx, c.change); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		}

		pending := make(chan error, 1)
		c.isolate(leader.cfg.ID, true)
		go func() { pending <- leader.ChangeMembers(ctx, set(learner(9))) }()
		synctest.Wait()
		if err := leader.ChangeMembers(ctx, set(learner(8))); !errors.Is(err, raft.ErrChangePending) {
			t.Errorf("during another change: error %v, want ErrChangePending", err)
		}
		c.isolate(leader.cfg.ID, false)
		if err := <-pending; err != nil {
			t.Errorf("the change that was pending: %v", err)
		}

		c.isolate(follower.cfg.ID, true)
		time.Sleep(time.Second) // until it counts as silent
		third := 6 - leader.cfg.ID - follower.cfg.ID
		if err := leader.ChangeMembers(ctx, raft.Change{Remove: []raft.NodeID{third}}); !errors.Is(err, raft.ErrNoLiveMajority) {
			t.Errorf("a change that leaves no majority: error %v, want ErrNoLiveMajority", err)
		}
		if got := c.voters(leader); len(got) != 3 {
			t.Errorf("the voters are %v after all these refusals", got)
		}
	})
}

// A change of a leader that is cut off meets another one, of the next leader, at
// the same index.
func TestAChangeThatAnotherLeaderOverwritesIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		old := c.leader()
		c.propose(old, 1, "x")
		c.isolate(old.cfg.ID, true)
		go func() { _, _ = old.Propose(t.Context(), []byte("lost")) }()
		synctest.Wait()
		result := make(chan error, 1)
		go func() { result <- old.ChangeMembers(t.Context(), set(learner(9))) }()
		synctest.Wait()
		index, latest := old.Configuration()
		if !slices.Equal(latest.Learners(), []raft.NodeID{9}) {
			t.Fatalf("the change is not in force on the leader that appended it: %v", latest)
		}
		other := c.leader() // its first entry is where the lost command is
		if err := other.ChangeMembers(t.Context(), set(learner(8))); err != nil {
			t.Fatal(err)
		}
		if same, _ := other.Configuration(); same != index {
			t.Fatalf("the next leader's change is entry %d, want %d", same, index)
		}
		c.isolate(old.cfg.ID, false)
		if err := <-result; !errors.Is(err, ErrDropped) {
			t.Errorf("error %v, want ErrDropped", err)
		}
		if _, latest := old.Configuration(); !slices.Equal(latest.Learners(), []raft.NodeID{8}) {
			t.Errorf("the learners are %v, want n8", latest.Learners())
		}
	})
}

// The leader is cut off when its joint configuration is in the logs of the
// others and not committed. The next leader commits it and leaves it; the old
// one, a follower by then, sees that its change is done.
func TestAChangeThatTheNextLeaderFinishesSucceeds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		old := c.leader()
		c.propose(old, 1, "x")
		c.join(4)
		if err := old.ChangeMembers(t.Context(), set(learner(4))); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for id, log := range c.logs {
			if id != old.cfg.ID {
				log.set(func() { log.delay = 20 * time.Millisecond })
			}
		}
		result := make(chan error, 1)
		go func() { result <- old.ChangeMembers(t.Context(), set(voter(4))) }()
		time.Sleep(10 * time.Millisecond)
		c.isolate(old.cfg.ID, true)
		next := c.leader()
		eventually(t, "the joint configuration is left", func() bool {
			s := c.status(next)
			return !s.Configuration.Joint() && s.ConfigurationIndex <= s.CommitIndex
		})
		select {
		case err := <-result:
			t.Fatalf("the old leader, cut off, says the change has ended: %v", err)
		default:
		}
		c.isolate(old.cfg.ID, false)
		if err := <-result; err != nil {
			t.Errorf("error %v, want success", err)
		}
		if s := c.status(old); s.Role == raft.Leader || !slices.Equal(s.Configuration.Voters(), []raft.NodeID{1, 2, 3, 4}) {
			t.Errorf("the old leader is %s with voters %v", s.Role, s.Configuration.Voters())
		}
	})
}

func TestAChangeThatNobodyWaitsForAnyMoreHasAnUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		c.propose(leader, 1, "x")
		c.isolate(leader.cfg.ID, true)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		err := leader.ChangeMembers(ctx, set(learner(9)))
		if !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want an unknown outcome because of the deadline", err)
		}

		other := c.leader()
		c.propose(other, 1, "x")
		c.isolate(other.cfg.ID, true)
		result := make(chan error, 1)
		go func() { result <- other.ChangeMembers(t.Context(), set(learner(9))) }()
		synctest.Wait()
		_ = other.Stop()
		if err := <-result; !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("the node stops: error %v, want ErrOutcomeUnknown", err)
		}
		if err := other.ChangeMembers(t.Context(), set(learner(9))); !errors.Is(err, ErrStopped) {
			t.Errorf("on a stopped node: error %v, want ErrStopped", err)
		}
	})
}

// followerCore returns the core of a server that holds a second configuration
// entry, which is not committed, and follows n2.
func followerCore(t *testing.T, latest raft.Configuration) *raft.Core {
	t.Helper()
	core, err := raft.New(raft.Config{ID: 1, Random: func(int) int { return 0 }}, raft.InitialState{
		HardState: raft.HardState{CurrentTerm: 2},
		Log: raft.LogState{
			Last:  2,
			Spans: []raft.TermSpan{{Term: 1, First: 1}},
			Configurations: []raft.IndexedConfiguration{
				{Index: 1, Configuration: raft.Configuration{Members: []raft.Member{voter(1), voter(2)}}},
				{Index: 2, Configuration: latest},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	core.Step(raft.Message{From: 2, To: 1, Term: 2, Body: &raft.AppendEntries{}})
	return core
}

// On the server that began a change and follows another leader by now: the joint
// configuration is committed, and the entry that leaves it is still to come.
func TestAChangeIsNotDoneWhileTheJointConfigurationIsInForce(t *testing.T) {
	joint := raft.Configuration{Members: []raft.Member{
		{ID: 1, Votes: true, VotedBefore: true}, {ID: 2, Votes: true, VotedBefore: true}, {ID: 3, Votes: true},
	}}
	core := followerCore(t, joint)
	change := pendingChange{entry: raft.EntryID{Term: 1, Index: 2}, joint: true}
	step := func(prev raft.EntryID, commit raft.Index, entries ...raft.Entry) (bool, error) {
		core.Step(raft.Message{From: 2, To: 1, Term: 2, Body: &raft.AppendEntries{Prev: prev, Entries: entries, LeaderCommit: commit}})
		return change.settle(core)
	}
	if done, _ := step(raft.EntryID{Term: 1, Index: 2}, 2); done {
		t.Error("done, although the joint configuration is in force")
	}
	left := raft.NewEntry(raft.EntryID{Term: 2, Index: 3}, raft.EntryConfiguration,
		raft.Configuration{Members: []raft.Member{voter(1), voter(2), voter(3)}}.Encode())
	if done, _ := step(raft.EntryID{Term: 1, Index: 2}, 2, left); done {
		t.Error("done, although the configuration that it leads to is not committed")
	}
	if done, err := step(left.ID(), 3); !done || err != nil {
		t.Errorf("done %v, error %v; the configuration is committed", done, err)
	}
}
