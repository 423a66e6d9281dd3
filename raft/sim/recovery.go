package sim

import (
	"fmt"
	"slices"

	"balsa/raft"
)

// The bounds within which a cluster without faults must recover, in terms of the
// shortest election timeout. They are generous: what they have to tell apart is
// "soon" and "never".
const (
	// electionBound is within how many election timeouts a leader is elected that
	// all follow.
	electionBound = 20
	// quietBound is for how many election timeouts nobody campaigns after that.
	quietBound = 20
	// snapshotBound is how many election timeouts it may take to bring a snapshot
	// to who needs one: the leader waits before it tries again.
	snapshotBound = 10
	// ticksPerEntry is how long it may take, for each entry that a node lags
	// behind, to bring it there when every message carries one entry, waits for
	// the answer to the one before, and its entry is loaded, written and applied
	// by itself.
	ticksPerEntry = 4
)

// recovery ends all faults that change, and checks that the cluster comes back
// to life. In some runs it must first do so in spite of faults that remain for
// good. The rest of the cluster is repaired after that.
func (w *world) recovery() {
	if w.failure != nil {
		return
	}
	w.chaos = false
	w.now++ // so that every moment is either before or after the end of the faults
	for _, n := range w.nodes {
		n.diskFullUntil = 0
		n.findsDamage(0, n.disk.log.last())
	}
	w.byItself()
	w.faults = Faults{MaxDelay: Tick / 4, FlushEvery: w.options.Faults.FlushEvery}
	w.note(nil, "no more faults")
	w.network.renew()
	if !w.oracle.canGoOn(w.nodes) {
		w.note(nil, "the cluster is beyond help")
		w.stats.Recovery.BeyondHelp++
		w.refresh(w.noHardship())
		w.until(w.now+electionBound*w.timeout(), nil)
		return
	}
	if slices.ContainsFunc(w.nodes, func(n *node) bool { return n.logNow().inForce().Configuration.Joint() }) {
		w.stats.Recovery.JointAtFirst++
	}
	h := w.noHardship()
	if w.choose(2) == 1 {
		h = w.someHardship()
		w.note(nil, "what remains: %s", h.name)
		w.stats.Recovery.Hardships++
	}
	w.refresh(h)
	if w.choose(2) == 1 {
		w.compactAll()
	}
	w.until(w.now+w.aftermath, nil)
	group := w.checkProgress(h)
	w.checkQuiet(group)
	w.checkHopelessTransfer(h)
	if h.name != w.noHardship().name {
		h = w.noHardship()
		w.network.heal()
		w.refresh(h)
		group = w.checkProgress(h)
		w.checkQuiet(group)
	}
	w.checkLies(group)
	w.checkTransfer(group)
	w.checkChange(h)
	if w.failure == nil {
		w.stats.Recovery.Recovered++
	}
}

// timeout is the shortest election timeout.
func (w *world) timeout() Time { return ticks(w.options.Core.ElectionTicks) }

// compactAll makes every node forget all of its log that it may, so that who is
// behind needs a snapshot.
func (w *world) compactAll() {
	for _, n := range w.nodes {
		if n.up {
			n.compactAll()
		}
	}
}

// checkProgress checks that one of the groups agrees on a leader, leaves a joint
// configuration, replicates a new command, answers reads and comes to the same
// state, with all the members among them, all within bounds. It returns these
// members, or nil.
func (w *world) checkProgress(h hardship) []*node {
	deadline := w.now + electionBound*w.timeout()
	needed := w.stats.Snapshots.Needed
	extended, waited := false, false
	prober := &client{w: w}
	for w.failure == nil {
		var group []*node
		agreed := func() bool {
			for _, g := range h.groups {
				if group = w.membersAmong(g); agreedLeader(group) != nil {
					return true
				}
			}
			return false
		}
		if !w.until(deadline, agreed) {
			// A change of members may wait for a new voter to catch up.
			if more := w.backlog(w.changing()) * ticksPerEntry * Tick; more > 0 && !waited {
				waited = true
				deadline += more
				continue
			}
			w.notLive("no leader that all members follow", h)
			return nil
		}
		if !extended {
			extended = true
			deadline += (2+snapshotBound)*w.timeout() + w.backlog(group)*ticksPerEntry*Tick
		}
		if w.probe(prober, group, deadline) {
			if w.stats.Snapshots.Needed > needed {
				w.stats.Recovery.SnapshotsNeeded++
			}
			return group
		}
		if w.now >= deadline {
			w.notLive("a command and reads are not done", h)
		}
	}
	return nil
}

