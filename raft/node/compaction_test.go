package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

// lengths returns how many entries the core and the log store of a node hold.
func (c *testCluster) lengths(n *Node) (core, stored int) {
	synctest.Wait()
	s := c.status(n)
	return int(s.LastIndex - s.FirstIndex + 1), c.logs[n.cfg.ID].length()
}

func TestCompactionKeepsTheTailAndNoMoreThanThat(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"counted in entries": func(cfg *Config) { cfg.TailEntries = 100 },
		"counted in bytes":   func(cfg *Config) { cfg.TailBytes = 100 * (1000 + raft.EntryOverhead) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCluster(t, 1).start(func(_ raft.NodeID, cfg *Config) { change(cfg) })
				leader := c.leader()
				for range 20 {
					c.propose(leader, 57, string(make([]byte, 1000)))
					core, stored := c.lengths(leader)
					if core > 115 || stored > 115 {
						t.Fatalf("%d entries in the core's log, %d in the stored one, want a tail of 100 and little more", core, stored)
					}
				}
				core, stored := c.lengths(leader)
				if core < 97 || stored != core {
					t.Errorf("%d entries in the core's log, %d in the stored one, want a tail of 100", core, stored)
				}
			})
		})
	}
}

// What is only in the state machine's memory stays in the log, however long that
// gets; until it is too long, and the state machine is made to flush.
//
// Trap 53.
// Rules: snap.applied.
func TestTheLogIsCutOnlyAsFarAsTheStateIsFlushed(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"entries": func(cfg *Config) { cfg.MaxLogEntries = 500 },
		"bytes":   func(cfg *Config) { cfg.MaxLogBytes = 500 * (10 + raft.EntryOverhead) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCluster(t, 1)
				m := c.kvs[1]
				m.lazy = true
				c.start(func(id raft.NodeID, cfg *Config) {
					shortTail(id, cfg)
					cfg.TailBytes = 1 << 10
					change(cfg)
				})
				leader := c.leader()
				c.propose(leader, 400, "0123456789")
				if core, stored := c.lengths(leader); core != 402 || stored != 402 || m.count(&m.flushes) != 0 {
					t.Errorf("%d entries in the core's log, %d in the stored one, %d flushes; nothing may be cut yet", core, stored, m.flushes)
				}
				for range 20 {
					c.propose(leader, 100, "0123456789")
					if core, _ := c.lengths(leader); core > 600 {
						t.Fatalf("%d entries in the log, 500 not flushed are too many", core)
					}
				}
				if got := m.count(&m.flushes); got < 3 || got > 5 {
					t.Errorf("%d flushes for 2400 entries, want one for every 500", got)
				}
			})
		})
	}
}

func TestAStateMachineThatCannotFlushCostsOnlySpace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1).start(shortTail)
		m := c.kvs[1]
		m.set(func() { m.flushErr = errDisk })
		leader := c.leader()
		c.propose(leader, 100, "x")
		if core, _ := c.lengths(leader); core < 100 {
			t.Errorf("%d entries in the log: it was cut, although nobody knows what is flushed", core)
		}
		m.set(func() { m.flushErr = nil })
		c.propose(leader, 10, "x")
		if core, _ := c.lengths(leader); core > 15 {
			t.Errorf("%d entries in the log, now that it can be cut", core)
		}
	})
}

func TestAFailedCompactionStopsTheNode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1)
		c.logs[1].cut = errDisk
		leader := c.start(shortTail).leader()
		for {
			if _, err := leader.Propose(t.Context(), []byte("x")); err != nil {
				break
			}
		}
		if err := leader.Stop(); !errors.Is(err, errDisk) {
			t.Errorf("the node stopped with %v, want the disk's error", err)
		}
	})
}

// The log is not cut above what a follower needs that is receiving a snapshot, or
// has just received one: it would need the next one at once.
func TestALogIsKeptForAFollowerThatReceivesASnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, leader, behind := leaveBehind(t, shortTail)
		id := behind.cfg.ID
		c.chunkTime = 20 * time.Millisecond // two seconds for all
		c.isolate(id, false)
		eventually(t, "a part of it has arrived", func() bool { return len(behind.Snapshots()) == 1 })
		last := leader.Snapshots()[0].Snapshot.Last.Index
		for leader.Snapshots() != nil {
			c.propose(leader, 10, "meanwhile")
			time.Sleep(20 * time.Millisecond)
			if first := c.logs[leader.cfg.ID].first(); first > last+1 {
				t.Fatalf("the log begins with entry %d, the follower will need %d", first, last+1)
			}
		}
		c.propose(leader, 100, "afterwards")
		c.agree(1, 2, 3)
		if m := c.kvs[id]; m.count(&m.installs) != 1 {
			t.Errorf("%d snapshots were installed, want 1", m.installs)
		}
		time.Sleep(2 * arrivalGrace)
		c.propose(leader, 10, "much later")
		if core, _ := c.lengths(leader); core > 15 {
			t.Errorf("%d entries in the log are kept for nobody", core)
		}
	})
}

// A follower that refuses a snapshot before it has taken a byte of it needs
// nothing.
func TestALogIsNotKeptForAFollowerThatRefusesTheSnapshot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		offers := make(chan SnapshotOffer, 1000)
		c, leader, behind := leaveBehind(t, func(id raft.NodeID, cfg *Config) {
			shortTail(id, cfg)
			cfg.Transport = refusing{cfg.Transport, offers}
		})
		c.isolate(behind.cfg.ID, false)
		<-offers
		c.isolate(behind.cfg.ID, true)
		time.Sleep(time.Second)
		c.propose(leader, 100, "x")
		if core, _ := c.lengths(leader); core > 15 {
			t.Errorf("%d entries are kept for a follower that does not want a snapshot", core)
		}
	})
}

