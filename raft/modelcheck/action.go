package modelcheck

import (
	"fmt"

	"balsa/raft"
)

// ActionKind is what can happen in a world.
type ActionKind uint8

const (
	// Deliver hands a message over.
	Deliver ActionKind = iota
	// DeliverCopy hands a message over that will arrive again.
	DeliverCopy
	// Timeout lets an election timeout pass at a server that does not lead.
	Timeout
	// StepDown lets a leader notice that it hears from nobody.
	StepDown
	// Heartbeat lets a leader begin a round.
	Heartbeat
	// Propose gives a leader a command.
	Propose
	// ReadIndex asks a server for a read.
	ReadIndex
	// ChangeMembers asks a leader for the Change with the number Argument, of the
	// server Peer.
	ChangeMembers
	// Transfer asks a leader to hand over to the server Peer.
	Transfer
	// Compact writes a state machine to the disk and cuts the log.
	Compact
	// FinishWrite makes the oldest unfinished write of a server durable.
	FinishWrite
	// Crash ends a process and starts it again.
	Crash
	// Lose is Crash, and the disk forgets the last entries of the log, as many as
	// Argument says.
	Lose
)

// Action is one step of a world.
type Action struct {
	Kind     ActionKind
	Server   raft.NodeID  // at which it happens
	Message  raft.Message // Deliver, DeliverCopy
	Peer     raft.NodeID  // ChangeMembers, Transfer
	Change   Change       // ChangeMembers
	Argument int          // the number of the command or read, or of the lost entries
	Crash    CrashPoint   // in the course of it

	picture *state // what comes with an InstallSnapshot
}

func (a Action) String() string {
	s := ""
	switch a.Kind {
	case Deliver:
		s = "deliver " + a.Message.String()
	case DeliverCopy:
		s = "deliver a copy of " + a.Message.String()
	case Timeout:
		s = fmt.Sprintf("%s hears from no leader and stands for election", a.Server)
	case StepDown:
		s = fmt.Sprintf("%s hears from no quorum and steps down", a.Server)
	case Heartbeat:
		s = fmt.Sprintf("%s sends heartbeats", a.Server)
	case Propose:
		s = fmt.Sprintf("%s is given command %d", a.Server, a.Argument)
	case ReadIndex:
		s = fmt.Sprintf("%s is asked for read %d", a.Server, a.Argument)
	case ChangeMembers:
		s = fmt.Sprintf("%s is asked to %s %s", a.Server, a.Change, a.Peer)
	case Transfer:
		s = fmt.Sprintf("%s is asked to hand over to %s", a.Server, a.Peer)
	case Compact:
		s = fmt.Sprintf("%s cuts its log", a.Server)
	case FinishWrite:
		s = fmt.Sprintf("the disk of %s finishes a write", a.Server)
	case Crash:
		s = fmt.Sprintf("%s crashes and starts again", a.Server)
	case Lose:
		s = fmt.Sprintf("%s crashes and starts again; its disk has forgotten the last %d entries", a.Server, a.Argument)
	}
	if a.Crash != NoCrash {
		s += fmt.Sprintf("; %s %s, and starts again", a.Server, a.Crash)
	}
	return s
}

// command is what a client proposes: one byte that no other command has.
func command(number int) []byte { return []byte{byte(number)} }

// do tells the core what an action is about, and lets time pass if need be. It
// returns false if the action is impossible.
func (h *host) do(a Action) bool {
	core := h.s.core
	switch a.Kind {
	case Deliver, DeliverCopy:
		h.becomeImpatient(a.Message)
		if a.picture != nil && !installing(core) {
			h.s.receiving = a.picture
		}
		core.Step(a.Message)
	case Timeout:
		return h.timeout()
	case StepDown:
		return h.stepDown()
	case Heartbeat:
		h.tick()
	case Propose:
		if _, err := core.Propose(command(a.Argument)); err != nil {
			return false
		}
	case ReadIndex:
		core.ReadIndex(uint64(a.Argument))
	case ChangeMembers:
		change, sensible := a.Change.change(core.Configuration().Configuration, a.Peer)
		if !sensible {
			return false
		}
		if _, err := core.ChangeMembers(change); err != nil {
			return false
		}
	case Transfer:
		return core.TransferLeadership(a.Peer) == nil
	case Compact:
		h.compact()
	case FinishWrite:
		h.finishWrite()
	case Crash:
		h.moves = append(h.moves, move{kind: moveCrash})
		h.restart()
	case Lose:
		h.lose(a.Argument)
	}
	return true
}

// tick lets one tick pass.
func (h *host) tick() {
	if n := len(h.moves); n > 0 && h.moves[n-1].kind == moveTick {
		h.moves[n-1].count++
	} else {
		h.moves = append(h.moves, move{kind: moveTick, count: 1})
	}
	h.s.core.Tick()
}

// becomeImpatient lets time pass at a server that is asked for a vote in a newer term,
// until it does not hold on to its leader any more (thesis 4.2.3), and not so much that it stands
// for election itself. Were it to refuse, it would be as if the request was lost: so
// nothing is missed by looking at impatient servers only. A leader has no patience to
// lose: it steps down first.
func (h *host) becomeImpatient(m raft.Message) {
	if _, ok := m.Body.(*raft.RequestVote); !ok || m.Term <= h.s.core.Term() || h.s.core.Role() == raft.Leader {
		return
	}
	for elapsed, timeout := h.s.core.ElectionTicks(); elapsed < electionTicks && elapsed+1 < timeout; elapsed++ {
		h.tick()
	}
}

// timeout lets time pass until a server stands for election, and returns whether it
// does.
func (h *host) timeout() bool {
	before := h.campaigns
	for range 2 * electionTicks {
		if h.tick(); h.campaigns > before {
			return true
		}
	}
	return false
}

// stepDown lets time pass until a leader steps down, and returns whether it does: one
// that needs nobody else leads for ever.
func (h *host) stepDown() bool {
	for range 2*electionTicks + 1 {
		if h.tick(); h.s.core.Role() != raft.Leader {
			return true
		}
	}
	return false
}
