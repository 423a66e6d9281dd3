package modelcheck

import (
	"fmt"

	"balsa/raft"
)

// Checker explores the worlds of a scope.
//
// What a server does depends on the server and on what happens to it, and on nothing
// else. So the real core is run once for each pair of the two that ever occurs, and
// what came of it is looked up whenever the same happens to the same server in
// another world. There are some thousand times as many worlds as servers.
type Checker struct {
	scope     Scope
	limits    [budgets]int
	renamings []renaming

	servers   table[*server]
	messages  table[message]
	histories table[*history]
	// facts about servers that are asked for often.
	views []view

	steps    map[stepKey]*outcome
	dead     map[deadKey]bool
	overlaps map[[2]string]bool

	host *host // at work, while a core is
	key  []byte

	// trail, if set, is told of each step of a core. Then none is left out, although
	// it might be known what comes of it.
	trail func(choice, *outcome)

	// alike, if set, is told of a server that was made and has the same encoding as
	// one that is known: a test looks whether they really are the same.
	alike func(serverRef, *server)
}

// message is one on the way, with the state that comes with it if it is a snapshot.
type message struct {
	raft.Message
	picture *state
}

func (m message) encode(buf []byte, rename raft.Renaming) []byte {
	buf = m.AppendRenamed(buf, rename)
	if m.picture != nil {
		buf = encodeRecords(buf, m.picture.records, rename)
	}
	return buf
}

// Numbers of servers, messages and histories in the Checker's tables.
type (
	serverRef  uint32
	messageRef uint32
	historyRef uint32
)

// table gives numbers to things that are equal if their keys are, and keeps a hash of
// each under all renamings.
type table[T any] struct {
	refs   map[string]uint32
	things []T
	hashes [][]uint64
}

// find returns the number of the thing with that key, if there is one.
func (t *table[T]) find(key []byte) (ref uint32, known bool) {
	ref, known = t.refs[string(key)]
	return ref, known
}

// add gives a number to a thing that is new.
func (t *table[T]) add(key []byte, thing T, renamings []renaming, encode func(buf []byte, rename raft.Renaming) []byte) uint32 {
	if t.refs == nil {
		t.refs = map[string]uint32{}
	}
	ref := uint32(len(t.things))
	t.refs[string(key)] = ref
	t.things = append(t.things, thing)
	hashes := make([]uint64, len(renamings))
	var buf []byte
	for i, r := range renamings {
		buf = encode(buf[:0], r.of)
		hashes[i] = hashOf(buf)
	}
	t.hashes = append(t.hashes, hashes)
	return ref
}

// view is what is worth knowing about a server without looking at its core.
type view struct {
	id            raft.NodeID
	term, durable raft.Term
	role          raft.Role
	leader        raft.NodeID
	vote          raft.NodeID // durable
	unfinished    bool
	canCompact    bool
	commit        raft.Index
	// entries is how many there are in the stored log, and lost what the server knows
	// that its disk has lost.
	entries int
	lost    raft.EntryID
	// match is, on a leader, what it knows of each server.
	match [maxServers]raft.Index
}

// stepKey is an action of one server.
type stepKey struct {
	server   serverRef
	argument uint32 // a message, the number of a command or read, a peer and a change
	kind     ActionKind
	crash    CrashPoint
}

// outcome is what comes of it.
type outcome struct {
	possible bool
	after    serverRef
	sent     []messageRef
	facts    []fact
	wrong    *Violation
	moves    []move
}

// changes reports whether the outcome is more than nothing.
func (o *outcome) changes(before serverRef) bool {
	return o.after != before || len(o.sent)+len(o.facts) > 0 || o.wrong != nil
}

// deadKey is a message, and the servers to whom and from whom it is.
type deadKey struct {
	message  messageRef
	to, from serverRef
}

// New prepares to explore a scope.
func New(scope Scope) (*Checker, error) {
	if err := scope.validate(); err != nil {
		return nil, err
	}
	c := &Checker{
		scope:    scope,
		limits:   scope.limits(),
		steps:    map[stepKey]*outcome{},
		dead:     map[deadKey]bool{},
		overlaps: map[[2]string]bool{},
	}
	c.renamings = renamings(scope.Voters, scope.Learners, scope.Strangers)
	if scope.Unreduced.Symmetry {
		c.renamings = c.renamings[:1]
	}
	return c, nil
}