type refusing struct {
	Transport
	offers chan<- SnapshotOffer
}

func (r refusing) SendSnapshot(_ context.Context, offer SnapshotOffer, _ SnapshotSource, _ func(uint64)) error {
	r.offers <- offer
	return ErrSnapshotRefused
}

// Writes and compactions reach the log store in the order in which the core
// wanted them, with one sync for the writes between two compactions.
func TestACompactionKeepsItsPlaceAmongTheWrites(t *testing.T) {
	log := &memoryLog{}
	cfg, err := Config{ID: 1, Log: log, StateMachine: &machine{}, Transport: testTransport{newCluster(t, 1), 1}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{cfg: cfg, inbox: newInbox(cfg)}
	n.compactor, n.attest = newCompactor(n, 0), newStage(n.attestWrites)
	writes := raft.WriteID(0)
	entries := func(first, last raft.Index) writeJob {
		writes++
		w := &raft.Write{ID: writes}
		for i := first; i <= last; i++ {
			w.Entries = append(w.Entries, raft.NewEntry(raft.EntryID{Term: 1, Index: i}, raft.EntryCommand, nil))
		}
		return writeJob{write: w}
	}
	reset := entries(0, 0)
	reset.write.Entries, reset.write.Reset = nil, &raft.Snapshot{Last: raft.EntryID{Term: 1, Index: 20}}
	jobs := []writeJob{
		entries(1, 5), entries(6, 10), {compact: raft.EntryID{Term: 1, Index: 7}},
		reset, entries(21, 25), entries(26, 30),
		{compact: raft.EntryID{Term: 1, Index: 22}}, {compact: raft.EntryID{Term: 1, Index: 28}},
	}
	if err := n.write(jobs); err != nil {
		t.Fatal(err)
	}
	if log.first() != 29 || log.length() != 2 || len(log.saves) != 2 {
		t.Errorf("entries %d and %d more, after %d saves; want entries 29 and 30 after 2", log.first(), log.length()-1, len(log.saves))
	}
	if got := n.inbox.take(inputs{}).written; got != 0 {
		t.Errorf("write %d is reported before the witness was asked", got)
	}
	if err := n.attestWrites(n.attest.queue); err != nil {
		t.Fatal(err)
	}
	if got := n.inbox.take(inputs{}).written; got != writes {
		t.Errorf("write %d is reported, want %d", got, writes)
	}
}

func TestALogThatAnEarlierRunLeftIsCompactedAtStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newCluster(t, 1).start(nil)
		leader := c.leader()
		c.propose(leader, 100, "x")
		_ = leader.Stop()
		c.change = shortTail
		leader = c.startNode(1)
		c.leader()
		if core, stored := c.lengths(leader); core > 15 || stored != core {
			t.Errorf("%d entries in the core's log, %d in the stored one, want a tail of 10", core, stored)
		}
		c.propose(leader, 5, "y")
		if got := len(c.kvs[1].has()); got != 105 {
			t.Errorf("%d of 105 commands are applied", got)
		}
	})
}

// The sizes that the tail is measured by, through everything that happens to a
// log.
func TestTheSizeOfTheLogIsKnownRoughly(t *testing.T) {
	const size = 100 // of an entry
	s := newSavedLog(50, 10*size)
	save := func(w raft.Write, first, last raft.Index) {
		for i := first; i <= last; i++ {
			w.Entries = append(w.Entries, raft.NewEntry(raft.EntryID{Term: 1, Index: i}, raft.EntryCommand, make([]byte, size-raft.EntryOverhead)))
		}
		s.add(&w)
	}
	expect := func(what string, wantTail raft.Index, since raft.Index, wantEntries int, wantBytes uint64) {
		t.Helper()
		tail := s.tailAfter(1000, 10*size)
		entries, bytes := s.after(since)
		if tail != wantTail || entries != wantEntries || bytes != wantBytes {
			t.Errorf("%s: the tail begins after %d, and after %d there are %d entries of %d bytes; want %d, %d and %d",
				what, tail, since, entries, bytes, wantTail, wantEntries, wantBytes)
		}
	}
	expect("after a restart nothing is known", 0, 0, 50, 0)
	save(raft.Write{}, 51, 55)
	expect("too little is known to cut", 0, 50, 5, 5*size)
	save(raft.Write{}, 56, 70)
	expect("more than a tail is known", 60, 65, 5, 5*size)
	save(raft.Write{TruncateFrom: 66}, 66, 68)
	// The 5 entries that were overwritten count, which makes the tail shorter.
	expect("after a truncation", 63, 60, 8, 13*size)
	save(raft.Write{TruncateFrom: 30}, 30, 31)
	expect("after a truncation of what is not known", 0, 29, 2, 2*size)
	save(raft.Write{Reset: &raft.Snapshot{Last: raft.EntryID{Term: 1, Index: 500}}}, 501, 520)
	expect("after a reset", 510, 500, 20, 20*size)
	s.forget(505)
	expect("after a compaction", 510, 505, 15, 15*size)
	if len(s.marks) != 16 {
		t.Errorf("%d marks are kept, want 16", len(s.marks))
	}
	if tail := s.tailAfter(5, 10*size); tail != 515 {
		t.Errorf("a tail of five entries begins after %d, want 515", tail)
	}
}
