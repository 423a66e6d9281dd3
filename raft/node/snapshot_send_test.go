package node

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

// shortTail makes nodes keep only a few entries, so that whoever has been away
// needs a snapshot.
func shortTail(_ raft.NodeID, cfg *Config) { cfg.TailEntries = 10 }

// leaveBehind returns a cluster of three in which one node has missed so much
// that only a snapshot can help it; it is still cut off.
func leaveBehind(t *testing.T, change func(raft.NodeID, *Config)) (c *testCluster, leader, behind *Node) {
	t.Helper()
	c = newCluster(t, 3).start(change)
	leader = c.leader()
	c.propose(leader, 5, "before")
	behind = c.followerOf(leader)
	c.isolate(behind.cfg.ID, true)
	time.Sleep(time.Second) // from now on it counts as away
	for i := range 100 {
		c.propose(leader, 1, fmt.Sprintf("missed %d", i))
	}
	eventually(t, "the log is compacted", func() bool { return c.logs[leader.cfg.ID].first() > 50 })
	return c, leader, behind
}

func TestAFollowerThatIsTooFarBehindCatchesUpBySnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		load := c.load(2)
		c.isolate(behind.cfg.ID, false)
		id := behind.cfg.ID
		eventually(t, "it has caught up", func() bool { return len(c.kvs[id].has()) > 105 })
		load.end(c, 1, 2, 3)
		if got := c.kvs[id].count(&c.kvs[id].installs); got != 1 {
			t.Errorf("%d snapshots were installed, want 1", got)
		}
		if first := c.logs[id].first(); first <= 50 {
			t.Errorf("its log begins with entry %d, as if it had been replayed", first)
		}
		if m := c.kvs[leader.cfg.ID]; m.count(&m.open) != 0 {
			t.Errorf("%d pictures of the state were not closed", m.open)
		}
		if got := append(leader.Snapshots(), behind.Snapshots()...); len(got) != 0 {
			t.Errorf("snapshots are said to be under way: %v", got)
		}
	})
}

func TestABrokenTransferGoesOnWhereItEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		breaks := 3
		c.onChunk = func(_ SnapshotOffer, chunk Chunk) error {
			if breaks > 0 && len(c.chunks) == 50-10*breaks {
				breaks--
				return errConnection
			}
			return nil
		}
		c.isolate(behind.cfg.ID, false)
		c.agree(1, 2, 3)
		if breaks != 0 {
			t.Fatalf("the connection was to break %d more times", breaks)
		}
		if !slices.IsSorted(c.chunks) || len(c.chunks) != 105+1 {
			t.Errorf("%d chunks for a state of 105: some were sent again", len(c.chunks))
		}
		if m := c.kvs[leader.cfg.ID]; m.count(&m.snapshots) != 1 {
			t.Errorf("%d pictures were taken, want 1", m.snapshots)
		}
	})
}

// The receiver starts again in the middle of a transfer, and goes on with what
// its disk has.
func TestATransferOutlivesARestartOfTheReceiver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		id := behind.cfg.ID
		c.chunkTime = 10 * time.Millisecond
		c.isolate(id, false)
		eventually(t, "half of it has arrived", func() bool {
			s := behind.Snapshots()
			return len(s) == 1 && s[0].Offset > s[0].Size/2
		})
		_ = behind.Stop()
		time.Sleep(2 * time.Second)
		behind = c.startNode(id)
		c.agree(1, 2, 3)
		if !slices.IsSorted(c.chunks) {
			t.Error("the transfer began again")
		}
		if m := c.kvs[leader.cfg.ID]; m.count(&m.snapshots) != 1 {
			t.Errorf("%d pictures were taken, want 1", m.snapshots)
		}
	})
}

func TestHowFarASnapshotHasComeCanBeSeenOnBothSides(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		c.chunkTime = 10 * time.Millisecond
		c.isolate(behind.cfg.ID, false)
		eventually(t, "a part of it has arrived", func() bool {
			s := leader.Snapshots()
			return len(s) == 1 && s[0].Offset > 0
		})
		synctest.Wait()
		sent, received := leader.Snapshots(), behind.Snapshots()
		if len(received) != 1 {
			t.Fatalf("the receiver shows %v", received)
		}
		s, r := sent[0], received[0]
		if s.To != behind.cfg.ID || s.From != raft.None || r.From != leader.cfg.ID || r.To != raft.None {
			t.Errorf("sent %+v, received %+v", s, r)
		}
		if s.Offset != r.Offset || s.Offset >= s.Size || s.Size != r.Size || s.Snapshot.Last != r.Snapshot.Last {
			t.Errorf("sent %+v, received %+v: they differ", s, r)
		}
	})
}

