package modelcheck

import (
	"fmt"

	"balsa/raft"
)

// host does for a core what a host owes it: see raft.Output. Its state machine and
// its timers are at the command of the explorer; nothing in it is random.
type host struct {
	checker *Checker
	scope   *Scope
	s       *server // the one that is being made
	crash   CrashPoint

	sent  []message
	facts []fact
	// crashed says that the crash point was reached.
	crashed bool
	wrong   *Violation

	// How it began, and what has become of it: the term that the server leads, or
	// zero; its commitIndex; how often it stood for election.
	led       raft.Term
	commit    raft.Index
	campaigns int

	// moves is what a hand would have to do that moved the server: see scenario.go.
	moves []move
}

// CrashPoint says where in an action the server crashes.
type CrashPoint uint8

// What has happened by the time of the crash, of what the first write belongs to.
const (
	NoCrash CrashPoint = iota
	// CrashBeforeWrite: the messages that need not wait for the disk have left.
	CrashBeforeWrite
	// CrashAfterWrite: so much, and the disk is done, and nobody knows.
	CrashAfterWrite
)

func (c CrashPoint) String() string {
	return [...]string{"", "crashes before it is written", "crashes right after it is written"}[c]
}

// Times, in ticks. A heartbeat is one tick. An election timeout is longer than all
// heartbeats of a scope together, so that no time limit of a leader is reached by
// heartbeats alone: it steps down when the explorer says so.
const (
	heartbeatTicks = 1
	electionTicks  = 2 * maxBudget
)

// configuration is that of each core. The random part of an election timeout is one
// tick: so there is a time at which a server does not hold on to its leader any more
// and has not yet stood up itself, and it is the same for all.
func (c *Checker) coreConfig(id raft.NodeID) raft.Config {
	return raft.Config{
		ID: id, ElectionTicks: electionTicks, HeartbeatTicks: heartbeatTicks,
		Random: func(n int) int {
			c.host.moves = append(c.host.moves, move{kind: moveDraw})
			return min(1, n-1)
		},
		MaxMessageBytes:   1, // one entry in a message
		MaxWindowMessages: c.scope.Window,
		Trace:             func(e raft.Event) { c.host.saw(e) },
	}
}

func (h *host) violated(rule, format string, args ...any) {
	if h.wrong == nil {
		h.wrong = &Violation{Rule: rule, What: fmt.Sprintf(format, args...)}
	}
}

// settle carries out what the core wants until it wants nothing more.
func (h *host) settle() {
	for h.wrong == nil {
		if h.crashed && h.crash != NoCrash {
			h.moves = append(h.moves, move{kind: moveCrash})
			h.crash = NoCrash // one is enough
			h.restart()
			continue
		}
		out := h.s.core.TakeOutput()
		if isEmpty(out) {
			break
		}
		h.carryOut(out)
	}
	h.logIsKnown()
	if err := h.s.core.CheckInvariants(); err != nil {
		h.violated("Core", "%v", err)
	}
}

func isEmpty(out raft.Output) bool {
	return out.Write == nil && len(out.Send)+len(out.SendAfterWrite)+len(out.Reads)+len(out.Load)+len(out.SendSnapshot) == 0 &&
		out.Apply.First == 0 && out.Install == nil
}

func (h *host) carryOut(out raft.Output) {
	if out.Write != nil {
		h.tookWrite(out.Write)
	}
	h.logIsKnown()
	for _, m := range out.Send {
		h.send(m)
	}
	h.write(out.Write, out.SendAfterWrite)
	if h.stopped() {
		return
	}
	for _, r := range out.Reads {
		h.facts = append(h.facts, fact{kind: factAnswered, read: r})
	}
	for _, load := range out.Load {
		h.s.core.Loaded(load.To, h.s.disk.log.read(load.First, load.Last, load.MaxBytes))
	}
	if out.Apply.First != 0 {
		h.apply(out.Apply)
	}
	for _, to := range out.SendSnapshot {
		h.sendSnapshot(to)
	}
	if out.Install != nil {
		h.install(*out.Install)
	}
}

// write begins a write, and holds messages back until it and all before it are done.
func (h *host) write(w *raft.Write, release []raft.Message) {
	d := &h.s.disk
	if w == nil {
		if n := len(d.unfinished); n > 0 && len(release) > 0 {
			unfinished := append([]pendingWrite(nil), d.unfinished...)
			last := &unfinished[n-1]
			last.release = append(append([]raft.Message(nil), last.release...), release...)
			d.unfinished = unfinished
			return
		}
		h.release(release)
		return
	}
	if h.crash == CrashBeforeWrite {
		h.crashed = true
		return
	}
	d.unfinished = append(d.unfinished[:len(d.unfinished):len(d.unfinished)], pendingWrite{w, release})
	for len(d.unfinished) > h.scope.Writes && !h.stopped() {
		h.finishWrite()
	}
}

