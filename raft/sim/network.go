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
	// sent counts messages.
	sent int
	// waiting are the messages that somebody has to deliver by hand.
	waiting []waitingMessage
}

type waitingMessage struct {
	kind     messageKind
	from, to *node
	deliver  func()
}

type link struct {
	// cut means that nothing gets through.
	cut bool
	// loss and slowness are what this link adds to the faults of all: how likely it
	// is to lose a message, and how much longer one takes.
	loss     float64
	slowness Time
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
	net.carry(from, to, kindOf(m), func() { to.receive(func() { to.step(m, instance) }) })
}

// carry lets something arrive once, twice or never. It only reaches the server
// that it was sent to: if that has lost its disk by then, there is another one in
// its place.
func (net *network) carry(from, to *node, kind messageKind, arrives func()) {
	w, instance := net.w, to.instance
	w.stats.Messages++
	if !net.connects(from, to) {
		w.stats.Members.MessagesRefused++
		return
	}
	link := net.link(from, to)
	at := func(p point) place { return place{p, kind, from.id, to.id} }
	if link.cut || w.flag(at(pointLost), func() bool { return net.random.chance(max(w.faults.Loss, link.loss)) }) {
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
	if w.byHand {
		net.waiting = append(net.waiting, waitingMessage{kind, from, to, deliver})
		return
	}
	delay := Time(w.decide(at(pointDelay), int64(Tick/4), func() int64 { return int64(net.delay(link, kind)) }))
	if clogged := link.cloggedUntil - w.now; clogged > 0 {
		w.stats.Clogged++
		delay += clogged
	}
	w.at(w.now+delay, deliver)
	again := Time(w.decide(at(pointAgain), 0, func() int64 {
		if !net.random.chance(w.faults.Duplicate) {
			return 0
		}
		return int64(net.random.between(1, ticks(w.faults.DuplicateTicks)))
	}))
	if again > 0 {
		w.stats.Duplicated++
		w.at(w.now+delay+again, deliver)
	}
}

// handle does something by hand with a message of a kind that waits on a link, the
// oldest one unless some are to be passed over.
func (net *network) handle(a Action) {
	older := 0
	i := slices.IndexFunc(net.waiting, func(m waitingMessage) bool {
		if m.kind != a.Kind || m.from.id != a.Node || m.to.id != a.Peer {
			return false
		}
		older++
		return older > a.Count
	})
	if i < 0 {
		return
	}
	m := net.waiting[i]
	if a.Verb != Copy {
		net.waiting = slices.Delete(net.waiting, i, i+1)
	}
	if a.Verb == Lose {
		net.w.stats.Lost++
		return
	}
	m.deliver()
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
	net.sent++
	if net.sent%16 != 0 {
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

// delay is how long a message takes where nothing holds it back.
func (net *network) delay(l *link, kind messageKind) Time {
	w := net.w
	delay := l.slowness + net.random.between(shortestDelay, max(w.faults.MaxDelay, shortestDelay))
	if kind == messageTimeoutNow && net.random.IntN(3) == 0 {
		delay += net.random.between(0, ticks(w.faults.OrderTicks))
	}
	if net.random.chance(w.faults.Late) {
		w.stats.Late++
		delay += net.random.between(0, ticks(w.faults.LateTicks))
	}
	return delay
}

// heal repairs every link. What a clogged link holds still comes late.
func (net *network) heal() {
	net.w.note(nil, "the network is whole")
	for _, links := range net.links {
		for i := range links {
			links[i].cut, links[i].cloggedUntil = false, 0
		}
	}
}

// renew repairs every link for good.
func (net *network) renew() {
	for _, links := range net.links {
		clear(links)
	}
}

// partition cuts links so that those for which connected returns true remain.
func (net *network) partition(connected func(from, to raft.NodeID) bool) {
	for _, from := range net.w.nodes {
		for _, to := range net.w.nodes {
			link := net.link(from, to)
			link.cut = from != to && !connected(from.id, to.id)
			if link.cut {
				net.w.trueHint(to, from)
			}
		}
	}
}

// cut makes an action of a partition.
func (net *network) cut(connected func(from, to raft.NodeID) bool) {
	cut := Action{Verb: Cut}
	for _, from := range net.w.nodes {
		for _, to := range net.w.nodes {
			if from != to && !connected(from.id, to.id) {
				cut.Links = append(cut.Links, Link{from.id, to.id})
			}
		}
	}
	net.w.act(cut)
}

// isolate cuts a node off.
func (net *network) isolate(n *node) {
	net.w.aside(n, "is cut off")
	net.cut(func(from, to raft.NodeID) bool { return from != n.id && to != n.id })
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
	net.w.aside(nil, "partition: %s", shape.name)
	net.w.stats.Partitions++
	net.cut(func(from, to raft.NodeID) bool { return connected(places[from-1], places[to-1]) })
}

// clogSome picks a link to clog.
func (net *network) clogSome() {
	from, to := pick(net.random, net.w.nodes...), pick(net.random, net.w.nodes...)
	if from != to {
		net.w.act(Action{Verb: Clog, Node: from.id, Peer: to.id, Length: net.random.around(net.w.faults.ClogTicks)})
	}
}

// clog makes one link hold what is sent over it for a while.
func (net *network) clog(from, to raft.NodeID, length Time) {
	until := net.w.now + length
	net.link(net.w.node(from), net.w.node(to)).cloggedUntil = until
	net.w.note(nil, "link %s->%s is clogged until %s", from, to, until)
}

// wear gives every link a quality of its own: some are good, some lose or delay more
// than others, and not the same in both directions.
func (net *network) wear() {
	f := net.w.faults
	for _, links := range net.links {
		for i := range links {
			switch net.random.IntN(4) {
			case 0:
				links[i].loss = net.random.Float64() * f.LinkLoss
			case 1:
				links[i].slowness = net.random.between(0, f.LinkDelay)
			case 2:
				links[i].loss, links[i].slowness = net.random.Float64()*f.LinkLoss, net.random.between(0, f.LinkDelay)
			}
		}
	}
}
