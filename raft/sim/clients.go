package sim

import (
	"maps"
	"slices"

	"balsa/raft"
)

// client asks for one thing after another: it sets a key or reads one, at
// whichever node it chooses, waits for the answer, and gives up after a while.
type client struct {
	w      *world
	number int
	// waitingFor is the operation under way, or nil.
	waitingFor *request
}

// request is an operation under way.
type request struct {
	client *client
	// place is where the operation stands in the history.
	place int
	open  bool
}

// proposal is a request to set a key, at a node.
type proposal struct {
	request *request
	command []byte
	// id is the entry that the node appended for it.
	id raft.EntryID
}

// read is a request to read a key, at a node.
type read struct {
	request *request
	key     int
	// byLease says that the leader's lease is good enough.
	byLease bool
	// floor is the highest index that any server had committed when the read was
	// asked for: it must see all that was committed, and thus all that was
	// acknowledged, up to there.
	floor raft.Index
	// asLeader says that the node led when it was asked, so that it need not ask
	// another.
	asLeader bool
	// index is where the state machine has to be before the read is served.
	index raft.Index
}

// thinks makes a client pause before it asks again. Client 0, the simulation, asks
// when it wants to.
func (c *client) thinks() {
	if c.number == 0 || !c.w.isRandom() {
		return
	}
	c.w.plan(c.w.now+c.w.clientRandom.around(c.w.options.Workload.ThinkTicks), c.ask)
}

func (c *client) ask() {
	w := c.w
	ask, likesLeaders := Action{Verb: Write, Client: c.number}, 0.9
	if w.clientRandom.chance(w.options.Workload.Reads) {
		ask.Verb, likesLeaders = Read, 0.3
		if w.clientRandom.chance(w.options.Workload.LeaseReads) {
			ask.Verb, likesLeaders = LeaseRead, 0.7 // whoever still believes it leads
		}
	}
	n := pick(w.clientRandom, w.members()...)
	if leaders := w.leaders(); len(leaders) > 0 && w.clientRandom.chance(likesLeaders) {
		n = pick(w.clientRandom, leaders...)
	}
	if !n.up {
		c.thinks()
		return
	}
	ask.Node, ask.Key = n.id, w.clientRandom.IntN(w.options.Workload.Keys)
	if ask.Verb == Write {
		ask.Padding = w.clientRandom.IntN(w.options.Workload.MaxPadding + 1)
	}
	w.act(ask)
}

// asks lets a client ask a node for something. Client 0 is nobody in particular.
func (w *world) asks(n *node, a Action) {
	c := &client{w: w}
	if a.Client > 0 {
		if c = w.clients[a.Client-1]; c.waitingFor != nil {
			return
		}
	}
	var r *request
	if a.Verb == Write {
		r = w.put(n, c, a.Key, a.Padding)
	} else {
		r = w.get(n, c, a.Key, a.Verb == LeaseRead)
	}
	if a.Client > 0 {
		w.at(w.now+ticks(4*w.options.Core.ElectionTicks), func() { w.close(r, Unknown) })
	}
}

// put asks a node to set a key to a value that nobody has written yet.
func (w *world) put(n *node, c *client, key, padding int) *request {
	w.operations++
	request := w.request(n, c, Put, keyName(key), valueName(w.operations))
	n.put(input{proposal: &proposal{request: request, command: encodeCommand(key, w.operations, padding)}})
	return request
}

// get asks a node for the value of a key.
func (w *world) get(n *node, c *client, key int, byLease bool) *request {
	w.operations++
	request := w.request(n, c, Get, keyName(key), "")
	id := w.operations
	n.receive(func() {
		n.asked[id] = &read{
			request: request, key: key, byLease: byLease,
			floor: w.oracle.committed(), asLeader: n.core.Role() == raft.Leader,
		}
		w.oracle.askedRead(n, id, byLease)
		if byLease {
			n.core.LeaseRead(id)
		} else {
			n.core.ReadIndex(id)
		}
	})
	return request
}

