package raft

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The files in testdata are scripts: commands to a small cluster and all that
// happens in answer to each. They are tests and lessons at once; run
// "go test ./raft -run Script -rewrite" to write the answers anew, and then read
// the difference.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{t: t, servers: map[NodeID]*scriptServer{}, pictures: map[EntryID]scriptState{}}
		datadriven.RunTest(t, path, s.run)
	})
}

// script is a cluster that does only what it is told.
type script struct {
	t       *testing.T
	out     strings.Builder
	servers map[NodeID]*scriptServer
	network []Message // in flight, oldest first
	nextID  uint64
	// pictures are the states that snapshots in flight carry.
	pictures map[EntryID]scriptState

	maxMessage int // bytes of entries in a message; 0 for the default
}

// scriptServer is a core and what would be its disk.
type scriptServer struct {
	s    *script
	id   NodeID
	core *Core // nil while crashed

	hardState HardState
	witness   EntryID
	start     Snapshot // where the log begins
	entries   []Entry
	slow      bool   // writes wait for the command "write"
	slept     uint64 // ticks that the clock has counted and the core has not
	pending   []scriptWrite

	state   scriptState // of the state machine
	flushed scriptState // what a restart finds of it
}

// scriptState is a state machine that remembers the commands it has applied.
type scriptState struct {
	Snapshot
	applied   []string
	installed bool // exactly as a snapshot brought it
}

type scriptWrite struct {
	write *Write
	after []Message
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	switch d.Cmd {
	case "cluster":
		s.cluster(d)
	case "server":
		s.server(d)
	case "elect":
		s.each(d, s.elect)
	case "timeout":
		s.each(d, (*scriptServer).timeout)
	case "tick":
		n := 1
		d.MaybeScanArgs(t, "n", &n)
		s.each(d, func(v *scriptServer) {
			for range n {
				v.core.Tick()
				v.carryOut()
			}
		})
	case "propose":
		s.each(d, func(v *scriptServer) {
			var commands [][]byte
			for _, c := range strings.Fields(d.Input) {
				commands = append(commands, []byte(c))
			}
			if _, err := v.core.Propose(commands...); err != nil {
				s.print(v.id, err.Error())
			}
			v.carryOut()
		})
	case "read":
		s.each(d, func(v *scriptServer) { s.read(v, v.core.ReadIndex) })
	case "lease-read":
		s.each(d, func(v *scriptServer) { s.read(v, v.core.LeaseRead) })
	case "wake-up": // after a sleep in which neither ticks nor messages were seen
		var after uint64
		d.ScanArgs(t, "after", &after)
		s.each(d, func(v *scriptServer) { v.slept += after })
	case "join":
		s.join(d)
	case "change":
		s.each(d, func(v *scriptServer) { s.change(d, v) })
	case "configuration":
		s.configuration()
	case "transfer":
		var to uint64
		d.MaybeScanArgs(t, "to", &to)
		s.each(d, func(v *scriptServer) {
			if err := v.core.TransferLeadership(NodeID(to)); err != nil {
				s.print(v.id, err.Error())
			}
			v.carryOut()
		})
	case "compact":
		var to uint64
		d.ScanArgs(t, "to", &to)
		s.each(d, func(v *scriptServer) { v.compact(Index(to)) })
	case "snapshot":
		var to uint64
		d.ScanArgs(t, "to", &to)
		s.each(d, func(v *scriptServer) { v.sendSnapshot(NodeID(to)) })
	case "flush":
		s.each(d, func(v *scriptServer) { v.flushed = v.state.clone() })
	case "connection-lost":
		var to uint64
		d.ScanArgs(t, "to", &to)
		s.each(d, func(v *scriptServer) {
			v.core.ConnectionLost(NodeID(to))
			v.carryOut()
		})
	case "deliver":
		s.deliver(d, false)
	case "drop":
		s.deliver(d, true)
	case "stabilize":
		for len(s.network) > 0 {
			s.step(0, false)
		}
	case "messages":
		for _, m := range s.network {
			fmt.Fprintf(&s.out, "%s\n", m)
		}
	case "disk":
		s.each(d, func(v *scriptServer) { v.slow = d.HasArg("slow") })
	case "write":
		s.each(d, func(v *scriptServer) {
			v.complete(len(v.pending))
			v.carryOut()
		})
	case "lose": // while the server is down
		var after uint64
		d.ScanArgs(t, "after", &after)
		s.each(d, func(v *scriptServer) { v.lose(Index(after), d.HasArg("witness")) })
	case "crash":
		s.each(d, func(v *scriptServer) { v.core, v.pending = nil, nil })
	case "restart":
		s.each(d, (*scriptServer).restart)
	case "logs":
		s.logs()
	case "status":
		s.status()
	default:
		t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	}
	for _, v := range s.sorted() {
		if v.core != nil {
			if err := v.core.CheckInvariants(); err != nil {
				t.Fatalf("%s: %v", d.Pos, err)
			}
		}
	}
	return s.out.String()
}