// finishWrite makes the oldest write durable, tells the core, and lets its messages
// leave.
func (h *host) finishWrite() {
	d := &h.s.disk
	done := d.unfinished[0]
	d.unfinished = d.unfinished[1:]
	h.moves = append(h.moves, move{kind: moveWritten})
	h.becomesDurable(done.write)
	d.hardState, d.witness = done.write.HardState, done.write.Witness
	if err := d.log.write(done.write, &h.s.machine.state); err != nil {
		h.violated("Storage", "%s: the write %s %v", h.s.id, done.write, err)
	}
	if h.crash == CrashAfterWrite {
		h.crashed = true
		return
	}
	h.s.core.Written(done.write.ID)
	h.release(done.release)
}

func (h *host) release(messages []raft.Message) {
	for _, m := range messages {
		if h.stopped() {
			return
		}
		h.send(m)
	}
}

// stopped reports whether the process is gone that began this action.
func (h *host) stopped() bool { return h.crashed && h.crash != NoCrash }

// send puts a message on the network, unless this is a scope in which it is lost. A
// message of a server to itself arrives at once.
func (h *host) send(m raft.Message) {
	h.says(m)
	if m.To == h.s.id {
		h.s.core.Step(m)
		return
	}
	lost := false
	switch body := m.Body.(type) {
	case *raft.RequestVoteReply:
		lost = !body.Granted && !h.scope.Refusals
	case *raft.AppendEntriesReply:
		lost = *body == (raft.AppendEntriesReply{}) && !h.scope.StaleAnswers
	case *raft.AppendEntries:
		if !h.scope.roundsMatter() {
			// Rounds decide nothing here, so all are one. (It is as if the message
			// had been sent in an earlier round.)
			same := *body
			same.Round = 1
			m.Body = &same
		}
	}
	h.moves = append(h.moves, move{kind: moveSent, message: m})
	if !lost {
		h.sent = append(h.sent, message{Message: m})
	}
}

// apply applies committed entries, and tells the core at once.
func (h *host) apply(a raft.Apply) {
	h.handedToApply(a)
	h.moves = append(h.moves, move{kind: moveApplied})
	for i := a.First; i <= a.Last && h.wrong == nil; i++ {
		h.s.machine.apply(h.s.disk.log.at(i))
	}
	h.facts = append(h.facts, fact{kind: factApplied, index: a.Last, chain: h.s.machine.chain()})
	h.s.core.Applied(a.Last)
}

// compact writes the state of the state machine to the disk and cuts the log there.
func (h *host) compact() {
	h.s.machine.flushed = h.s.machine.state
	to := h.s.core.Compact(h.s.machine.applied.Index)
	h.s.log.compact(to)
	h.s.disk.log.compact(to)
	h.facts = append(h.facts, fact{kind: factCompacted, index: to.Index, term: to.Term, chain: h.s.machine.chain()})
}

// sendSnapshot sends a copy of the state machine. It arrives as a whole or not at all.
func (h *host) sendSnapshot(to raft.NodeID) {
	m := &h.s.machine
	h.facts = append(h.facts, fact{kind: factSnapshot, index: m.applied.Index, term: m.applied.Term, chain: m.chain()})
	picture := m.state
	h.sent = append(h.sent, message{
		Message: raft.Message{From: h.s.id, To: to, Term: h.s.core.Term(), Body: &raft.InstallSnapshot{Snapshot: m.snapshot()}},
		picture: &picture,
	})
	h.s.core.SnapshotSent(to)
}

// install replaces the state machine by the one that has arrived.
func (h *host) install(s raft.Snapshot) {
	m, arrived := &h.s.machine, h.s.receiving
	switch {
	case arrived == nil || arrived.applied != s.Last:
		h.violated("Snapshots", "%s is to install %s, which has not arrived", h.s.id, s)
		return
	case s.Last.Index <= m.applied.Index:
		h.violated("Snapshots", "%s is to install %s, it has applied %s", h.s.id, s, m.applied)
	}
	m.state = *arrived
	m.installed = true
	m.flushed = m.state
	h.s.core.Installed()
}

// lose crashes the server, and its disk forgets the last entries that it held. The
// witness is in another place, and says so.
func (h *host) lose(entries int) {
	log := &h.s.disk.log
	log.truncate(log.last() - raft.Index(entries))
	h.restart()
}

// restart brings the server back with what its disk holds.
func (h *host) restart() {
	s := h.s
	s.machine.state = s.machine.flushed
	s.disk.unfinished, s.receiving = nil, nil
	s.log = *s.durable()
	stored := s.disk.log.state()
	stored.Witness = s.disk.witness
	core, err := raft.New(h.checker.coreConfig(s.id), raft.InitialState{
		HardState: s.disk.hardState, Log: stored,
		State: s.machine.snapshot(), Installed: s.machine.installed,
	})
	if err != nil {
		h.violated("Restart", "%s cannot start: %v", s.id, err)
		return
	}
	s.core, h.led, h.commit = core, 0, core.CommitIndex()
}
