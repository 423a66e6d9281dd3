package modelcheck

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"balsa/raft"
)

// A counterexample becomes a scenario of package sim: a world that is moved by hand,
// in which the same happens to the same servers. The simulator's judges share no code
// with these here, so what they say about it is a second opinion.

// move is something that happens to a server, or that it does, in the course of an
// action, and that a hand has to do, or to know of, in a world that it moves.
type move struct {
	kind    moveKind
	count   int          // of ticks
	message raft.Message // that was sent
}

type moveKind uint8

const (
	moveTick    moveKind = iota
	moveDraw             // of a random number
	moveSent             // a message
	moveWritten          // a write is done
	moveApplied          // a run of entries
	moveCrash
)

// ErrNoScenario means that a counterexample cannot be told as a scenario.
var ErrNoScenario = errors.New("modelcheck: no scenario says this")

// Scenario returns the counterexample, which is one of the given scope, as the text of a
// scenario. It fails with ErrNoScenario if the founding servers do not all vote, or if
// snapshots are sent: those travel in pieces.
func (x *Counterexample) Scenario(scope Scope) (string, error) {
	if scope.Learners > 0 {
		return "", fmt.Errorf("%w: there are founding servers that do not vote", ErrNoScenario)
	}
	scope.Unreduced.DeadMessages = true // nothing is tried that does not happen
	c, err := New(scope)
	if err != nil {
		return "", err
	}
	s, err := newSearch(c)
	if err != nil {
		return "", err
	}
	h := &hand{scope: &scope}
	for i := range scope.servers() {
		h.line("next n%d draw 1", i+1)
	}
	c.trail = func(what choice, o *outcome) { h.did(c.action(what), o) }
	for i, a := range x.Actions {
		if !s.follow(a) {
			return "", fmt.Errorf("modelcheck: action %d is not possible: %s", i+1, a)
		}
	}
	if h.err != nil {
		return "", h.err
	}
	text := fmt.Sprintf("balsa scenario 1\n# %s\nworld nodes=%d pool=%d ticks=%d keys=1 by-hand\n",
		x.Violation.Rule, scope.Voters, scope.servers(), h.time+2)
	text += fmt.Sprintf("core election-ticks=%d heartbeat-ticks=%d max-message-bytes=1 max-window-messages=%d\n",
		electionTicks, heartbeatTicks, scope.Window)
	return text + h.text.String(), nil
}

// hand writes down what it has to do.
type hand struct {
	scope *Scope
	text  strings.Builder
	// time is that of the next line, in ticks.
	time int
	// waiting are the messages that wait to be delivered, oldest first.
	waiting []raft.Message
	err     error
}

func (h *hand) line(format string, args ...any) {
	fmt.Fprintf(&h.text, "%d.000 "+format+"\n", append([]any{h.time}, args...)...)
}

// did writes down a step of a core.
func (h *hand) did(a Action, o *outcome) {
	if !o.possible {
		return
	}
	h.time++
	for _, m := range o.moves {
		switch m.kind {
		case moveDraw:
			h.line("next %s draw 1", a.Server)
		case moveApplied:
			if h.scope.Compactions == 0 {
				h.line("next %s unflushed", a.Server)
			}
		}
	}
	if a.Kind != Timeout && a.Kind != StepDown && a.Kind != Heartbeat && len(o.moves) > 0 && o.moves[0].kind == moveTick {
		h.line("tick %s times=%d", a.Server, o.moves[0].count)
	}
	h.act(a, o)
	written := 0
	for _, m := range o.moves {
		switch m.kind {
		case moveSent:
			h.waiting = append(h.waiting, m.message)
		case moveWritten:
			written++
			if a.Kind == FinishWrite && written == 1 {
				continue // that was the action
			}
			if a.Crash == CrashAfterWrite && written == 1 {
				h.line("next %s survive 1", a.Server)
				continue
			}
			h.time++
			h.line("written %s", a.Server)
		case moveCrash:
			h.time++
			h.line("crash %s", a.Server)
			h.line("start %s", a.Server)
		}
	}
}

