package node

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

// offerOf makes an offer of what a node's state machine holds.
func (c *testCluster) offerOf(n *Node, to raft.NodeID, id byte) (SnapshotOffer, SnapshotSource) {
	c.t.Helper()
	source, err := c.kvs[n.cfg.ID].Snapshot()
	if err != nil {
		c.t.Fatal(err)
	}
	return SnapshotOffer{
		ID: SnapshotID{id}, From: n.cfg.ID, To: to, Term: c.status(n).CurrentTerm, Snapshot: source.Snapshot(),
	}, source
}

func TestANewerOfferReplacesAnOlderOneAndNotTheOtherWayRound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		ctx, term := t.Context(), c.status(leader).CurrentTerm
		offer := func(id byte, change func(*SnapshotOffer)) error {
			o := SnapshotOffer{
				ID: SnapshotID{id}, From: leader.cfg.ID, To: behind.cfg.ID, Term: term,
				Snapshot: raft.Snapshot{Last: raft.EntryID{Term: term, Index: 100}},
			}
			if change != nil {
				change(&o)
			}
			_, err := behind.OfferSnapshot(ctx, o)
			return err
		}
		refused := func(what string, change func(*SnapshotOffer)) {
			t.Helper()
			if err := offer(2, change); !errors.Is(err, ErrSnapshotRefused) {
				t.Errorf("%s: error %v, want ErrSnapshotRefused", what, err)
			}
		}
		refused("one for another node", func(o *SnapshotOffer) { o.To = 9 })
		refused("that of a deposed leader", func(o *SnapshotOffer) { o.Term, o.Snapshot.Last.Term = 1, 1 })
		refused("one that ends in a term to come", func(o *SnapshotOffer) { o.Snapshot.Last.Term = term + 1 })
		refused("one of what is committed here long since", func(o *SnapshotOffer) { o.Snapshot.Last.Index = 3 })
		first := Chunk{Data: []byte("first")}
		if err := behind.SnapshotChunk(ctx, SnapshotID{1}, first); !errors.Is(err, ErrSnapshotRefused) {
			t.Errorf("a chunk of what was not offered: error %v", err)
		}

		if err := offer(1, nil); err != nil {
			t.Fatal(err)
		}
		if err := behind.SnapshotChunk(ctx, SnapshotID{1}, first); err != nil {
			t.Fatal(err)
		}
		refused("an older one of the same leader", func(o *SnapshotOffer) { o.Snapshot.Last.Index = 99 })
		if got := behind.Snapshots(); len(got) != 1 || got[0].Offset != 5 {
			t.Errorf("the first one has suffered: %v", got)
		}
		if err := offer(3, func(o *SnapshotOffer) { o.Term, o.From = term+1, 9 }); err != nil {
			t.Errorf("the offer of a newer leader: %v", err)
		}
		if err := offer(4, nil); !errors.Is(err, ErrSnapshotRefused) {
			t.Errorf("the older leader offers again: error %v, want ErrSnapshotRefused", err)
		}
		if err := behind.SnapshotChunk(ctx, SnapshotID{1}, first); !errors.Is(err, ErrSnapshotRefused) {
			t.Errorf("a chunk of the one that was replaced: error %v", err)
		}
		if err := behind.FinishSnapshot(ctx, SnapshotID{1}); !errors.Is(err, ErrSnapshotRefused) {
			t.Errorf("the end of the one that was replaced: error %v", err)
		}
		gone, cancel := context.WithCancel(ctx)
		cancel()
		o := SnapshotOffer{ID: SnapshotID{5}, From: 9, To: behind.cfg.ID, Term: term + 2, Snapshot: raft.Snapshot{Last: raft.EntryID{Term: term, Index: 200}}}
		if _, err := behind.OfferSnapshot(gone, o); err == nil {
			t.Error("an offer that nobody waits for any more is accepted")
		}
	})
}

