package sim

import (
	"slices"

	"balsa/raft"
)

// Action is something that is done to the cluster from outside at a certain time,
// or, if its verb is [Next], a departure from what is usual in it. Which of the
// other fields count, the verb says.
//
// Any subset of the actions of a run is a run. An action that has lost its object,
// because another one is missing, does nothing.
type Action struct {
	At   Time
	Verb Verb
	// Node is where it happens; Peer is the other end of a link, or whom it is about.
	Node, Peer raft.NodeID
	// Length is for how long.
	Length Time
	// Count is how many.
	Count int
	// Client, Key and Padding describe an operation of a client. Client 0 may ask
	// for several things at a time; of any other what it asks for while it waits is
	// ignored.
	Client, Key, Padding int
	// Links are those that a cut leaves cut.
	Links []Link
	// Change is a change of members.
	Change *MemberChange
	// Kind is that of a message: see messageKinds.
	Kind messageKind

	// Point, Skip and Value say of a departure where it is, how many times the
	// place is passed before it at the same time, and what happens there.
	Point point
	Skip  int
	Value int64
}

// Link is one direction between two servers.
type Link struct{ From, To raft.NodeID }

// MemberChange is a [raft.Change] in which servers go by their names.
type MemberChange struct {
	Basis  raft.Index
	Set    []Server
	Remove []raft.NodeID
}

// Server is a server as an operator thinks of it.
type Server struct {
	ID raft.NodeID
	// Disk is the number of the disk that it has, from 1 on, or zero: the one that
	// it has at the time.
	Disk  int
	Votes bool
}

// Verb says what an action does.
type Verb string

// What can be done to a cluster.
const (
	Crash Verb = "crash" // a node, of whose unfinished writes the point "survive" keeps some
	Start Verb = "start" // a node that has crashed
	Pause Verb = "pause" // a process: for Length, and then Count ticks at once
	Wipe  Verb = "wipe"  // a disk; the server crashes
	Full  Verb = "full"  // no room on a disk, for Length

	Forget  Verb = "forget"  // the last Count entries of a log, which were durable
	BackUp  Verb = "back-up" // a server: a copy is made of its directory
	Restore Verb = "restore" // the log of the copy takes the place of the log
	Damage  Verb = "damage"  // the entry of a log that is the Count-th from its end

	RestoreAll Verb = "restore-all" // the copy takes the place of all

	Cut  Verb = "cut"  // Links, and no others
	Heal Verb = "heal" // all links
	Clog Verb = "clog" // a link, which holds for Length what is sent over it

	Compact    Verb = "compact"     // a log: up to Count entries before what is on disk
	CompactAll Verb = "compact-all" // all of a log that may go
	Spare      Verb = "spare"       // a snapshot that nobody wants, from a leader to a server

	Change   Verb = "change"   // the members
	Transfer Verb = "transfer" // leadership, to Peer or anybody
	Hint     Verb = "hint"     // to a node: its connection to Peer is lost

	Write     Verb = "put"        // by a client, at a node
	Read      Verb = "read"       // by a client, at a node
	LeaseRead Verb = "lease-read" // by a client, at a node

	Timeout Verb = "timeout" // a node stands for election, if it would on its own

	// In a world that is moved by hand:
	Ticks   Verb = "tick"     // a clock, Count times
	Deliver Verb = "deliver"  // the oldest message of a kind that waits on a link, after Count others
	Copy    Verb = "copy"     // the same, and keep it
	Lose    Verb = "lose"     // the same message, without delivering it
	LoseAll Verb = "lose-all" // messages that wait
	Written Verb = "written"  // the oldest write of a node is durable

	// Next is a departure.
	Next Verb = "next"
)

// act does something to the cluster and takes note of it. Only what was scheduled
// with plan may do so, because a scenario does it at the same place.
func (w *world) act(a Action) {
	if !w.outside {
		panic("sim: an action from inside the cluster: " + string(a.Verb))
	}
	a.At = w.now
	if w.tape != nil {
		w.tape.actions = append(w.tape.actions, a)
	}
	w.perform(a)
}

// plan schedules something that acts on the cluster, as an outsider: never in the
// middle of something that happens in it.
func (w *world) plan(t Time, do func()) {
	w.schedule(event{at: max(t, w.now+1), do: func() {
		if w.chaos {
			w.outside = true
			do()
			w.outside = false
		}
	}})
}

