package sim

import (
	"testing"

	"balsa/raft"
)

// picture is what the leader of a scene would offer.
func (s scene) picture() *picture {
	return &picture{
		from: s.leader, term: s.term(), snapshot: s.leader.machine.snapshot(), state: s.leader.machine.clone(), pieces: 1,
	}
}

// arrives makes the oracle believe that a picture has arrived at the follower, in
// whose state machine some of it is missing.
func (s scene) arrives(p *picture) {
	s.follower.machine.applied = raft.EntryID{Term: 1, Index: 1}
	s.follower.install = installation{picture: p, stage: wanted}
}

func TestTheOracleSeesViolationsThatHaveToDoWithStates(t *testing.T) {
	expectViolations(t, []lie{
		{"a state that is not what the log leads to", "State Machine Safety", func(s scene) {
			m := &s.follower.machine
			m.digest++
			s.oracle.applied(s.follower, s.follower.disk.log.at(m.applied.Index).entry)
		}},
		{"a value that changes by itself", "State Machine Safety", func(s scene) {
			s.follower.machine.values[0]++
			s.oracle.wholeState(s.follower)
		}},
		{"a snapshot that ends with an entry which was not committed", "Snapshots", func(s scene) {
			p := s.picture()
			p.snapshot.Last.Term++
			s.oracle.tookPicture(s.leader, p)
		}},
		{"a snapshot with another configuration", "Snapshots", func(s scene) {
			p := s.picture()
			p.snapshot.Configuration.Configuration = s.configuration([]*node{s.leader})
			s.oracle.tookPicture(s.leader, p)
		}},
		{"a snapshot that holds more than it says", "Snapshots", func(s scene) {
			p := s.picture()
			p.snapshot.Last = s.leader.disk.log.id(p.snapshot.Last.Index - 1)
			p.snapshot.Last.Index--
			s.oracle.tookPicture(s.leader, p)
		}},
		{"a snapshot that holds what was committed after the term in which it is offered", "Snapshots", func(s scene) {
			p := s.picture()
			p.term--
			s.oracle.tookPicture(s.leader, p)
		}},
		{"a snapshot is installed that has not arrived", "Snapshots", func(s scene) {
			s.oracle.wantsInstall(s.follower, s.picture().snapshot)
		}},
		{"a snapshot is installed that is older than the state", "Snapshots", func(s scene) {
			p := s.picture()
			s.follower.install = installation{picture: p, stage: wanted}
			s.oracle.wantsInstall(s.follower, p.snapshot)
		}},
		{"a snapshot is installed while entries are applied", "Snapshots", func(s scene) {
			p := s.picture()
			s.arrives(p)
			s.follower.applying = true
			s.oracle.wantsInstall(s.follower, p.snapshot)
		}},
		{"two snapshots are installed at once", "Snapshots", func(s scene) {
			p := s.picture()
			s.arrives(p)
			s.oracle.wantsInstall(s.follower, p.snapshot)
			s.oracle.wantsInstall(s.follower, p.snapshot)
		}},
		{"a snapshot is installed before its term is durable", "Term Durability", func(s scene) {
			p := s.picture()
			s.arrives(p)
			s.follower.disk.hardState.CurrentTerm = 1
			s.oracle.wantsInstall(s.follower, p.snapshot)
		}},
		{"what is installed is another state", "State Machine Safety", func(s scene) {
			p := s.picture()
			p.state.chain++
			s.follower.machine.install(p.state, p.snapshot)
			s.oracle.installed(s.follower)
		}},
		{"entries are applied while a snapshot is installed", "Apply", func(s scene) {
			v := &s.follower.view
			v.installing = true
			v.handed--
			s.oracle.handedToApply(s.follower, raft.Apply{First: v.handed + 1, Last: v.handed + 1})
		}},
		{"a snapshot drops the part of the log that follows it", "Snapshots", func(s scene) {
			log := &s.follower.disk.log
			s.oracle.becomesDurable(s.follower, &raft.Write{
				ID: s.follower.disk.lastWrite + 1, HardState: s.follower.disk.hardState,
				Reset: &raft.Snapshot{Last: log.id(log.last() - 1)},
			})
		}},
		{"a leader replaces its log by a snapshot", "Leader Append-Only", func(s scene) {
			v := &s.leader.view
			snapshot := s.picture().snapshot
			s.oracle.handedOut(s.leader, &raft.Write{ID: v.lastWrite + 1, HardState: v.hardState, Reset: &snapshot})
		}},
		{"a log is compacted beyond what was committed", "Compaction", func(s scene) {
			i := s.appends(s.leader, "new")
			s.oracle.cutsLog(s.leader, s.leader.view.log.id(i))
		}},
		{"the term at the boundary is forgotten", "Compaction", func(s scene) {
			log := &s.follower.view.log
			s.oracle.commits[log.last()-1].entry++
			s.oracle.cutsLog(s.follower, raft.EntryID{Term: log.lastID().Term + 1, Index: log.last()})
		}},
		{"a disk is cut beyond what the state machine has flushed", "Compaction", func(s scene) {
			s.follower.machine.flushed.applied.Index--
			s.oracle.cutsDisk(s.follower, s.follower.disk.log.lastID())
		}},
	})
}

func TestAFollowerThatNeedsASnapshotCatchesUp(t *testing.T) {
	s := newScene(t)
	s.chaos = false
	s.follower.crash("for a while")
	prober := &client{w: s.world}
	two := []*node{s.leader, s.third}
	for range 5 {
		if !s.probe(prober, two, s.now+20*s.timeout()) {
			t.Fatalf("two of three do not go on: %v", s.failure)
		}
	}
	s.compactAll()
	s.until(s.now+Tick, nil)
	if s.leader.core.Status().FirstIndex <= s.follower.disk.log.last() {
		t.Fatal("the leader has kept what the follower needs")
	}
	s.follower.start()
	s.checkProgress(s.noHardship())
	if s.failure != nil {
		t.Fatal(s.failure)
	}
	if s.stats.Snapshots.Installed == 0 || s.follower.disk.log.start.Index == 0 {
		t.Errorf("no snapshot was installed: %+v", s.stats.Snapshots)
	}
}
