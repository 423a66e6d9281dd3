package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

// Rules: client.applied.
func TestAProposalIsAnsweredWithItsResultAndReachesEveryNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		for i := range 10 {
			result, err := leader.Propose(t.Context(), fmt.Append(nil, "c", i))
			if err != nil || result != i+1 {
				t.Fatalf("proposal %d: result %v, error %v", i, result, err)
			}
		}
		time.Sleep(time.Second)
		for id, kv := range c.kvs {
			if got := strings.Join(kv.has(), " "); got != "c0 c1 c2 c3 c4 c5 c6 c7 c8 c9" {
				t.Errorf("%s has applied %q", id, got)
			}
		}
	})
}

func TestAFollowerRefusesAProposalAndNamesTheLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		_, err := c.followerOf(leader).Propose(t.Context(), []byte("x"))
		if refused, ok := errors.AsType[*NotLeaderError](err); !ok || refused.Leader != leader.cfg.ID {
			t.Errorf("error %v, want one that names %s", err, leader.cfg.ID)
		}
	})
}

// While one save is under way the next batch gathers, and is saved with one
// sync: that is group commit.
func TestProposalsThatArriveDuringASaveShareTheNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.logs[1].delay = 5 * time.Millisecond
		c.start(nil)
		leader := c.leader()
		saves := len(c.logs[1].saves)
		const writers, each = 64, 20
		var wg sync.WaitGroup
		for range writers {
			wg.Go(func() {
				for range each {
					if _, err := leader.Propose(t.Context(), []byte("x")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := len(c.logs[1].saves) - saves; got > 2*each {
			t.Errorf("%d saves for %d writes of %d writers: they do not share them", got, writers*each, writers)
		}
	})
}

// Trap 67.
// Rules: read.wait.
func TestReadsAreConfirmedOnEveryNodeAndSeeEveryAcknowledgedWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		for i := range 20 {
			if _, err := leader.Propose(t.Context(), []byte("x")); err != nil {
				t.Fatal(err)
			}
			for id, n := range c.nodes {
				if _, err := n.ReadIndex(t.Context()); err != nil {
					t.Fatalf("read on %s: %v", id, err)
				}
				if got := len(c.kvs[id].has()); got < i+1 {
					t.Fatalf("read on %s sees %d writes, %d were acknowledged", id, got, i+1)
				}
			}
		}
	})
}

// Trap 71.
func TestAReadWithoutAQuorumEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		c.isolate(leader.cfg.ID, true)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := leader.ReadIndex(ctx); !errors.Is(err, ErrNoQuorum) {
			t.Errorf("error %v, want ErrNoQuorum", err)
		}
	})
}

// A read that is under way when the leader dies is not lost: it is asked again
// of the next one.
//
// Trap 71.
func TestAReadSurvivesAChangeOfLeader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		follower := c.followerOf(leader)
		c.isolate(leader.cfg.ID, true)
		if _, err := follower.ReadIndex(t.Context()); err != nil {
			t.Errorf("read across an election: %v", err)
		}
	})
}

// Trap 41.
func TestAProposalWhoseContextEndsHasAnUnknownOutcome(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		c.isolate(leader.cfg.ID, true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := leader.Propose(ctx, []byte("x"))
		if !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want an unknown outcome because of the deadline", err)
		}
	})
}

// The index is reached, but by another leader's entry: the command is lost for
// good, and the client is told so (it is not unknown).
//
// Trap 41.
// Rules: client.match.
func TestAProposalThatWasOverwrittenIsReportedAsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		old := c.leader()
		c.isolate(old.cfg.ID, true)
		result := make(chan error, 1)
		go func() {
			_, err := old.Propose(t.Context(), []byte("lost"))
			result <- err
		}()
		other := c.leader()
		for range 3 {
			if _, err := other.Propose(t.Context(), []byte("kept")); err != nil {
				t.Fatal(err)
			}
		}
		c.isolate(old.cfg.ID, false)
		if err := <-result; !errors.Is(err, ErrDropped) {
			t.Errorf("error %v, want ErrDropped", err)
		}
		c.agree(1, 2, 3)
		if got := strings.Join(c.kvs[old.cfg.ID].has(), " "); got != "kept kept kept" {
			t.Errorf("the old leader has applied %q", got)
		}
	})
}

// The old leader's entry may still be committed by its successor. Its client
// then gets the result, not an error.
//
// Trap 41.
// Rules: client.match.
func TestAProposalThatASuccessorCommitsSucceeds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		old := c.leader()
		// The entry reaches the followers, their replies do not come back in
		// time: the leader's own disk is what is slow.
		gate := make(chan struct{})
		c.logs[old.cfg.ID].set(func() { c.logs[old.cfg.ID].gate = gate })
		result := make(chan error, 1)
		go func() {
			_, err := old.Propose(t.Context(), []byte("kept"))
			result <- err
		}()
		time.Sleep(20 * time.Millisecond)
		c.isolate(old.cfg.ID, true)
		c.leader()
		c.isolate(old.cfg.ID, false)
		c.leader() // whom the old one follows, too, before its disk gets on
		close(gate)
		if err := <-result; err != nil {
			t.Errorf("error %v, want success: the entry was committed", err)
		}
	})
}

func TestAFullQueueSaysBusy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.start(func(_ raft.NodeID, cfg *Config) { cfg.MaxProposals, cfg.MaxReads = 4, 4 })
		leader := c.leader()
		gate := make(chan struct{})
		c.logs[1].set(func() { c.logs[1].gate = gate }) // from now on nothing is written
		errs := make(chan error, 20)
		for range 20 {
			go func() {
				_, err := leader.Propose(t.Context(), []byte("x"))
				errs <- err
			}()
		}
		synctest.Wait()
		busy := len(errs)
		if busy == 0 {
			t.Fatal("nobody was told to come back later")
		}
		for range busy {
			if err := <-errs; !errors.Is(err, ErrBusy) {
				t.Errorf("error %v, want ErrBusy", err)
			}
		}
		close(gate)
		for range 20 - busy {
			if err := <-errs; err != nil {
				t.Errorf("a proposal that was accepted: %v", err)
			}
		}
	})
}

