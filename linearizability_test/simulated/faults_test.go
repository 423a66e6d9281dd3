package simulated_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
	"balsa/raft/logstore"
	"balsa/raft/node"
)

// fault is something that goes wrong, or that an operator does.
type fault struct {
	name string
	do   func(*world)
}

// allFaults are the faults that a run may have.
var allFaults = []fault{
	{"power fails", (*world).powerFails},
	{"power fails at a write", (*world).powerFailsAtWrite},
	{"power fails at a write of a snapshot", (*world).powerFailsAtSnapshot},
	{"power fails everywhere", (*world).powerFailsEverywhere},
	{"killed", (*world).killed},
	{"stopped", (*world).stopped},
	{"disk fails", (*world).diskFails},
	{"disk is full", (*world).diskIsFull},
	{"disk is slow", (*world).diskIsSlow},
	{"partition", (*world).partition},
	{"isolated", (*world).isolated},
	{"one way only", (*world).oneWay},
	{"connections break", (*world).connectionsBreak},
	{"transfer", (*world).transfer},
	{"members change", (*world).membersChange},
	{"members change", (*world).membersChange}, // it takes several for a learner to vote
}

// randomFaults leaves out some of the faults: with all of them all the time, some
// things never come to pass.
func randomFaults(rng *rand.Rand) []fault {
	var faults []fault
	share := pick(rng, 30, 70)
	for _, f := range allFaults {
		if rng.IntN(100) < share {
			faults = append(faults, f)
		}
	}
	return append(faults, allFaults[0])
}

// doFaults lets one fault after the other happen for as long as the plan says.
func (w *world) doFaults() {
	for end := time.Now().Add(w.plan.duration); time.Now().Before(end) && !w.failed.Load(); {
		time.Sleep(w.upTo(w.plan.pause))
		w.plan.faults[w.below(len(w.plan.faults))].do(w)
	}
}

// unsynced draws how much of what was not synced survives.
func (w *world) unsynced() int { return []int{0, 50, 100}[w.below(3)] }

// random returns a process that runs, the leader's more often than others, or nil.
func (w *world) random() *process {
	if leader := w.leader(); leader != nil && w.below(2) == 0 {
		return leader
	}
	running := w.running()
	if len(running) == 0 {
		return nil
	}
	return running[w.below(len(running))]
}

func (w *world) powerFails() {
	if p := w.random(); p != nil {
		percent := w.unsynced()
		w.logf("n%d loses power; %d %% of the unsynced survives", p.id, percent)
		p.crash(percent)
	}
}

func (w *world) powerFailsAtWrite() {
	if p := w.random(); p != nil {
		p.trapCrash([]string{"", "data/log", "data/state"}[w.below(3)], w.below(40), w.unsynced())
	}
}

func (w *world) powerFailsAtSnapshot() {
	for _, p := range w.running() {
		p.trapCrash("received", w.below(15), w.unsynced())
	}
}

func (w *world) powerFailsEverywhere() {
	percent := w.unsynced()
	if w.bugs.disksLie {
		percent = 0
	}
	w.logf("all lose power; %d %% of the unsynced survives", percent)
	running := w.running()
	for _, p := range running {
		p.die(func() *vfs.MemFS { return p.disk.clone(percent) })
	}
	if len(running) == len(w.all()) {
		w.seen.blackouts.Add(1)
	}
}

// killed ends a process and not the system: what it has written is there.
func (w *world) killed() {
	if p := w.random(); p != nil {
		w.logf("n%d is killed", p.id)
		p.crash(100)
	}
}

func (w *world) stopped() {
	if p := w.random(); p != nil {
		w.seen.stops.Add(1)
		select {
		case w.server(p.id).stop <- w.upTo(w.plan.downtime):
		default: // it is about to stop anyway
		}
	}
}

func (w *world) diskFails() { w.failDisk(syscall.EIO) }

func (w *world) diskIsFull() { w.failDisk(syscall.ENOSPC) }

// failDisk makes a disk fail. That of a log fails once in a run at most: it costs
// memory for good, see world.leaked.
func (w *world) failDisk(cause error) {
	switch p := w.random(); {
	case p == nil:
	case w.below(2) == 0:
		p.trapFailure("data/state", w.below(10), w.unsynced(), cause)
	case w.below(3) > 0:
		for _, p := range w.running() { // nobody knows who is going to receive a snapshot
			p.trapFailure("received", w.below(10), w.unsynced(), cause)
		}
	case w.logFailed.CompareAndSwap(false, true):
		p.trapFailure("data/log", w.below(20), w.unsynced(), cause)
	}
}

// diskIsSlow slows a disk down for a while. A write takes up to as long as two
// elections.
func (w *world) diskIsSlow() {
	p := w.random()
	if p == nil {
		return
	}
	most := []time.Duration{20, 100, 1000}[w.below(3)] * time.Millisecond
	w.logf("n%d: the disk takes up to %v", p.id, most)
	p.slow.Store(int64(most))
	time.AfterFunc(w.upTo(4*time.Second), func() { p.slow.Store(0) })
}