// perform does what an action says, if it makes sense.
func (w *world) perform(a Action) {
	w.stats.Steps++
	w.recorder.record(traceLine{at: w.now, doing: &a, aside: true})
	if a.Node == raft.None {
		w.performOnNetwork(a)
		return
	}
	n := w.node(a.Node)
	switch a.Verb {
	case Start:
		if !n.up && w.now >= n.diskFullUntil {
			n.start()
		}
	case Wipe:
		w.wipe(n)
	case Forget:
		n.losesEnd(a.Count)
	case BackUp:
		n.backUp()
	case Restore:
		n.restore()
	case RestoreAll:
		n.restoreAll()
	case Damage:
		n.damage(a.Count)
	case Full:
		n.diskFullUntil = w.now + a.Length
	case Clog:
		w.network.clog(a.Node, a.Peer, a.Length)
	case Deliver, Copy, Lose:
		w.network.handle(a)
	default:
		if n.up {
			n.perform(a)
		}
	}
}

func (w *world) performOnNetwork(a Action) {
	switch a.Verb {
	case LoseAll:
		w.network.waiting = nil
	case Heal:
		w.network.heal()
	case Cut:
		w.network.partition(func(from, to raft.NodeID) bool { return !slices.Contains(a.Links, Link{from, to}) })
	}
}

// perform does what makes sense while a server runs.
func (n *node) perform(a Action) {
	w := n.w
	switch a.Verb {
	case Crash:
		n.crash("by an action")
	case Pause:
		n.pause(a.Length, a.Count)
	case Compact:
		n.compact(raft.Index(a.Count))
	case CompactAll:
		n.compactAll()
	case Spare:
		if to := w.node(a.Peer); to != n && n.core.Role() == raft.Leader {
			n.sendSpareSnapshot(to)
		}
	case Change:
		change := w.resolve(a.Change)
		n.receive(w.inChaos(func() { n.changeMembers(change) }))
	case Transfer:
		n.receive(w.inChaos(func() { n.transferLeadership(a.Peer) }))
	case Hint:
		n.receive(func() { n.core.ConnectionLost(a.Peer) })
	case Write, Read, LeaseRead:
		w.asks(n, a)
	case Timeout:
		n.receive(n.timeout)
	case Ticks:
		for range a.Count * count(!w.leasesCount()) {
			n.receive(func() { n.core.Tick() })
		}
	case Written:
		if len(n.disk.unfinished) > 0 && w.byHand {
			n.writeFinished()
		}
	}
}

// timeout lets ticks pass for one server alone until it wants an election. That
// breaks what leases rest on: it does nothing where there are any.
func (n *node) timeout() {
	if n.w.leasesCount() {
		return
	}
	for range 2*n.w.options.Core.ElectionTicks + 1 {
		if before := n.campaigns; n.core.Role() == raft.Follower {
			n.core.Tick()
			if n.campaigns > before {
				return
			}
		}
	}
}

// leasesCount reports whether leases rest on the clocks. Then there must be no ticks
// without the time that belongs to them.
func (w *world) leasesCount() bool { return w.options.Core.LeaseTime > 0 && !w.drifts }

// resolve finds the servers that a change means.
func (w *world) resolve(c *MemberChange) raft.Change {
	change := raft.Change{Basis: c.Basis, Remove: c.Remove}
	for _, s := range c.Set {
		m := w.node(s.ID).member(s.Votes)
		if s.Disk > 0 {
			m.Instance = diskName(s.ID, s.Disk)
		}
		change.Set = append(change.Set, m)
	}
	return change
}

// described is the inverse of resolve.
func (w *world) described(change raft.Change) *MemberChange {
	c := &MemberChange{Basis: change.Basis, Remove: change.Remove}
	for _, m := range change.Set {
		s := Server{ID: m.ID, Votes: m.Votes}
		if !w.node(m.ID).is(m) {
			s.Disk = int(m.Instance[1]) | int(m.Instance[2])<<8
		}
		c.Set = append(c.Set, s)
	}
	return c
}

// diskName is the instance of the disk that a node has as its first, second and so
// on.
func diskName(id raft.NodeID, number int) raft.InstanceID {
	return raft.InstanceID{byte(id), byte(number), byte(number >> 8)}
}
