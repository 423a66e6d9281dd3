package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

func TestATransferUnderLoadLosesNoAcknowledgedWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		c.leader()
		load := c.load(8)
		for range 10 {
			old := c.leader()
			to := c.followerOf(old).cfg.ID
			eventually(t, "the leader has committed something", func() bool { return load.count() > 0 })
			started := time.Now()
			if err := old.TransferLeadership(t.Context(), to); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(started); took > 50*time.Millisecond {
				t.Errorf("the transfer took %v, that is an election and not a transfer", took)
			}
			if got := old.Leader(); got != to {
				t.Fatalf("the transfer is done and %s leads, want %s", got, to)
			}
			before := load.count()
			eventually(t, "writes to the new leader", func() bool { return load.count() > before+50 })
		}
		load.end(c, 1, 2, 3)
	})
}

func TestATransferToNobodyInParticularFindsASuccessor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		old := c.leader()
		if err := old.TransferLeadership(t.Context(), raft.None); err != nil {
			t.Fatal(err)
		}
		if old.Leader() == old.cfg.ID || old.Leader() == raft.None {
			t.Errorf("%s leads, want another node than %s", old.Leader(), old.cfg.ID)
		}
	})
}

// Trap 18.
// Rules: transfer.abort.
func TestATransferToADeadNodeIsGivenUpAndProposalsGoOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		dead := c.followerOf(leader).cfg.ID
		c.isolate(dead, true)
		result := make(chan error, 1)
		go func() { result <- leader.TransferLeadership(t.Context(), dead) }()
		synctest.Wait()
		_, err := leader.Propose(t.Context(), []byte("x"))
		if refused, ok := errors.AsType[*NotLeaderError](err); !ok || refused.Leader != raft.None {
			t.Errorf("a proposal meanwhile: error %v, want one that says that no leader is known", err)
		}
		err = leader.ChangeMembers(t.Context(), set(learner(9)))
		if _, ok := errors.AsType[*NotLeaderError](err); !ok {
			t.Errorf("a change meanwhile: error %v, want a *NotLeaderError", err)
		}
		if err := leader.TransferLeadership(t.Context(), raft.None); !errors.Is(err, raft.ErrTransferring) {
			t.Errorf("a second transfer meanwhile: error %v, want ErrTransferring", err)
		}
		if err := <-result; !errors.Is(err, ErrTransferFailed) {
			t.Errorf("error %v, want ErrTransferFailed", err)
		}
		c.propose(leader, 1, "y")
	})
}

func TestATransferThatCannotBeginSaysWhy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		err := c.followerOf(leader).TransferLeadership(t.Context(), raft.None)
		if refused, ok := errors.AsType[*NotLeaderError](err); !ok || refused.Leader != leader.cfg.ID {
			t.Errorf("on a follower: error %v, want one that names %s", err, leader.cfg.ID)
		}
		for _, to := range []raft.NodeID{leader.cfg.ID, 9} {
			if err := leader.TransferLeadership(t.Context(), to); !errors.Is(err, raft.ErrNoSuccessor) {
				t.Errorf("to %s: error %v, want ErrNoSuccessor", to, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		c.isolate(leader.cfg.ID, true)
		result := make(chan error, 1)
		go func() { result <- leader.TransferLeadership(ctx, c.followerOf(leader).cfg.ID) }()
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("the caller gives up: error %v, want ErrOutcomeUnknown", err)
		}
	})
}

// The old leader is asked for its vote, and cut off before it hears who has won.
// It is not done until it knows.
func TestATransferEndsWhenTheNewLeaderIsKnown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		old := c.leader()
		for _, log := range c.logs {
			log.set(func() { log.delay = 20 * time.Millisecond })
		}
		to := c.followerOf(old).cfg.ID
		result := make(chan error, 1)
		go func() { result <- old.TransferLeadership(t.Context(), to) }()
		// After 20 ms the successor's term is on its disk and it asks for votes;
		// after 40 ms the votes are on the others' disks.
		time.Sleep(30 * time.Millisecond)
		c.isolate(old.cfg.ID, true)
		if s := c.status(old); s.Role != raft.Follower || s.Leader != raft.None {
			t.Fatalf("the old leader is %s of %s, want it to follow nobody", s.Role, s.Leader)
		}
		if got := c.leader().cfg.ID; got != to {
			t.Fatalf("%s leads, want %s", got, to)
		}
		select {
		case err := <-result:
			t.Fatalf("the transfer has ended with %v before the old leader can know how", err)
		default:
		}
		c.isolate(old.cfg.ID, false)
		if err := <-result; err != nil {
			t.Errorf("error %v, want success", err)
		}
	})
}