// Trap 19.
func TestAFailedWriteStopsTheNodeBeforeAnythingIsAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		for _, log := range c.logs {
			log.set(func() { log.err = errDisk })
		}
		if _, err := leader.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("proposal: error %v, want ErrOutcomeUnknown", err)
		}
		<-leader.Done()
		if err := leader.Err(); !errors.Is(err, errDisk) {
			t.Errorf("the node stopped with %v, want the disk's error", err)
		}
		if _, err := leader.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrStopped) {
			t.Errorf("next proposal: error %v, want ErrStopped", err)
		}
		// The followers' disks failed on that entry, too.
		for id, n := range c.nodes {
			if n.Stop(); len(c.kvs[id].has()) != 0 {
				t.Errorf("%s applied a command that no disk holds", id)
			}
		}
	})
}

// What has reached the log alone, and not its witness, counts for nothing yet. But
// the log goes on: one witness then speaks for several writes.
func TestNothingIsAcknowledgedBeforeTheWitnessSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1).start(nil)
		leader, log := c.leader(), c.logs[1]
		gate := make(chan struct{})
		log.set(func() { log.attestGate, log.saves = gate, nil })
		results := make(chan error, 3)
		for i := range 3 {
			go func() {
				_, err := leader.Propose(t.Context(), []byte("x"))
				results <- err
			}()
			synctest.Wait()
			if got := len(log.saves); got != i+1 {
				t.Fatalf("%d writes are in the log while the witness is held up, want %d", got, i+1)
			}
		}
		status, err := leader.Status(t.Context())
		if err != nil || len(results) != 0 || status.DurableIndex >= status.LastIndex-2 {
			t.Fatalf("%d answers, durable %d of %d, %v", len(results), status.DurableIndex, status.LastIndex, err)
		}
		log.set(func() { log.attestGate = nil })
		gate <- struct{}{} // for the first write; the other two share the next
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if status, err := leader.Status(t.Context()); err != nil || log.witness.Index != status.LastIndex {
			t.Errorf("the witness says %s, the log ends with %d, %v", log.witness, status.LastIndex, err)
		}
	})
}

func TestAFailedWitnessStopsTheNodeBeforeAnythingIsAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1).start(nil)
		leader, log := c.leader(), c.logs[1]
		log.set(func() { log.attestErr = errDisk })
		if _, err := leader.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("proposal: error %v, want ErrOutcomeUnknown", err)
		}
		<-leader.Done()
		if err := leader.Stop(); !errors.Is(err, errDisk) || len(c.kvs[1].has()) != 0 {
			t.Errorf("the node stopped with %v, and applied %v", err, c.kvs[1].has())
		}
	})
}

// What a follower's disk does not hold the follower does not acknowledge, even if
// the disk fails just then.
func TestAFollowerWhoseDiskFailsAcknowledgesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		for id, log := range c.logs {
			if id != leader.cfg.ID {
				log.set(func() { log.err = errDisk })
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := leader.Propose(ctx, []byte("x")); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("proposal: error %v, want ErrOutcomeUnknown: the leader's disk alone holds it", err)
		}
	})
}

// Trap 74.
func TestAFailedApplyStopsTheNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1).start(nil)
		leader := c.leader()
		c.kvs[1].set(func() { c.kvs[1].err = errDisk })
		if _, err := leader.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("error %v, want ErrOutcomeUnknown: it is committed", err)
		}
		if err := leader.Stop(); !errors.Is(err, errDisk) {
			t.Errorf("the node stopped with %v, want the state machine's error", err)
		}
	})
}

// After a restart nothing is in memory: what is to be applied, and what a
// follower that was away needs, comes back from the log store.
func TestARestartedNodeAppliesAndSendsWhatItsLogHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3)
		for i := range raft.Index(500) {
			e := raft.NewEntry(raft.EntryID{Term: 1, Index: i + 2}, raft.EntryCommand, make([]byte, 1000))
			c.logs[1].entries = append(c.logs[1].entries, e)
			c.logs[2].entries = append(c.logs[2].entries, e)
		}
		c.start(func(_ raft.NodeID, cfg *Config) { cfg.Limits.MaxMessageBytes = 10_000 })
		leader := c.leader()
		if _, err := leader.Propose(t.Context(), []byte("x")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		for id, kv := range c.kvs {
			if got := len(kv.has()); got != 501 {
				t.Errorf("%s has applied %d commands, want 501", id, got)
			}
		}
	})
}

func TestStopLeavesNothingRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		c.leader()
		for _, n := range c.nodes {
			if err := n.Stop(); err != nil {
				t.Error(err)
			}
		}
		// The bubble fails the test if a goroutine is left.
	})
}

func TestImpossibleTimesAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	for name, cfg := range map[string]Config{
		"heartbeat shorter than a tick": {Tick: 20 * time.Millisecond, Heartbeat: 10 * time.Millisecond},
		"election below two heartbeats": {Heartbeat: 200 * time.Millisecond, Election: 300 * time.Millisecond},
		"tick below a millisecond":      {Tick: time.Microsecond},
	} {
		cfg.ID, cfg.Log, cfg.StateMachine, cfg.Transport = 1, c.logs[1], c.kvs[1], testTransport{c, 1}
		if n, err := Start(cfg); err == nil {
			_ = n.Stop()
			t.Errorf("%s: no error", name)
		}
	}
}