// run makes a server do something, once for each different server and action.
func (c *Checker) run(ref serverRef, what choice) *outcome {
	if what.kind == DeliverCopy {
		what.kind = Deliver
	}
	key := stepKey{ref, what.argument, what.kind, what.crash}
	if o, known := c.steps[key]; known && c.trail == nil {
		return o
	}
	o := c.runCore(c.servers.things[ref], what)
	c.steps[key] = o
	if c.trail != nil {
		c.trail(what, o)
	}
	return o
}

// runCore makes a copy of a server do something.
func (c *Checker) runCore(before *server, what choice) *outcome {
	a := c.action(what)
	after := *before
	after.core = before.core.Clone()
	h := &host{checker: c, scope: &c.scope, s: &after, crash: a.Crash, commit: before.core.CommitIndex()}
	if before.core.Role() == raft.Leader {
		h.led = before.core.Term()
	}
	o := &outcome{possible: c.act(h, a)}
	o.moves = h.moves
	if o.wrong = h.wrong; o.wrong == nil && o.possible {
		o.after = c.addServer(&after)
		for _, m := range h.sent {
			o.sent = append(o.sent, c.addMessage(m))
		}
		o.facts = h.facts
	}
	return o
}

// act lets a host do something. A core that panics is wrong about something.
func (c *Checker) act(h *host, a Action) (possible bool) {
	c.host = h
	defer func() {
		c.host = nil
		if p := recover(); p != nil {
			h.violated("Core", "%s: %v", h.s.id, p)
			possible = true
		}
	}()
	if !h.do(a) {
		return false
	}
	h.settle()
	return a.Crash == NoCrash || h.crashed
}

func (c *Checker) addServer(s *server) serverRef {
	c.key = s.encode(c.key[:0], c.renamings[0].of)
	if ref, known := c.servers.find(c.key); known {
		if c.alike != nil {
			c.alike(serverRef(ref), s)
		}
		if c.trail != nil {
			c.servers.things[ref] = s
		}
		return serverRef(ref)
	}
	c.views = append(c.views, viewOf(s))
	return serverRef(c.servers.add(c.key, s, c.renamings, s.encode))
}

func viewOf(s *server) view {
	v := view{
		id: s.id, term: s.core.Term(), durable: s.disk.hardState.CurrentTerm, vote: s.disk.hardState.VotedFor,
		role: s.core.Role(), leader: s.core.Leader(), commit: s.core.CommitIndex(),
		unfinished: len(s.disk.unfinished) > 0,
		canCompact: s.machine.applied.Index > s.disk.log.start.Index && len(s.disk.unfinished) == 0,
	}
	status := s.core.Status()
	v.entries, v.lost = int(s.disk.log.last()-s.disk.log.start.Index), status.Lost
	if v.role == raft.Leader {
		for _, p := range status.Peers {
			v.match[p.ID-1] = p.MatchIndex
		}
	}
	return v
}

func (c *Checker) addMessage(m message) messageRef {
	c.key = m.encode(c.key[:0], c.renamings[0].of)
	if ref, known := c.messages.find(c.key); known {
		return messageRef(ref)
	}
	return messageRef(c.messages.add(c.key, m, c.renamings, m.encode))
}

func (c *Checker) addHistory(y *history) historyRef {
	c.key = y.key(c.key[:0])
	if ref, known := c.histories.find(c.key); known {
		return historyRef(ref)
	}
	return historyRef(c.histories.add(c.key, y, c.renamings, y.encode))
}

// founders returns the servers as they are before anything happens.
func (c *Checker) founders() ([]serverRef, error) {
	entry, err := raft.FoundingEntry(c.scope.founding())
	if err != nil {
		return nil, fmt.Errorf("modelcheck: scope %s: %w", c.scope.Name, err)
	}
	var refs []serverRef
	for i := range c.scope.servers() {
		s := &server{id: raft.NodeID(i + 1)}
		if i < c.scope.Voters+c.scope.Learners {
			s.disk.hardState = raft.FoundingHardState()
			if err := s.disk.log.write(&raft.Write{Entries: []raft.Entry{entry}}, nil); err != nil {
				return nil, err
			}
		}
		h := &host{checker: c, scope: &c.scope, s: s}
		c.host = h
		h.restart()
		h.settle()
		if h.wrong != nil {
			return nil, fmt.Errorf("modelcheck: scope %s: %s", c.scope.Name, h.wrong)
		}
		refs = append(refs, c.addServer(s))
	}
	return refs, nil
}