// cluster starts servers 1 to n with the founding entry and nothing else.
func (s *script) cluster(d *datadriven.TestData) {
	var n int
	d.ScanArgs(s.t, "servers", &n)
	d.MaybeScanArgs(s.t, "max-message", &s.maxMessage)
	founding, err := FoundingEntry(testConfiguration(n))
	if err != nil {
		s.t.Fatal(err)
	}
	for id := NodeID(1); id <= NodeID(n); id++ {
		v := &scriptServer{s: s, id: id, hardState: FoundingHardState(), entries: []Entry{founding}}
		s.servers[id] = v
		if !d.HasArg("stopped") {
			v.restart()
		}
	}
}

// server starts a server whose log holds entries of the given terms, the first
// of which is the founding entry.
func (s *script) server(d *datadriven.TestData) {
	var id, term uint64
	var terms []uint64
	d.ScanArgs(s.t, "id", &id)
	d.ScanArgs(s.t, "term", &term)
	d.ScanArgs(s.t, "log", &terms)
	v := s.servers[NodeID(id)]
	v.hardState = HardState{CurrentTerm: Term(term)}
	for i, t := range terms[1:] {
		command := fmt.Sprintf("c%d", i+2)
		v.entries = append(v.entries, NewEntry(EntryID{Term(t), Index(i + 2)}, EntryCommand, []byte(command)))
	}
	v.restart()
}

func testConfiguration(voters int) Configuration {
	var c Configuration
	for id := NodeID(1); id <= NodeID(voters); id++ {
		c.Members = append(c.Members, Member{ID: id, Votes: true})
	}
	return c
}

// each runs f for the servers that a command names, or all.
func (s *script) each(d *datadriven.TestData, f func(*scriptServer)) {
	if len(d.CmdArgs) == 0 || d.CmdArgs[0].Key != "on" {
		s.t.Fatalf("%s: want on=<server> as the first argument", d.Pos)
	}
	for _, value := range d.CmdArgs[0].Vals {
		var id uint64
		if _, err := fmt.Sscan(value, &id); err != nil || s.servers[NodeID(id)] == nil {
			s.t.Fatalf("%s: no server %q", d.Pos, value)
		}
		f(s.servers[NodeID(id)])
	}
}

// deliver hands over, or drops, the messages in flight that match from, to and
// kind, those that were there when the command began; with reverse, the newest
// first.
func (s *script) deliver(d *datadriven.TestData, drop bool) {
	var from, to uint64
	var kind string
	limit := len(s.network)
	d.MaybeScanArgs(s.t, "from", &from)
	d.MaybeScanArgs(s.t, "to", &to)
	d.MaybeScanArgs(s.t, "kind", &kind)
	d.MaybeScanArgs(s.t, "limit", &limit)
	matches := func(m Message) bool {
		return (from == 0 || m.From == NodeID(from)) && (to == 0 || m.To == NodeID(to)) &&
			(kind == "" || strings.HasPrefix(m.Body.String()+" ", kind+" "))
	}
	var now, later []Message
	for _, m := range s.network {
		if matches(m) && len(now) < limit {
			now = append(now, m)
		} else {
			later = append(later, m)
		}
	}
	if d.HasArg("reverse") {
		slices.Reverse(now)
	}
	if d.HasArg("copy") {
		later = append(later, now...)
	}
	s.network = slices.Concat(now, later)
	for range now {
		s.step(0, drop)
	}
}