// membersAmong returns those of the nodes that are members of the configuration
// which the leader of the latest term among them has in force, if that is
// committed and not joint; with the disks that were admitted.
func (w *world) membersAmong(nodes []*node) []*node {
	var leader *node
	for _, n := range nodes {
		if n.up && n.core.Role() == raft.Leader && (leader == nil || n.core.Term() > leader.core.Term()) {
			leader = n
		}
	}
	if leader == nil {
		return nil
	}
	latest := leader.view.log.inForce()
	if latest.Index > leader.view.commit || latest.Configuration.Joint() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n *node) bool {
		m, known := latest.Configuration.Member(n.id)
		return !known || !n.is(m)
	})
}

// changing returns the members of the configuration that the leader of the latest
// term has in force, if it is not committed yet, or joint.
func (w *world) changing() []*node {
	leader := w.leader()
	if leader == nil {
		return nil
	}
	latest := leader.view.log.inForce()
	if latest.Index <= leader.view.commit && !latest.Configuration.Joint() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool {
		m, known := latest.Configuration.Member(n.id)
		return !known || !n.is(m)
	})
}

// probe proposes a command to the leader, reads on every node and waits until
// that is done and all have the same state. It returns false if the time is
// over, the leader changes or a request fails, and then it may be tried again.
func (w *world) probe(prober *client, group []*node, deadline Time) bool {
	requests := []*request{w.put(agreedLeader(group), prober, 0, 0)}
	for _, n := range group {
		requests = append(requests, w.get(n, prober, 0, w.choose(2) == 1))
	}
	outcomes := func() (open, failed bool) {
		for _, r := range requests {
			open = open || r.open
			failed = failed || !r.open && w.history[r.place].Outcome != Done
		}
		return open, failed
	}
	succeeded := false
	w.until(deadline, func() bool {
		open, failed := outcomes()
		lost := agreedLeader(group) == nil
		succeeded = !open && !failed && !lost && w.converged(group)
		return succeeded || failed || lost
	})
	if !succeeded {
		w.until(w.now+Tick, nil)
	}
	return succeeded
}

// backlog is how many entries the furthest behind of the nodes lacks.
func (w *world) backlog(group []*node) Time {
	var longest, least raft.Index
	for i, n := range group {
		longest = max(longest, n.view.log.last())
		if applied := n.machine.applied.Index; i == 0 || applied < least {
			least = applied
		}
	}
	return Time(longest - least)
}

// agreedLeader returns the leader that all the nodes follow, if there is one.
func agreedLeader(group []*node) *node {
	if len(group) == 0 {
		return nil
	}
	first := group[0].core
	if first.Leader() == raft.None {
		return nil
	}
	var leader *node
	for _, n := range group {
		if n.core.Term() != first.Term() || n.core.Leader() != first.Leader() {
			return nil
		}
		switch n.core.Role() {
		case raft.Leader:
			leader = n
		case raft.Follower:
		default:
			return nil
		}
	}
	return leader
}

// converged reports whether the nodes have applied all that is committed, have the
// same configuration in force, hold the same end of the log on their disks, have
// no request left to answer, and that their leader knows.
func (w *world) converged(group []*node) bool {
	last := w.oracle.committed()
	for _, n := range group {
		if n.machine.applied.Index != last || n.view.log.last() != last || n.disk.log.last() != last ||
			n.machine.chain != w.oracle.committedChain(last) ||
			n.view.log.inForce().Index != w.oracle.newestConfiguration().Index ||
			len(n.asked) > 0 || len(n.confirmed) > 0 {
			return false
		}
	}
	for _, p := range agreedLeader(group).core.Status().Peers {
		if slices.Contains(group, w.node(p.ID)) && (p.MatchIndex != last || p.State != "replicate") {
			return false
		}
	}
	return true
}

// checkQuiet checks that no node of a group that has recovered campaigns again.
func (w *world) checkQuiet(group []*node) {
	before := campaigns(group)
	w.until(w.now+quietBound*w.timeout(), nil)
	if campaigns(group) > before {
		w.violated("Liveness", "a campaign began although nothing was wrong")
	}
}

func campaigns(group []*node) int {
	sum := 0
	for _, n := range group {
		sum += n.campaigns
	}
	return sum
}

func (w *world) notLive(what string, h hardship) {
	detail := what + " (what remains broken: " + h.name + ")"
	for _, n := range w.nodes {
		if !n.up {
			detail += fmt.Sprintf("\n  %s is down", n.id)
			continue
		}
		s := n.core.Status()
		detail += fmt.Sprintf("\n  %s: %s in term %d, leader %s, commit %d, applied %s, log %d to %d, disk to %s, %d+%d reads wait, %s (entry %d)",
			n.id, s.Role, s.CurrentTerm, s.Leader, s.CommitIndex, n.machine.applied, s.FirstIndex, s.LastIndex, n.disk.log.lastID(),
			len(n.asked), len(n.confirmed), s.Configuration, s.ConfigurationIndex)
		for _, p := range s.Peers {
			detail += fmt.Sprintf("\n    %s: match %d, next %d, %s", p.ID, p.MatchIndex, p.NextIndex, p.State)
		}
	}
	w.violated("Liveness", detail)
}