func (w *world) request(n *node, c *client, kind OperationKind, key, value string) *request {
	w.history = append(w.history, Operation{
		Client: c.number, Kind: kind, Node: int(n.id), Key: key, Value: value, Call: w.now, Return: Never,
	})
	c.waitingFor = &request{client: c, place: len(w.history) - 1, open: true}
	return c.waitingFor
}

// close ends an operation, if the client still waits for it. Reads have no
// effect, so the outcome of one that was not answered is no secret.
func (w *world) close(r *request, outcome Outcome) {
	if !r.open {
		return
	}
	r.open = false
	op := &w.history[r.place]
	if op.Kind == Get && outcome == Unknown {
		outcome = Failed
	}
	op.Outcome = outcome
	if outcome != Unknown {
		op.Return = w.now
	}
	w.stats.Operations[op.Kind][outcome]++
	if c := r.client; c.waitingFor == r {
		c.waitingFor = nil
		c.thinks()
	}
}

// propose hands the proposals at the front of the inbox to the core, and returns
// what comes after them.
func (n *node) propose(inbox []input) []input {
	count := 0
	var commands [][]byte
	for ; count < len(inbox) && inbox[count].proposal != nil; count++ {
		commands = append(commands, inbox[count].proposal.command)
	}
	first, err := n.core.Propose(commands...)
	for i, in := range inbox[:count] {
		p := in.proposal
		if err != nil {
			n.w.close(p.request, Failed)
			continue
		}
		p.id = raft.EntryID{Term: first.Term, Index: first.Index + raft.Index(i)}
		n.proposed[p.id.Index] = append(n.proposed[p.id.Index], p)
	}
	return inbox[count:]
}

// resolve answers the proposals that waited for the entry which is now applied,
// and the reads that waited for the state machine to be there. Whose entry it
// was, the term says: another leader may have put its own at the same index.
func (n *node) resolve(e raft.Entry) {
	for _, p := range n.proposed[e.Index] {
		if p.id == e.ID() {
			n.w.close(p.request, Done)
		} else {
			n.w.close(p.request, Failed)
		}
	}
	delete(n.proposed, e.Index)
	n.serveReads()
}

// covered gives up on the proposals whose entries are part of a snapshot: whether
// it was they that took effect cannot be told any more.
func (n *node) covered(last raft.Index) {
	for _, i := range slices.Sorted(maps.Keys(n.proposed)) {
		if i > last {
			break
		}
		for _, p := range n.proposed[i] {
			n.w.close(p.request, Unknown)
		}
		delete(n.proposed, i)
	}
	n.serveReads()
}

// answered takes the core's answers to reads.
func (n *node) answered(results []raft.ReadResult) {
	for _, result := range results {
		r := n.asked[result.ID]
		n.w.oracle.readAnswered(n, result, r)
		if r == nil {
			continue
		}
		delete(n.asked, result.ID)
		if result.Failed {
			n.w.close(r.request, Failed)
			continue
		}
		r.index = result.Index
		n.confirmed = append(n.confirmed, r)
	}
	n.serveReads()
}

// serveReads answers the confirmed reads for which the state machine is far
// enough.
func (n *node) serveReads() {
	waiting := n.confirmed[:0]
	for _, r := range n.confirmed {
		if r.index > n.machine.applied.Index {
			waiting = append(waiting, r)
			continue
		}
		if r.request.open {
			n.w.history[r.request.place].Value = valueName(n.machine.values[r.key])
			n.w.close(r.request, Done)
		}
	}
	n.confirmed = waiting
}

// hangUp tells the clients of a node that it has crashed.
func (w *world) hangUp(n *node) {
	for _, c := range w.clients {
		if r := c.waitingFor; r != nil && w.history[r.place].Node == int(n.id) {
			w.close(r, Unknown)
		}
	}
}
