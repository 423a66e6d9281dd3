package node

import (
	"log/slog"
	"testing"
	"time"

	"balsa/raft"
)

// Somebody who only waits for changes, and looks after each, misses none.
func TestEveryChangeOfLeaderAndConfigurationIsSignalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		n := c.nodes[1]
		// waitFor looks only when it is told to.
		waitFor := func(condition func() bool) {
			for {
				changed := n.Changed()
				if condition() {
					return
				}
				<-changed
			}
		}
		waitFor(func() bool { return n.Leader() != raft.None })
		for range 3 {
			leader := c.leader()
			go func() { _ = leader.TransferLeadership(t.Context(), raft.None) }()
			waitFor(func() bool { return n.Leader() != raft.None && n.Leader() != leader.cfg.ID })
		}
		leader := c.leader()
		c.propose(leader, 1, "x")
		go func() { _ = leader.ChangeMembers(t.Context(), set(learner(7))) }()
		waitFor(func() bool {
			index, configuration := n.Configuration()
			_, member := configuration.Member(7)
			return member && index > 1
		})
		for id, other := range c.nodes {
			if id != 1 {
				_ = other.Stop()
			}
		}
		waitFor(func() bool { return n.Leader() == raft.None })
	})
}

// The next leader's configuration may take the place of an earlier one at the
// very same index, while role and leader stay as they are.
func TestAConfigurationThatReplacesOneAtTheSameIndexIsSignalled(t *testing.T) {
	core := followerCore(t, raft.Configuration{Members: []raft.Member{voter(1), voter(2), learner(8)}})
	n := &Node{cfg: Config{Logger: slog.New(slog.DiscardHandler)}}
	n.senders = newSenders(n)
	n.view.Store(newView(core))
	l := &loop{node: n, core: core}
	changed := n.Changed()
	l.publish()
	select {
	case <-changed:
		t.Fatal("signalled, and nothing has changed")
	default:
	}
	other := raft.Configuration{Members: []raft.Member{voter(1), voter(2), learner(9)}}
	core.Step(raft.Message{From: 2, To: 1, Term: 2, Body: &raft.AppendEntries{
		Prev:    raft.EntryID{Term: 1, Index: 1},
		Entries: []raft.Entry{raft.NewEntry(raft.EntryID{Term: 2, Index: 2}, raft.EntryConfiguration, other.Encode())},
	}})
	l.publish()
	select {
	case <-changed:
	default:
		t.Error("nothing is signalled")
	}
	if index, c := n.Configuration(); index != 2 || len(c.Learners()) != 1 || c.Learners()[0] != 9 {
		t.Errorf("published: entry %d, %v", index, c)
	}
}

func TestNothingIsSignalledWhenNothingChanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		time.Sleep(time.Second)
		changed := leader.Changed()
		c.propose(leader, 10, "x")
		time.Sleep(time.Second)
		select {
		case <-changed:
			t.Error("proposals are no change of leader or configuration")
		default:
		}
	})
}

// What the hint is worth: without it, a dead leader is missed only after an
// election timeout.
func TestALostConnectionStartsAnElectionUnlessTheHintIsIgnored(t *testing.T) {
	for name, ignored := range map[string]bool{"heeded": false, "ignored": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCluster(t, 3).start(func(_ raft.NodeID, cfg *Config) { cfg.IgnoreConnectionLoss = ignored })
				dead := c.leader()
				_ = dead.Stop()
				c.isolate(dead.cfg.ID, true)
				started := time.Now()
				for id, n := range c.nodes {
					if id != dead.cfg.ID {
						n.ConnectionLost(dead.cfg.ID)
					}
				}
				follower := c.followerOf(dead)
				for follower.Leader() == raft.None || follower.Leader() == dead.cfg.ID {
					<-follower.Changed()
				}
				// Heartbeats are 50 ms apart, and the timeout is at least 300 ms.
				if took := time.Since(started); (took > 250*time.Millisecond) != ignored {
					t.Errorf("a new leader after %v", took)
				}
			})
		})
	}
}
