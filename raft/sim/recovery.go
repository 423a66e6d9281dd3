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
	w.faults = Faults{MaxDelay: Tick / 4, FlushEvery: w.options.Faults.FlushEvery}
	w.note(nil, "no more faults")
	w.network.heal()
	h := hardship{name: "none", groups: [][]*node{w.nodes}}
	if w.faultRandom.IntN(2) == 0 {
		h = w.someHardship()
		w.note(nil, "what remains: %s", h.name)
	}
	w.refresh(h)
	w.until(w.now+w.options.aftermath(), nil)
	w.checkQuiet(w.checkProgress(h))
	if h.name != "none" {
		h = hardship{name: "none", groups: [][]*node{w.nodes}}
		w.network.heal()
		w.refresh(h)
		w.checkQuiet(w.checkProgress(h))
	}
	w.checkLies()
}

// hardship is what remains broken while the cluster has to recover.
type hardship struct {
	name string
	// down are the nodes that stay down.
	down []*node
	// connected is which nodes reach which; nil: all reach all.
	connected func(from, to *node) bool
	// groups are the sets of nodes of which one has to recover completely.
	groups [][]*node
}

// someHardship leaves a majority that is well connected in any case. In half of
// the cases the leader is not part of it: it must not stand in the way.
func (w *world) someHardship() hardship {
	var order []*node
	for _, i := range w.faultRandom.Perm(len(w.nodes)) {
		order = append(order, w.nodes[i])
	}
	if leader := w.leader(); leader != nil && w.faultRandom.IntN(2) == 0 {
		i, last := slices.Index(order, leader), len(order)-1
		order[i], order[last] = order[last], order[i]
	}
	majority := order[:len(order)/2+1]
	rest := order[len(order)/2+1:]
	switch kind := w.faultRandom.IntN(4); {
	case kind == 0:
		return hardship{name: "a minority is down", down: rest, groups: [][]*node{majority}}
	case kind == 1:
		return hardship{
			name: "a minority hears nothing", groups: [][]*node{majority},
			connected: func(_, to *node) bool { return !slices.Contains(rest, to) },
		}
	case kind == 2 || len(order) < 3:
		return hardship{
			name: "a minority is not heard", groups: [][]*node{majority},
			connected: func(from, _ *node) bool { return !slices.Contains(rest, from) },
		}
	default:
		// The leader may be one of the two; the other one is then left out.
		one, other := order[0], order[len(order)-1]
		return hardship{
			name: "two nodes do not reach each other", groups: [][]*node{order[1:], order[:len(order)-1]},
			connected: func(from, to *node) bool { return !(from == one && to == other || from == other && to == one) },
		}
	}
}

// refresh brings nodes and links into the state that they have from now on.
func (w *world) refresh(h hardship) {
	for _, n := range w.nodes {
		switch down := slices.Contains(h.down, n); {
		case down && n.up:
			n.crash("for good")
		case !down && !n.up:
			n.start()
		case n.up:
			n.setClock()
		}
	}
	if h.connected != nil {
		w.network.partition(func(from, to int) bool { return h.connected(w.nodes[from], w.nodes[to]) })
	}
}

// checkProgress checks that one of the groups agrees on a leader, replicates a
// new command, answers reads and comes to the same state, all within bounds. It
// returns that group, or nil.
func (w *world) checkProgress(h hardship) []*node {
	timeout := ticks(w.options.Core.ElectionTicks)
	deadline := w.now + electionBound*timeout
	extended := false
	prober := &client{w: w}
	for w.failure == nil {
		var group []*node
		agreed := func() bool {
			i := slices.IndexFunc(h.groups, func(g []*node) bool { return agreedLeader(g) != nil })
			if i >= 0 {
				group = h.groups[i]
			}
			return i >= 0
		}
		if !w.until(deadline, agreed) {
			w.notLive("no leader that all follow", h)
			return nil
		}
		if !extended {
			extended = true
			deadline += 2*timeout + w.backlog(group)*ticksPerEntry*Tick
		}
		if w.probe(prober, group, deadline) {
			return group
		}
		if w.now >= deadline {
			w.notLive("a command and reads are not done", h)
		}
	}
	return nil
}

// probe proposes a command to the leader, reads on every node and waits until
// that is done and all have the same state. It returns false if the time is
// over, the leader changes or a request fails, and then it may be tried again.
func (w *world) probe(prober *client, group []*node, deadline Time) bool {
	requests := []*request{w.put(agreedLeader(group), prober, 0)}
	for _, n := range group {
		requests = append(requests, w.get(n, prober, 0))
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
		succeeded = !open && !failed && w.converged(group)
		return succeeded || failed || agreedLeader(group) == nil
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

// converged reports whether the nodes have applied all that is committed, hold
// the same log on their disks, and have no request left to answer.
func (w *world) converged(group []*node) bool {
	last := w.oracle.committed()
	for _, n := range group {
		if n.machine.applied.Index != last || n.view.log.last() != last || n.disk.log.last() != last ||
			n.machine.chain != w.oracle.committedChain() ||
			len(n.asked) > 0 || len(n.confirmed) > 0 {
			return false
		}
	}
	return true
}

// checkQuiet checks that no node of a group that has recovered campaigns again.
func (w *world) checkQuiet(group []*node) {
	before := campaigns(group)
	w.until(w.now+quietBound*ticks(w.options.Core.ElectionTicks), nil)
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

// checkLies checks that false news of a lost connection do not depose a leader
// whom the others hear.
func (w *world) checkLies() {
	leaders, pause := w.stats.Leaders, 2*ticks(w.options.Core.ElectionTicks)
	for range 3 {
		if w.failure != nil {
			return
		}
		n, leader := pick(w.faultRandom, w.nodes...), w.leader()
		if n != leader {
			w.hint(n, leader.id)
		}
		w.until(w.now+pause, nil)
	}
	if w.stats.Leaders > leaders {
		w.violated("Liveness", "a leader was deposed by false news")
	}
}

func (w *world) notLive(what string, h hardship) {
	detail := what + " (what remains broken: " + h.name + ")"
	for _, n := range w.nodes {
		if !n.up {
			detail += fmt.Sprintf("\n  %s is down", n.id)
			continue
		}
		s := n.core.Status()
		detail += fmt.Sprintf("\n  %s: %s in term %d, leader %s, commit %d, applied %s, log to %d, disk to %s, %d+%d reads wait",
			n.id, s.Role, s.CurrentTerm, s.Leader, s.CommitIndex, n.machine.applied, s.LastIndex, n.disk.log.lastID(), len(n.asked), len(n.confirmed))
		for _, p := range s.Peers {
			detail += fmt.Sprintf("\n    %s: match %d, next %d, %s", p.ID, p.MatchIndex, p.NextIndex, p.State)
		}
	}
	w.violated("Liveness", detail)
}
