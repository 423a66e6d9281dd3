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

func (net *network) link(from, to *node) *link { return &net.links[from.id-1][to.id-1] }

// send takes a message from a node.
func (net *network) send(from *node, m raft.Message) {
	to, instance := net.w.node(m.To), from.instance
	m = net.encoded(m)
	extra := Time(0)
	if _, order := m.Body.(*raft.TimeoutNow); order && net.random.IntN(3) == 0 {
		extra = net.random.between(0, ticks(net.w.faults.OrderTicks))
	}
	net.delayed(from, to, extra, func() { to.receive(func() { to.step(m, instance) }) })
}

// carry takes anything else from a node to another one.
func (net *network) carry(from, to *node, arrives func()) { net.delayed(from, to, 0, arrives) }

// delayed lets something arrive once, twice or never. It only reaches the server
// that it was sent to: if that has lost its disk by then, there is another one in
// its place.
func (net *network) delayed(from, to *node, extra Time, arrives func()) {
	w, instance := net.w, to.instance
	w.stats.Messages++
	if !net.connects(from, to) {
		w.stats.Members.MessagesRefused++
		return
	}
	if net.link(from, to).cut || net.random.chance(w.faults.Loss) {
		w.stats.Lost++
		return
	}
	deliver := func() {
		if !to.up || to.instance != instance {
			w.stats.Lost++
			return
		}
		arrives()
	}
	delay := net.delay(from, to) + extra
	w.at(w.now+delay, deliver)
	if net.random.chance(w.faults.Duplicate) {
		w.stats.Duplicated++
		w.at(w.now+delay+net.random.between(0, ticks(w.faults.DuplicateTicks)), deliver)
	}
}

// connects reports whether two servers talk to each other: when their processes
// meet, each says who it is, and each refuses one that it knows to be removed.
func (net *network) connects(from, to *node) bool {
	return from.admits(to) && (!to.up || to.admits(from))
}

func (n *node) admits(peer *node) bool {
	latest := n.core.Configuration()
	_, member := latest.Configuration.Member(peer.id)
	return member || latest.Index > n.core.CommitIndex() || !latest.Configuration.WasRemoved(peer.id, peer.instance)
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

func (net *network) delay(from, to *node) Time {
	w := net.w
	delay := net.random.between(shortestDelay, max(w.faults.MaxDelay, shortestDelay))
	if net.random.chance(w.faults.Late) {
		w.stats.Late++
		delay += net.random.between(0, ticks(w.faults.LateTicks))
	}
	if clogged := net.link(from, to).cloggedUntil - w.now; clogged > 0 {
		w.stats.Clogged++
		delay += clogged
	}
	return delay
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

// fallApart partitions the network in a random way. The shape is that of the
// voters; each other server goes along with one of them. In half of the cases the
// leader has the first place, which is the one that most shapes treat badly.
func (net *network) fallApart() {
	voters := net.w.voters()
	places := make([]int, len(net.links))
	for i := range places {
		places[i] = net.random.IntN(len(voters))
	}
	for place, i := range net.random.Perm(len(voters)) {
		places[voters[i].id-1] = place
	}
	if leader := net.w.leader(); leader != nil && net.random.IntN(2) == 0 {
		first, l := slices.Index(places, 0), int(leader.id)-1
		places[first], places[l] = places[l], places[first]
	}
	shape := pick(net.random, shapes...)
	connected := shape.connected(net.random, len(voters))
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