// The leader loses its office while it sends. It stops sending, and the next
// leader's snapshot takes the place of what has arrived.
func TestAChangeOfLeaderDuringATransferEndsInProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		c.chunkTime = 20 * time.Millisecond
		c.isolate(behind.cfg.ID, false)
		eventually(t, "a part of it has arrived", func() bool { return len(behind.Snapshots()) == 1 })
		third := 6 - leader.cfg.ID - behind.cfg.ID
		if err := leader.TransferLeadership(t.Context(), third); err != nil {
			t.Fatal(err)
		}
		if got := leader.Snapshots(); len(got) != 0 {
			t.Errorf("the old leader still sends %v", got)
		}
		eventually(t, "the new leader sends", func() bool {
			got := behind.Snapshots()
			return len(got) == 1 && got[0].From == third
		})
		c.agree(1, 2, 3)
		if m := c.kvs[behind.cfg.ID]; m.count(&m.installs) != 1 {
			t.Errorf("%d snapshots were installed, want 1", m.installs)
		}
		if m := c.kvs[leader.cfg.ID]; m.count(&m.open) != 0 {
			t.Error("the old leader has not closed its picture")
		}
	})
}

// A disk that is full for a while costs a while, and nothing else.
func TestAReceiverWhoseDiskWasFullCatchesUpAfterwards(t *testing.T) {
	for name, full := range map[string]time.Duration{"shortly": 2 * time.Second, "for longer than one transfer is tried": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, leader, behind := leaveBehind(t, shortTail)
				m, source := c.kvs[behind.cfg.ID], c.kvs[leader.cfg.ID]
				c.chunkTime = time.Millisecond
				c.isolate(behind.cfg.ID, false)
				eventually(t, "a part of it has arrived", func() bool { return len(behind.Snapshots()) == 1 })
				m.set(func() { m.sinkErr = errDisk })
				time.Sleep(full)
				c.propose(leader, 1, "meanwhile")
				m.set(func() { m.sinkErr = nil })
				c.agree(1, 2, 3)
				again := full > 20*time.Second
				if got := source.count(&source.snapshots); (got > 1) != again {
					t.Errorf("%d pictures were taken in %v", got, full)
				}
			})
		})
	}
}

func TestALeaderThatCannotTakeASnapshotTriesAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		m := c.kvs[leader.cfg.ID]
		m.set(func() { m.snapshotErr = errDisk })
		c.isolate(behind.cfg.ID, false)
		time.Sleep(5 * time.Second)
		c.propose(leader, 1, "meanwhile")
		m.set(func() { m.snapshotErr = nil })
		c.agree(1, 2, 3)
	})
}

func TestOnlySoManySnapshotsAreSentAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 5).start(func(id raft.NodeID, cfg *Config) {
			shortTail(id, cfg)
			cfg.MaxSnapshots = 1
		})
		leader := c.leader()
		c.chunkTime = 10 * time.Millisecond
		var behind []raft.NodeID
		for id := raft.NodeID(1); len(behind) < 2; id++ {
			if id != leader.cfg.ID {
				behind = append(behind, id)
				c.isolate(id, true)
			}
		}
		c.propose(leader, 100, "x")
		for _, id := range behind {
			c.isolate(id, false)
		}
		eventually(t, "both are being served", func() bool { return len(leader.Snapshots()) == 2 })
		waiting := 0
		for _, s := range leader.Snapshots() {
			if s.Size == 0 {
				waiting++
			}
		}
		if waiting != 1 {
			t.Errorf("%d wait for their turn, want 1: %v", waiting, leader.Snapshots())
		}
		c.agree(1, 2, 3, 4, 5)
		if c.mostTransfers != 1 {
			t.Errorf("%d snapshots were sent at a time", c.mostTransfers)
		}
	})
}

// A follower is removed while it receives a snapshot: it gets no more of it.
func TestNothingMoreIsSentToAServerThatWasRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		c.chunkTime = 50 * time.Millisecond
		c.isolate(behind.cfg.ID, false)
		eventually(t, "a part of it has arrived", func() bool { return len(behind.Snapshots()) == 1 })
		if err := leader.ChangeMembers(t.Context(), raft.Change{Remove: []raft.NodeID{behind.cfg.ID}}); err != nil {
			t.Fatal(err)
		}
		arrived := len(c.chunks)
		time.Sleep(time.Second)
		if got := leader.Snapshots(); len(got) != 0 || len(c.chunks) > arrived+1 {
			t.Errorf("%d more chunks, %v under way", len(c.chunks)-arrived, got)
		}
		if m := c.kvs[leader.cfg.ID]; m.count(&m.open) != 0 {
			t.Error("the picture was not closed")
		}
	})
}

func TestStopEndsTransfersThatAreUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		c.chunkTime = time.Minute
		c.isolate(behind.cfg.ID, false)
		eventually(t, "the transfer has begun", func() bool { return len(behind.Snapshots()) == 1 })
		started := time.Now()
		for _, n := range c.nodes {
			if err := n.Stop(); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(started); took > time.Second {
			t.Errorf("it took %v to stop", took)
		}
		if m := c.kvs[leader.cfg.ID]; m.count(&m.open) != 0 {
			t.Error("the picture was not closed")
		}
		if _, err := behind.OfferSnapshot(t.Context(), SnapshotOffer{}); !errors.Is(err, ErrStopped) {
			t.Errorf("an offer to a stopped node: error %v, want ErrStopped", err)
		}
		if err := behind.SnapshotChunk(t.Context(), SnapshotID{}, Chunk{}); !errors.Is(err, ErrStopped) {
			t.Errorf("a chunk for a stopped node: error %v, want ErrStopped", err)
		}
		// The bubble fails the test if a goroutine is left.
	})
}