// cut cuts links for a while.
func (w *world) cut(what string, cuts []link) {
	w.logf("cut: %s", what)
	w.seen.partitions.Add(1)
	w.net.setCuts(cuts)
	time.AfterFunc(w.upTo(3*time.Second), func() {
		w.logf("no cut: %s", what)
		w.net.setCuts(nil)
	})
}

func (w *world) partition() {
	var sides [2][]raft.NodeID
	for _, s := range w.all() {
		side := w.below(2)
		sides[side] = append(sides[side], s.id)
	}
	var cuts []link
	for _, a := range sides[0] {
		for _, b := range sides[1] {
			cuts = append(cuts, link{a, b}, link{b, a})
		}
	}
	w.cut(fmt.Sprintf("%v from %v", sides[0], sides[1]), cuts)
}

func (w *world) isolated() {
	p := w.random()
	if p == nil {
		return
	}
	var cuts []link
	for _, s := range w.all() {
		cuts = append(cuts, link{p.id, s.id}, link{s.id, p.id})
	}
	w.cut(fmt.Sprintf("n%d from all", p.id), cuts)
}

func (w *world) oneWay() {
	p := w.random()
	if p == nil {
		return
	}
	var cuts []link
	in := w.below(2) == 0
	for _, s := range w.all() {
		if in {
			cuts = append(cuts, link{s.id, p.id})
		} else {
			cuts = append(cuts, link{p.id, s.id})
		}
	}
	w.cut(fmt.Sprintf("n%d, one way only, to it: %v", p.id, in), cuts)
}

// connectionsBreak tells servers that they have lost each other, which may or may
// not be so.
func (w *world) connectionsBreak() {
	for _, p := range w.running() {
		for _, s := range w.all() {
			if w.below(3) == 0 {
				p.node.ConnectionLost(s.id)
			}
		}
	}
}

func (w *world) transfer() {
	leader := w.leader()
	if leader == nil {
		return
	}
	all := w.all()
	to := all[w.below(len(all))].id
	if w.below(2) == 0 {
		to = raft.None
	}
	w.background.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		err := leader.node.TransferLeadership(ctx, to)
		if leader.dead.Load() {
			return
		}
		w.logf("n%d was asked to hand over to %v: %v", leader.id, to, err)
		if err == nil {
			w.seen.transfers.Add(1)
		}
	})
}

// membersChange asks the leader for a change of members, unless one is under way.
func (w *world) membersChange() {
	leader := w.leader()
	if leader == nil || !w.changing.CompareAndSwap(false, true) {
		return
	}
	basis, current := leader.node.Configuration()
	change, added := w.chooseChange(current)
	if added != nil {
		w.launch(added)
	}
	change.Basis = basis
	w.background.Go(func() {
		defer w.changing.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		defer cancel()
		err := leader.node.ChangeMembers(ctx, change)
		if leader.dead.Load() {
			return
		}
		w.logf("n%d was asked for the change set %v, remove %v: %v", leader.id, change.Set, change.Remove, err)
		switch {
		case err == nil:
			w.seen.changes.Add(1)
			for _, id := range change.Remove {
				w.server(id).retire()
			}
		case added != nil && errors.As(err, new(*node.NotLeaderError)):
			added.retire()
		}
	})
}

// chooseChange draws a change that is possible, and prepares the server that it
// adds, if it adds one.
func (w *world) chooseChange(current raft.Configuration) (raft.Change, *server) {
	voters, learners := current.Voters(), current.Learners()
	switch n := w.below(4); {
	case len(learners) > 0 && n < 2: // promote
		m, _ := current.Member(learners[w.below(len(learners))])
		m.Votes = true
		return raft.Change{Set: []raft.Member{m}}, nil
	case len(current.Members) < w.plan.voters+w.plan.spares && n < 3: // add
		s := w.newServer()
		instance := s.prepare(func(log *logstore.Store) error { return log.Join(testCluster) })
		return raft.Change{Set: []raft.Member{{ID: s.id, Instance: instance, Address: fmt.Sprintf("n%d", s.id)}}}, s
	case len(voters) > 3 && n == 3: // demote
		m, _ := current.Member(voters[w.below(len(voters))])
		m.Votes = false
		return raft.Change{Set: []raft.Member{m}}, nil
	case len(voters) > 2:
		members := slices.Concat(voters, learners)
		return raft.Change{Remove: []raft.NodeID{members[w.below(len(members))]}}, nil
	default: // nothing that would leave a single voter
		m := current.Members[0]
		m.Address += "'"
		return raft.Change{Set: []raft.Member{m}}, nil
	}
}