// While a snapshot travels, the follower receives the same by the log. The
// snapshot is thrown away when it is complete, and nothing stands in the way of
// the next.
func TestASnapshotThatTheLogHasOvertakenIsThrownAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		follower := c.followerOf(leader)
		id := follower.cfg.ID
		c.isolate(id, true)
		c.propose(leader, 20, "x")
		offer, source := c.offerOf(leader, id, 1)
		if _, err := follower.OfferSnapshot(t.Context(), offer); err != nil {
			t.Fatal(err)
		}
		for last := false; !last; {
			chunk, _ := source.Next()
			if err := follower.SnapshotChunk(t.Context(), offer.ID, chunk); err != nil {
				t.Fatal(err)
			}
			last = chunk.Last
		}
		if got := follower.Snapshots(); len(got) != 1 {
			t.Errorf("a snapshot arrives, and what is shown is %v", got)
		}
		c.isolate(id, false)
		c.agree(1, 2, 3)
		if got := follower.Snapshots(); len(got) != 0 {
			t.Errorf("the log has brought the same, and what is shown is %v", got)
		}
		if err := follower.FinishSnapshot(t.Context(), offer.ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		m := c.kvs[id]
		if m.count(&m.installs) != 0 || m.count(&m.discards) != 1 {
			t.Errorf("installed %d times and thrown away %d times", m.installs, m.discards)
		}
		c.propose(c.leader(), 5, "y")
		c.agree(1, 2, 3)

		c.isolate(id, true)
		c.propose(c.leader(), 5, "z")
		offer, _ = c.offerOf(c.leader(), id, 2)
		if _, err := follower.OfferSnapshot(t.Context(), offer); err != nil {
			t.Errorf("the next offer: %v", err)
		}
	})
}

// A snapshot whose last entry the follower's log holds says only that this is
// committed: the entries stay, and are applied.
func TestASnapshotOfWhatTheLogHoldsOnlyCommits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 3).start(nil)
		leader := c.leader()
		follower := c.followerOf(leader)
		id := follower.cfg.ID
		// The follower has the entry and is cut off before the third node's
		// acknowledgement commits it.
		third := 6 - leader.cfg.ID - id
		c.logs[id].set(func() { c.logs[id].delay = 30 * time.Millisecond })
		c.logs[third].set(func() { c.logs[third].delay = 10 * time.Millisecond })
		go func() { _, _ = leader.Propose(t.Context(), []byte("x")) }()
		time.Sleep(5 * time.Millisecond)
		c.isolate(id, true)
		time.Sleep(15 * time.Millisecond)
		offer, source := c.offerOf(leader, id, 1)
		if offer.Snapshot.Last.Index <= c.status(follower).CommitIndex || offer.Snapshot.Last.Index != c.status(follower).LastIndex {
			t.Fatalf("offer of entry %d to %+v", offer.Snapshot.Last.Index, c.status(follower))
		}
		if _, err := follower.OfferSnapshot(t.Context(), offer); err != nil {
			t.Fatal(err)
		}
		for last := false; !last; {
			chunk, _ := source.Next()
			if err := follower.SnapshotChunk(t.Context(), offer.ID, chunk); err != nil {
				t.Fatal(err)
			}
			last = chunk.Last
		}
		if err := follower.FinishSnapshot(t.Context(), offer.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
		m := c.kvs[id]
		if got := m.has(); !slices.Equal(got, []string{"x"}) || m.count(&m.installs) != 0 || m.count(&m.discards) != 1 {
			t.Errorf("applied %v, installed %d, thrown away %d", got, m.installs, m.discards)
		}
	})
}

