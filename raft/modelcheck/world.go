package modelcheck

import (
	"slices"

	"balsa/raft"
)

// Limits that keep a world small enough to be written down in a few words.
const (
	maxServers = 5
	maxBudget  = 15
)

// Budgets: what may happen only so often.
const (
	commands = iota
	reads
	heartbeats
	duplicates
	crashes
	compactions
	changes
	transfers
	losses
	budgets
)

// world is all there is at one moment: servers, messages on the way, what has
// happened, and how much has. A message that is on the way may arrive at any time, or
// never. So loss and delay need no action of their own, and as the messages are in no
// order, neither does reordering.
type world struct {
	servers [maxServers]serverRef
	history historyRef
	used    [budgets]uint8
	net     []messageRef // ascending
}

// pack appends the world to a list of words, and unpack reads it from there.
func (w *world) pack(words []uint32, servers int) []uint32 {
	for _, s := range w.servers[:servers] {
		words = append(words, uint32(s))
	}
	used := w.usedUp()
	words = append(words, uint32(w.history), uint32(used>>32), uint32(used), uint32(len(w.net)))
	for _, m := range w.net {
		words = append(words, uint32(m))
	}
	return words
}

// unpack reads a world and returns what follows it.
func (w *world) unpack(words []uint32, servers int) []uint32 {
	for i := range servers {
		w.servers[i] = serverRef(words[i])
	}
	words = words[servers:]
	w.history = historyRef(words[0])
	used := uint64(words[1])<<32 | uint64(words[2])
	for i := range w.used {
		w.used[i] = uint8(used>>(4*i)) & maxBudget
	}
	n := int(words[3])
	words = words[4:]
	w.net = w.net[:0]
	for _, m := range words[:n] {
		w.net = append(w.net, messageRef(m))
	}
	return words[n:]
}

// usedUp is what has been used of each budget, in one number.
func (w *world) usedUp() uint64 {
	used := uint64(0)
	for i, n := range w.used {
		used |= uint64(n) << (4 * i)
	}
	return used
}

// fingerprint names the world, up to the names of interchangeable servers: it is the
// least of the hashes under all renamings. Each part of the world says in its own hash
// whose it is, so they can be added up in any order.
func (c *Checker) fingerprint(w *world) uint64 {
	used := w.usedUp()
	least := ^uint64(0)
	for r := range c.renamings {
		sum := mix(c.histories.hashes[w.history][r], 1)
		for _, s := range w.servers[:c.scope.servers()] {
			sum += mix(c.servers.hashes[s][r], 2)
		}
		for _, m := range w.net {
			sum += mix(c.messages.hashes[m][r], 3)
		}
		least = min(least, mix(sum, used))
	}
	return least
}

// choice is an action that is possible in a world, in short.
type choice struct {
	kind     ActionKind
	server   uint8 // its index
	crash    CrashPoint
	argument uint32
}

// choices lists what may happen next, always in the same order.
func (c *Checker) choices(w *world, list []choice) []choice {
	list = list[:0]
	left := func(budget int) bool { return int(w.used[budget]) < c.limits[budget] }
	add := func(kind ActionKind, server int, argument uint32) {
		list = append(list, choice{kind: kind, server: uint8(server), argument: argument})
		if !left(crashes) || kind == Crash || kind == Lose {
			return
		}
		// With a slow disk, a crash before the write is done is a crash after the action.
		if c.scope.Writes == 0 {
			list = append(list, choice{kind, uint8(server), CrashBeforeWrite, argument})
		}
		if c.scope.Writes == 0 || kind == FinishWrite {
			list = append(list, choice{kind, uint8(server), CrashAfterWrite, argument})
		}
	}
	for i, ref := range w.servers[:c.scope.servers()] {
		v := &c.views[ref]
		leads := v.role == raft.Leader
		if !leads && v.term < c.scope.maxTerm() {
			add(Timeout, i, 0)
		}
		if leads && c.scope.StepsDown {
			add(StepDown, i, 0)
		}
		if leads && left(heartbeats) {
			add(Heartbeat, i, 0)
		}
		if leads && left(commands) {
			add(Propose, i, uint32(w.used[commands])+1)
		}
		if v.leader != raft.None && left(reads) {
			add(ReadIndex, i, uint32(w.used[reads])+1)
		}
		if leads && left(changes) {
			for k := range c.scope.Changes {
				for peer := range c.scope.servers() {
					add(ChangeMembers, i, uint32(k)<<8|uint32(peer+1))
				}
			}
		}
		if leads && left(transfers) {
			for peer := range c.scope.servers() {
				if peer != i {
					add(Transfer, i, uint32(peer+1))
				}
			}
		}
		if v.canCompact && left(compactions) {
			add(Compact, i, 0)
		}
		if v.unfinished {
			add(FinishWrite, i, 0)
		}
		if left(crashes) {
			add(Crash, i, 0)
		}
		if left(losses) {
			for n := range v.entries {
				add(Lose, i, uint32(n)+1)
			}
		}
	}
	for _, m := range w.net {
		to := int(c.messages.things[m].To) - 1
		add(Deliver, to, uint32(m))
		if left(duplicates) {
			list = append(list, choice{kind: DeliverCopy, server: uint8(to), argument: uint32(m)})
		}
	}
	return list
}

// budget is what an action uses up, or -1.
func (k ActionKind) budget() int {
	switch k {
	case DeliverCopy:
		return duplicates
	case Heartbeat:
		return heartbeats
	case Propose:
		return commands
	case ReadIndex:
		return reads
	case ChangeMembers:
		return changes
	case Transfer:
		return transfers
	case Compact:
		return compactions
	case Crash:
		return crashes
	case Lose:
		return losses
	}
	return -1
}

// action says in full what a choice is.
func (c *Checker) action(o choice) Action {
	a := Action{Kind: o.kind, Server: raft.NodeID(o.server) + 1, Crash: o.crash}
	switch o.kind {
	case Deliver, DeliverCopy:
		m := c.messages.things[o.argument]
		a.Message, a.picture = m.Message, m.picture
	case Propose, ReadIndex, Lose:
		a.Argument = int(o.argument)
	case ChangeMembers:
		a.Change, a.Peer = c.scope.Changes[o.argument>>8], raft.NodeID(o.argument&0xff)
	case Transfer:
		a.Peer = raft.NodeID(o.argument)
	}
	return a
}

// insert adds a message to those on the way. Two that are equal are one: the second
// would be a repetition.
func (w *world) insert(m messageRef) bool {
	i, found := slices.BinarySearch(w.net, m)
	if !found {
		w.net = slices.Insert(w.net, i, m)
	}
	return !found
}

func (w *world) remove(m messageRef) {
	if i, found := slices.BinarySearch(w.net, m); found {
		w.net = slices.Delete(w.net, i, i+1)
	}
}