// step delivers or drops the message at position i.
func (s *script) step(i int, drop bool) {
	m := s.network[i]
	s.network = slices.Delete(s.network, i, i+1)
	v := s.servers[m.To]
	switch {
	case drop:
		fmt.Fprintf(&s.out, "lost: %s\n", m)
	case v == nil || v.core == nil:
		fmt.Fprintf(&s.out, "lost: %s (%s is down)\n", m, m.To)
	default:
		fmt.Fprintf(&s.out, "%s\n", m)
		v.core.Step(m)
		v.carryOut()
	}
}

// print writes a line about one server.
func (s *script) print(id NodeID, line string) { fmt.Fprintf(&s.out, "  %s %s\n", id, line) }

func (s *script) sorted() []*scriptServer {
	var all []*scriptServer
	for _, v := range s.servers {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *scriptServer) int { return int(a.id) - int(b.id) })
	return all
}

func (s *script) logs() {
	for _, v := range s.sorted() {
		fmt.Fprintf(&s.out, "%s:", v.id)
		if v.start.Last.Index > 0 {
			fmt.Fprintf(&s.out, " (%s)", v.start.Last)
		}
		for _, e := range v.entries {
			fmt.Fprintf(&s.out, " %d", e.Term)
		}
		s.out.WriteByte('\n')
	}
}

func (s *script) status() {
	for _, v := range s.sorted() {
		if v.core == nil {
			fmt.Fprintf(&s.out, "%s is down\n", v.id)
			continue
		}
		st := v.core.Status()
		fmt.Fprintf(&s.out, "%s %s term=%d leader=%s last=%d commit=%d applied=%v\n",
			v.id, st.Role, st.CurrentTerm, st.Leader, st.LastIndex, st.CommitIndex, v.state.applied)
	}
}

// restart runs a core on what the server's disk holds. What its state machine
// has not flushed is applied again.
func (v *scriptServer) restart() {
	v.state = v.flushed.clone()
	log := LogState{Witness: v.witness, Start: v.start.Last, Last: v.start.Last.Index + Index(len(v.entries))}
	if v.start.Last.Index > 0 {
		log.Configurations = []IndexedConfiguration{v.start.Configuration}
	}
	for _, e := range v.entries {
		if n := len(log.Spans); n == 0 || log.Spans[n-1].Term != e.Term {
			log.Spans = append(log.Spans, TermSpan{e.Term, e.Index})
		}
		if e.Kind == EntryConfiguration {
			c, err := DecodeConfiguration(e.Data)
			if err != nil {
				v.s.t.Fatal(err)
			}
			log.Configurations = append(log.Configurations, IndexedConfiguration{e.Index, c})
		}
	}
	core, err := New(Config{
		ID: v.id, ElectionTicks: 10, HeartbeatTicks: 3,
		// Each server has a timeout of its own, none the shortest possible, so
		// that a script can let that much time pass without an election.
		Random:          func(n int) int { return int(v.id) % n },
		MaxMessageBytes: v.s.maxMessage,
		MaxPromotionLag: 2,
		LeaseTime:       7,
		Trace:           v.trace,
	}, InitialState{HardState: v.hardState, Log: log, State: v.state.Snapshot, Installed: v.state.installed})
	if err != nil {
		v.s.t.Fatal(err)
	}
	v.core = core
}

// trace prints what the server does. What it receives is printed by step.
func (v *scriptServer) trace(e Event) {
	if e.Kind != EventReceived && e.Kind != EventDurable {
		v.s.print(v.id, e.String())
	}
}