// The node dies after the state machine has become the snapshot's and before the
// log has been replaced. Started again, it finishes what was begun.
//
// Trap 53.
// Rules: snap.order.
func TestACrashBetweenStateAndLogIsRepairedAtStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		id := behind.cfg.ID
		m, log := c.kvs[id], c.logs[id]
		m.set(func() { m.onInstall = func() { log.set(func() { log.err = errDisk }) } })
		c.isolate(id, false)
		<-behind.Done()
		if err := behind.Stop(); !errors.Is(err, errDisk) {
			t.Fatalf("the node stopped with %v", err)
		}
		if m.count(&m.installs) != 1 || log.first() > 50 {
			t.Fatalf("installed %d times, and the log begins with entry %d: this is not the crash that was meant", m.installs, log.first())
		}
		m.set(func() { m.onInstall = nil })
		log.set(func() { log.err = nil })
		behind = c.startNode(id)
		if s := c.status(behind); s.FirstIndex <= 50 || s.LastApplied != s.LastIndex {
			t.Errorf("it starts with a log of %d to %d, applied up to %d", s.FirstIndex, s.LastIndex, s.LastApplied)
		}
		c.propose(leader, 20, "after")
		c.agree(1, 2, 3)
		if log.first() <= 50 {
			t.Errorf("the stored log still begins with entry %d", log.first())
		}
		if m.count(&m.installs) != 1 {
			t.Errorf("%d snapshots were installed, want 1", m.installs)
		}
	})
}

// A proposal and a change of a deposed leader, whose entries' places a snapshot
// has taken: nobody can say what became of them.
func TestWhoWaitsForAnEntryThatASnapshotCoversIsToldThatItIsUnknown(t *testing.T) {
	for name, ask := range map[string]func(context.Context, *Node) error{
		"proposal": func(ctx context.Context, n *Node) error {
			_, err := n.Propose(ctx, []byte("lost"))
			return err
		},
		"change": func(ctx context.Context, n *Node) error { return n.ChangeMembers(ctx, set(learner(9))) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCluster(t, 3).start(shortTail)
				old := c.leader()
				c.propose(old, 1, "x")
				c.isolate(old.cfg.ID, true)
				result := make(chan error, 1)
				go func() { result <- ask(t.Context(), old) }()
				other := c.leader()
				c.propose(other, 100, "y")
				c.isolate(old.cfg.ID, false)
				if err := <-result; !errors.Is(err, ErrOutcomeUnknown) {
					t.Errorf("error %v, want ErrOutcomeUnknown", err)
				}
				c.agree(1, 2, 3)
				if _, err := old.ReadIndex(t.Context()); err != nil {
					t.Errorf("a read on the node that installed the snapshot: %v", err)
				}
			})
		})
	}
}

// A read that waits for an index gets its answer when a snapshot brings it.
func TestAReadIsAnsweredWhenASnapshotBringsItsIndex(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _, behind := leaveBehind(t, shortTail)
		c.chunkTime = 10 * time.Millisecond
		c.isolate(behind.cfg.ID, false)
		if _, err := behind.ReadIndex(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(c.kvs[behind.cfg.ID].has()); got != 105 {
			t.Errorf("the read sees %d of 105 writes", got)
		}
	})
}

// After an error of the sink its host does not trust it: the state machine is
// asked what is there. Chunks that were under way meanwhile are not refused for
// good, because the snapshot is still wanted.
func TestAfterAnErrorTheStateMachineIsAskedWhatIsThere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		m := c.kvs[behind.cfg.ID]
		offer, _ := c.offerOf(leader, behind.cfg.ID, 1)
		send := func(chunk Chunk) error { return behind.SnapshotChunk(t.Context(), offer.ID, chunk) }
		for range 2 {
			if _, err := behind.OfferSnapshot(t.Context(), offer); err != nil {
				t.Fatal(err)
			}
		}
		if got := m.count(&m.receives); got != 1 {
			t.Errorf("asked %d times for the same sink", got)
		}
		if err := send(Chunk{Data: []byte("abc")}); err != nil {
			t.Fatal(err)
		}
		m.set(func() { m.sinkErr = errDisk })
		if err := send(Chunk{Offset: 3, Data: []byte("def")}); !errors.Is(err, errDisk) {
			t.Errorf("error %v, want the disk's", err)
		}
		m.set(func() { m.sinkErr = nil })
		if err := send(Chunk{Offset: 6, Data: []byte("ghi")}); err == nil || errors.Is(err, ErrSnapshotRefused) {
			t.Errorf("the chunk after the one that failed: error %v", err)
		}
		if err := behind.FinishSnapshot(t.Context(), offer.ID); err == nil || errors.Is(err, ErrSnapshotRefused) {
			t.Errorf("the end after a chunk that failed: error %v", err)
		}
		position, err := behind.OfferSnapshot(t.Context(), offer)
		if err != nil || position.Offset != 3 || m.count(&m.receives) != 2 {
			t.Errorf("offered again: position %d, error %v, asked %d times", position.Offset, err, m.receives)
		}
		if err := send(Chunk{Offset: 3, Data: make([]byte, MaxChunk+1)}); err == nil {
			t.Error("a chunk that is too large is taken")
		}
		if err := send(Chunk{Offset: 3, Data: []byte("def")}); err != nil {
			t.Error(err)
		}
	})
}

