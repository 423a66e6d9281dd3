package sim

import (
	"slices"

	"balsa/raft"
)

// hardship is what remains broken while the cluster has to recover.
type hardship struct {
	name string
	// down are the nodes that stay down.
	down []*node
	// connected is which nodes reach which; nil: all reach all.
	connected func(from, to *node) bool
	// groups are the sets of nodes of which one has to recover completely, as far
	// as they are members.
	groups [][]*node
}

func (w *world) noHardship() hardship { return hardship{name: "none", groups: [][]*node{w.nodes}} }

// someHardship leaves enough nodes, well connected, for the cluster to go on. In
// half of the cases the leader is not one of them: it must not stand in the way.
func (w *world) someHardship() hardship {
	var order []*node
	for rest := slices.Clone(w.nodes); len(rest) > 0; {
		i := w.choose(len(rest))
		order, rest = append(order, rest[i]), slices.Delete(rest, i, i+1)
	}
	if leader := w.leader(); leader != nil && w.choose(2) == 1 {
		i := slices.Index(order, leader)
		order[i], order[0] = order[0], order[i]
	}
	enough, rest := order, []*node(nil)
	for _, n := range order {
		without := slices.DeleteFunc(slices.Clone(enough), func(other *node) bool { return other == n })
		if len(without) > 0 && w.oracle.canGoOn(without) {
			enough, rest = without, append(rest, n)
		}
	}
	one := enough[0]
	switch kind := w.choose(4); {
	case len(rest) == 0:
		return w.noHardship()
	case kind == 0:
		return hardship{name: "some are down", down: rest, groups: [][]*node{enough}}
	case kind == 1:
		return hardship{
			name: "some hear nothing", groups: [][]*node{enough},
			connected: func(_, to *node) bool { return !slices.Contains(rest, to) },
		}
	case kind == 2:
		return hardship{
			name: "some are not heard", groups: [][]*node{enough},
			connected: func(from, _ *node) bool { return !slices.Contains(rest, from) },
		}
	default:
		return w.twoApart(rest[0], one)
	}
}

// twoApart is a network in which two nodes do not reach each other. The cluster
// can go on without the first of them, and goes on without the second one instead
// if a leader is elected that the first one follows, or if a change that is under
// way turns out so.
func (w *world) twoApart(a, b *node) hardship {
	h := hardship{
		name:      "two nodes do not reach each other",
		connected: func(from, to *node) bool { return !(from == a && to == b || from == b && to == a) },
	}
	for _, left := range []*node{a, b} {
		h.groups = append(h.groups, slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n == left }))
	}
	return h
}

// canGoOn reports whether a cluster must come back to life when the given nodes
// work and reach each other, and nobody else does. That is the promise of Raft, as
// far as the core can keep it: it may refuse a change that would leave nobody to
// decide, but cannot know which server dies in the next moment, and so it may
// have accepted one that makes a lost server count.
//
// It must if these nodes, with the disks that they have, are a quorum of the newest
// committed configuration, because some of them then has all that is committed,
// and also of each configuration that a leader has put after it. By which of these
// the next leader decides nobody can know: even the word of a server that is down
// may still be on its way. A configuration that follows an earlier one does not
// matter. Who has it in force wins no election before it has the newest.
//
// And one of them must be electable: see there.
func (o *oracle) canGoOn(nodes []*node) bool {
	newest := o.newestConfiguration()
	works := func(m raft.Member) bool {
		return slices.ContainsFunc(nodes, func(n *node) bool { return n.is(m) })
	}
	return decides(newest.Configuration, works) && electable(nodes) &&
		!slices.ContainsFunc(o.successors[newest.chain], func(c raft.Configuration) bool { return !decides(c, works) })
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
		w.network.partition(func(from, to raft.NodeID) bool { return h.connected(w.node(from), w.node(to)) })
	}
}