// act writes down what the action itself is.
func (h *hand) act(a Action, o *outcome) {
	switch a.Kind {
	case Deliver, DeliverCopy:
		h.deliver(a)
	case Timeout, Heartbeat:
		h.line("tick %s times=%d", a.Server, ticksOf(o))
	case StepDown:
		// In the simulator it sends heartbeats until it does. They never arrive.
		h.line("tick %s times=%d", a.Server, ticksOf(o))
		for range ticksOf(o) - 1 {
			for i := range h.scope.servers() {
				h.waiting = append(h.waiting, raft.Message{From: a.Server, To: raft.NodeID(i + 1), Body: &raft.AppendEntries{}})
			}
		}
	case Propose:
		h.line("put %s", a.Server)
	case ReadIndex:
		h.line("read %s", a.Server)
	case ChangeMembers:
		h.line("change %s %s", a.Server, h.change(a))
	case Transfer:
		h.line("transfer %s to=%s", a.Server, a.Peer)
	case Compact:
		h.line("compact-all %s", a.Server)
	case Lose:
		h.line("crash %s", a.Server)
		h.line("forget %s entries=%d", a.Server, a.Argument)
		h.line("start %s", a.Server)
	case FinishWrite:
		if a.Crash == NoCrash {
			h.line("written %s", a.Server)
		}
	}
}

func ticksOf(o *outcome) int {
	ticks := 0
	for _, m := range o.moves {
		ticks += m.count
	}
	return ticks
}

func (h *hand) change(a Action) string {
	switch a.Change {
	case Promote:
		return fmt.Sprintf("set=%s:voter", a.Peer)
	case Demote, Add:
		return fmt.Sprintf("set=%s", a.Peer)
	case Remove:
		return fmt.Sprintf("remove=%s", a.Peer)
	}
	var others []string
	for i := range h.scope.servers() {
		if id := raft.NodeID(i + 1); id != a.Peer {
			others = append(others, id.String())
		}
	}
	return "remove=" + strings.Join(others, ",")
}

// deliver writes down that a message arrives. Those of its kind that wait before it on
// the same link are passed over.
func (h *hand) deliver(a Action) {
	kind := kindOf(a.Message)
	if kind == "" {
		h.err = fmt.Errorf("%w: a snapshot is sent", ErrNoScenario)
		return
	}
	before, encoded := 0, a.Message.AppendTo(nil)
	for i, m := range h.waiting {
		if m.From != a.Message.From || m.To != a.Message.To || kindOf(m) != kind {
			continue
		}
		if !bytes.Equal(m.AppendTo(nil), encoded) {
			before++
			continue
		}
		verb := "deliver"
		if a.Kind == DeliverCopy {
			verb = "copy"
		} else {
			h.waiting = slices.Delete(h.waiting, i, i+1)
		}
		skip := ""
		if before > 0 {
			skip = fmt.Sprintf(" skip=%d", before)
		}
		h.line("%s %s>%s %s%s", verb, m.From, m.To, kind, skip)
		return
	}
	h.err = fmt.Errorf("%w: %s was never sent", ErrNoScenario, a.Message)
}

// kindOf is what scenarios call the kind of a message.
func kindOf(m raft.Message) string {
	switch body := m.Body.(type) {
	case *raft.RequestVote:
		if body.PreVote {
			return "PreVote"
		}
		return "RequestVote"
	case *raft.RequestVoteReply:
		if body.PreVote {
			return "PreVoteReply"
		}
		return "RequestVoteReply"
	case *raft.AppendEntries:
		return "AppendEntries"
	case *raft.AppendEntriesReply:
		return "AppendEntriesReply"
	case *raft.ReadIndex:
		return "ReadIndex"
	case *raft.ReadIndexReply:
		return "ReadIndexReply"
	case *raft.TimeoutNow:
		return "TimeoutNow"
	}
	return ""
}
