package sim

import (
	"fmt"
	"slices"

	"balsa/raft"
)

// network carries messages between nodes, and loses, delays, repeats and
// reorders them. Every direction between two nodes is a link of its own.
type network struct {
	w      *world
	random random
	links  [][]link
}

type link struct {
	// cut means that nothing gets through.
	cut bool
	// cloggedUntil is when a link that holds back everything lets it go.
	cloggedUntil Time
}

func newNetwork(w *world) network {
	n := network{w: w, random: newRandom(w.options.Seed, "network")}
	n.links = make([][]link, len(w.nodes))
	for i := range n.links {
		n.links[i] = make([]link, len(w.nodes))
	}
	return n
}

func (net *network) link(m raft.Message) *link { return &net.links[m.From-1][m.To-1] }

// send takes a message from a node.
func (net *network) send(m raft.Message) {
	w := net.w
	w.stats.Messages++
	if net.link(m).cut || net.random.chance(net.w.faults.Loss) {
		w.stats.Lost++
		return
	}
	m = net.encoded(m)
	deliver := func() { net.deliver(m) }
	delay := net.delay(m)
	w.at(w.now+delay, deliver)
	if net.random.chance(w.faults.Duplicate) {
		w.stats.Duplicated++
		w.at(w.now+delay+net.random.between(0, ticks(w.faults.DuplicateTicks)), deliver)
	}
}

// encoded passes some of the messages through their binary form.
func (net *network) encoded(m raft.Message) raft.Message {
	if net.random.IntN(16) != 0 {
		return m
	}
	decoded, err := raft.DecodeMessage(m.AppendTo(nil))
	if err != nil {
		net.w.violated("Encoding", fmt.Sprintf("%s cannot be decoded: %v", m, err))
		return m
	}
	return decoded
}

const shortestDelay = Tick / 20

func (net *network) delay(m raft.Message) Time {
	w := net.w
	delay := net.random.between(shortestDelay, max(net.w.faults.MaxDelay, shortestDelay))
	if net.random.chance(net.w.faults.Late) {
		w.stats.Late++
		delay += net.random.between(0, ticks(net.w.faults.LateTicks))
	}
	if clogged := net.link(m).cloggedUntil - w.now; clogged > 0 {
		w.stats.Clogged++
		delay += clogged
	}
	return delay
}

func (net *network) deliver(m raft.Message) {
	to := net.w.node(m.To)
	if !to.up {
		net.w.stats.Lost++
		return
	}
	to.receive(func() { to.core.Step(m) })
}

// heal repairs every link. What a clogged link holds still comes late.
func (net *network) heal() {
	net.w.note(nil, "the network is whole")
	for i := range net.links {
		clear(net.links[i])
	}
}

// partition cuts links so that those for which connected returns true remain.
func (net *network) partition(connected func(from, to int) bool) {
	for from := range net.links {
		for to := range net.links {
			link := &net.links[from][to]
			link.cut = from != to && !connected(from, to)
			if link.cut {
				net.w.trueHint(net.w.nodes[to], net.w.nodes[from])
			}
		}
	}
}

// isolate cuts a node off.
func (net *network) isolate(n *node) {
	place := int(n.id) - 1
	net.w.note(n, "is cut off")
	net.partition(func(from, to int) bool { return from != place && to != place })
}

// shapes are the ways in which a network falls apart. Each gets the nodes in
// random order and returns which of them, by their places in that order, still
// reach which.
var shapes = []struct {
	name      string
	connected func(r random, places int) func(from, to int) bool
}{
	{"two halves", func(r random, places int) func(from, to int) bool {
		split := 1 + r.IntN(max(1, places-1))
		return func(from, to int) bool { return (from < split) == (to < split) }
	}},
	{"one cut off", func(_ random, _ int) func(from, to int) bool {
		return func(from, to int) bool { return from != 0 && to != 0 }
	}},
	{"one hears nobody", func(_ random, _ int) func(from, to int) bool {
		return func(_, to int) bool { return to != 0 }
	}},
	{"one is heard by nobody", func(_ random, _ int) func(from, to int) bool {
		return func(from, _ int) bool { return from != 0 }
	}},
	{"two do not reach each other", func(_ random, _ int) func(from, to int) bool {
		return func(from, to int) bool { return from+to != 1 }
	}},
	{"a bridge between two halves", func(_ random, places int) func(from, to int) bool {
		half := 1 + (places-1)/2
		return func(from, to int) bool { return from == 0 || to == 0 || (from < half) == (to < half) }
	}},
	{"a chain", func(_ random, _ int) func(from, to int) bool {
		return func(from, to int) bool { return from-to == 1 || to-from == 1 }
	}},
	{"only one reaches a majority", func(_ random, _ int) func(from, to int) bool {
		return func(from, to int) bool { return from == 0 || to == 0 }
	}},
	{"a ring of majorities", func(_ random, places int) func(from, to int) bool {
		return func(from, to int) bool {
			distance := (from - to + places) % places
			return min(distance, places-distance) <= (places+1)/4
		}
	}},
	{"links cut at random", func(r random, places int) func(from, to int) bool {
		cut := make([]bool, places*places)
		for i := range cut {
			cut[i] = r.IntN(3) == 0
		}
		return func(from, to int) bool { return !cut[from*places+to] }
	}},
}

// fallApart partitions the network in a random way. In half of the cases the
// leader has the first place, which is the one that most shapes treat badly.
func (net *network) fallApart() {
	places := net.random.Perm(len(net.links))
	if leader := net.w.leader(); leader != nil && net.random.IntN(2) == 0 {
		first, l := slices.Index(places, 0), int(leader.id)-1
		places[first], places[l] = places[l], places[first]
	}
	shape := pick(net.random, shapes...)
	connected := shape.connected(net.random, len(places))
	net.w.note(nil, "partition: %s", shape.name)
	net.w.stats.Partitions++
	net.partition(func(from, to int) bool { return connected(places[from], places[to]) })
}

// clog makes one link hold what is sent over it until a later time.
func (net *network) clog() {
	from, to := net.random.IntN(len(net.links)), net.random.IntN(len(net.links))
	if from == to {
		return
	}
	until := net.w.now + net.random.around(net.w.faults.ClogTicks)
	net.links[from][to].cloggedUntil = until
	net.w.note(nil, "link n%d->n%d is clogged until %s", from+1, to+1, until)
}