func TestWhileASnapshotIsInstalledOthersAreRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		m := c.kvs[behind.cfg.ID]
		installing, proceed := make(chan struct{}), make(chan struct{})
		m.set(func() {
			m.onInstall = func() {
				close(installing)
				<-proceed
			}
		})
		c.isolate(behind.cfg.ID, false)
		<-installing
		c.propose(leader, 20, "meanwhile")
		offer, _ := c.offerOf(leader, behind.cfg.ID, 7)
		if _, err := behind.OfferSnapshot(t.Context(), offer); !errors.Is(err, ErrSnapshotRefused) {
			t.Errorf("error %v, want ErrSnapshotRefused", err)
		}
		time.Sleep(5 * time.Second) // and the leader's own offers, too
		m.set(func() { m.onInstall = nil })
		close(proceed)
		c.agree(1, 2, 3)
		if got := m.count(&m.installs); got != 1 {
			t.Errorf("%d snapshots were installed, want 1", got)
		}
	})
}

// The message of §7 alone, without the state that belongs to it, is not
// something that a network brings.
func TestAnInstallSnapshotMessageFromTheNetworkIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		offer, _ := c.offerOf(leader, behind.cfg.ID, 1)
		behind.Deliver([]raft.Message{{
			From: leader.cfg.ID, To: behind.cfg.ID, Term: offer.Term,
			Body: &raft.InstallSnapshot{Snapshot: offer.Snapshot},
		}})
		time.Sleep(time.Second)
		c.isolate(behind.cfg.ID, false)
		c.agree(1, 2, 3)
	})
}

// Whoever closes the state machine after Stop must not meet somebody who still
// writes to it. This test runs in real time: in a bubble, nobody may wait for a
// lock.
func TestStopWaitsForAChunkThatIsBeingWritten(t *testing.T) {
	c := newCluster(t, 1).start(nil)
	n, m := c.nodes[1], c.kvs[1]
	offer := SnapshotOffer{From: 2, To: 1, Term: 9, Snapshot: raft.Snapshot{Last: raft.EntryID{Term: 9, Index: 99}}}
	if _, err := n.OfferSnapshot(t.Context(), offer); err != nil {
		t.Fatal(err)
	}
	writing, proceed, stopped := make(chan struct{}), make(chan struct{}), make(chan struct{})
	m.set(func() {
		m.onWrite = func() {
			close(writing)
			<-proceed
		}
	})
	go func() { _ = n.SnapshotChunk(context.Background(), offer.ID, Chunk{Data: []byte("x")}) }()
	<-writing
	go func() {
		_ = n.Stop()
		close(stopped)
	}()
	<-n.Done()
	for range 1000 {
		runtime.Gosched()
		select {
		case <-stopped:
			t.Fatal("the node has stopped while a chunk was being written")
		default:
		}
	}
	close(proceed)
	<-stopped
}

func TestAFailedInstallationStopsTheNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _, behind := leaveBehind(t, func(id raft.NodeID, cfg *Config) {
			shortTail(id, cfg)
			cfg.StateMachine = brokenInstall{cfg.StateMachine}
		})
		c.isolate(behind.cfg.ID, false)
		<-behind.Done()
		if err := behind.Stop(); !errors.Is(err, errDisk) {
			t.Errorf("the node stopped with %v, want the state machine's error", err)
		}
	})
}

type brokenInstall struct{ StateMachine }

func (brokenInstall) Install(SnapshotSink) error { return errDisk }
