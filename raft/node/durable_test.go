package node

import (
	"testing"
	"testing/synctest"
)

// What a follower has received and not written is acknowledged to nobody: with the
// disks of both followers held up, the leader's own is not enough.
//
// Trap 31.
// Rules: log.persist.
func TestAProposalIsAnsweredWhenAMajorityOfTheDisksHasIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		c.propose(leader, 1, "x") // so that nothing else is being written any more
		c.agree(1, 2, 3)
		gate := make(chan struct{})
		defer close(gate)
		for id, log := range c.logs {
			if id != leader.cfg.ID {
				log.set(func() { log.gate = gate })
			}
		}
		result := make(chan error, 1)
		go func() {
			_, err := leader.Propose(t.Context(), []byte("y"))
			result <- err
		}()
		synctest.Wait()
		if len(result) > 0 {
			t.Fatalf("answered with error %v, and only the leader's disk has it", <-result)
		}
		for id, n := range c.nodes {
			if got := c.status(n).CommitIndex; got != 3 {
				t.Errorf("commitIndex of %s is %d, want 3", id, got)
			}
		}
		gate <- struct{}{} // one of the two goes on
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}