// elect makes a server the leader without telling how, which other scripts do,
// and without commands in flight. Everyone but the old leader must be up.
func (s *script) elect(v *scriptServer) {
	for _, other := range s.sorted() {
		if other != v && other.core != nil {
			for range other.core.cfg.ElectionTicks {
				other.core.Tick() // nobody sticks to an earlier leader
			}
		}
	}
	for attempt := 0; v.core.Role() != Leader; attempt++ {
		if attempt == 5 {
			s.t.Fatalf("%s is not elected:\n%s", v.id, s.out.String())
		}
		v.timeout() // the first attempt may only teach the servers each other's terms
		for len(s.network) > 0 {
			s.step(0, false)
		}
	}
	s.out.Reset()
	fmt.Fprintf(&s.out, "%s leads term %d\n", v.core.Leader(), v.core.Term())
}

// timeout lets time pass on one server until it stands for election.
func (v *scriptServer) timeout() {
	for range 2 * v.core.cfg.ElectionTicks {
		v.core.Tick()
		if v.core.role == PreCandidate || v.core.role == Candidate {
			break
		}
	}
	v.carryOut()
}

// carryOut does what the core wants done, until it wants nothing more.
func (v *scriptServer) carryOut() {
	v.core.SetClock(v.core.now + v.slept)
	for {
		out := v.core.TakeOutput()
		v.s.network = append(v.s.network, out.Send...)
		if out.Write != nil || len(out.SendAfterWrite) > 0 {
			v.pending = append(v.pending, scriptWrite{out.Write, out.SendAfterWrite})
		}
		for _, r := range out.Reads {
			if r.Failed {
				v.s.print(v.id, fmt.Sprintf("read %d failed", r.ID))
			} else {
				v.s.print(v.id, fmt.Sprintf("read %d may be served at index %d", r.ID, r.Index))
			}
		}
		v.apply(out.Apply)
		v.load(out.Load)
		v.install(out.Install)
		idle := out.Write == nil && len(out.Send)+len(out.SendAfterWrite)+len(out.Load) == 0 &&
			out.Apply.First == 0 && out.Install == nil
		if !v.slow {
			idle = idle && len(v.pending) == 0
			v.complete(len(v.pending))
		}
		if idle {
			return
		}
	}
}

func (v *scriptServer) apply(a Apply) {
	if a.First == 0 {
		return
	}
	for i := a.First; i <= a.Last; i++ {
		e := v.entry(i)
		v.state.Last, v.state.installed = e.ID(), false
		switch e.Kind {
		case EntryCommand:
			v.state.applied = append(v.state.applied, string(e.Data))
		case EntryConfiguration:
			c, err := DecodeConfiguration(e.Data)
			if err != nil {
				v.s.t.Fatal(err)
			}
			v.state.Configuration = IndexedConfiguration{i, c}
		}
	}
	v.core.Applied(a.Last)
}

func (v *scriptServer) load(loads []Load) {
	for _, l := range loads {
		n := min(Index(1+l.MaxBytes/100), l.Last+1-l.First)
		first := l.First - v.start.Last.Index - 1
		v.core.Loaded(l.To, slices.Clone(v.entries[first:first+n]))
	}
}

// complete makes the first n pending writes durable and releases what waited.
func (v *scriptServer) complete(n int) {
	done := v.pending[:n]
	v.pending = v.pending[n:]
	for _, p := range done {
		if w := p.write; w != nil {
			v.hardState, v.witness = w.HardState, w.Witness
			if w.Reset != nil {
				v.start, v.entries = *w.Reset, nil
			}
			if w.TruncateFrom != 0 {
				v.entries = v.entries[:w.TruncateFrom-v.start.Last.Index-1]
			}
			v.entries = append(slices.Clip(v.entries), w.Entries...)
			v.core.Written(w.ID)
		}
		for _, m := range p.after {
			if m.To == v.id {
				v.core.Step(m)
			} else {
				v.s.network = append(v.s.network, m)
			}
		}
	}
}
