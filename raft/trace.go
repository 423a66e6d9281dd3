package raft

import "fmt"

// EventKind says what an [Event] is about.
type EventKind uint8

// The events. The comment says which fields are set beside Node, Term, Role and
// Leader.
const (
	EventReceived        EventKind = iota + 1 // a message arrived: Message
	EventIgnored                              // a message was put aside: Message, Cause
	EventSent                                 // a message is handed to the host: Message, Cause "after write" if it has to wait
	EventRole                                 // role, term or leader changed: Cause if there is more to say
	EventVote                                 // a vote was cast: Peer
	EventAppended                             // entries were appended: Entry is the first, Last the last index
	EventTruncated                            // entries were removed: Entry.Index is the first, Last the last index
	EventRejected                             // the log check of an AppendEntries failed: Entry is what was missing
	EventBackedUp                             // a follower's nextIndex was moved back: Peer, Last is the new nextIndex
	EventWrite                                // a write is handed to the host: Write
	EventDurable                              // writes completed: Last is the durable index
	EventCommitted                            // commitIndex advanced: Last
	EventApply                                // entries are handed to the state machine: Entry.Index is the first, Last the last
	EventReadConfirmed                        // reads were confirmed: Last is the read index
	EventQuorumLost                           // CheckQuorum: no quorum has answered the leader
	EventTransfer                             // leadership is handed over: Peer, Cause if it comes to an end
	EventCompacted                            // the log was compacted: Entry is the last that is gone
	EventSnapshotNeeded                       // a follower needs the state, not the log: Peer
	EventSnapshotIgnored                      // a snapshot is of no use: Entry is its last, Cause
	EventInstall                              // a snapshot is handed to the state machine: Entry is its last
	EventInstalled                            // a snapshot was installed: Entry is its last
	EventLost                                 // a part of the log is lost: Entry was its last, Last is what there is; on a leader: Peer has lost it
	EventRecovered                            // what was lost is there again: Last
)

// Event is one transition of a core. The tracer receives them in the order in
// which they happen; logs, tests and pictures are made from them.
type Event struct {
	Kind   EventKind
	Node   NodeID
	Term   Term
	Role   Role
	Leader NodeID

	Peer    NodeID
	Entry   EntryID
	Last    Index
	Message Message
	Write   *Write
	Cause   string
}

// trace reports a transition. Without a tracer it costs a comparison.
func (c *Core) trace(e Event) {
	if c.cfg.Trace == nil {
		return
	}
	e.Node, e.Term, e.Role, e.Leader = c.id, c.currentTerm, c.role, c.leader
	c.cfg.Trace(e)
}

// ignore reports a message that has no effect.
func (c *Core) ignore(m Message, cause string) {
	c.trace(Event{Kind: EventIgnored, Message: m, Cause: cause})
}

func (c *Core) traceOutput(out Output) {
	for _, m := range out.Send {
		c.trace(Event{Kind: EventSent, Message: m})
	}
	if out.Write != nil {
		c.trace(Event{Kind: EventWrite, Write: out.Write})
	}
	for _, m := range out.SendAfterWrite {
		c.trace(Event{Kind: EventSent, Message: m, Cause: "after write"})
	}
	if out.Apply.First != 0 {
		c.trace(Event{Kind: EventApply, Entry: EntryID{Index: out.Apply.First}, Last: out.Apply.Last})
	}
	if out.Install != nil {
		c.trace(Event{Kind: EventInstall, Entry: out.Install.Last})
	}
}

// String describes the event in one line, without the node.
func (e Event) String() string {
	switch e.Kind {
	case EventReceived:
		return "received " + e.Message.String()
	case EventIgnored:
		return fmt.Sprintf("ignored %s (%s)", e.Message, e.Cause)
	case EventSent:
		if e.Cause != "" {
			return fmt.Sprintf("sends %s (%s)", e.Message, e.Cause)
		}
		return "sends " + e.Message.String()
	case EventRole:
		s := fmt.Sprintf("is %s in term %d", e.Role, e.Term)
		if e.Role == Follower {
			s += ", leader " + e.Leader.String()
		}
		if e.Cause != "" {
			s += " (" + e.Cause + ")"
		}
		return s
	case EventVote:
		return fmt.Sprintf("votes for %s in term %d", e.Peer, e.Term)
	case EventAppended:
		return fmt.Sprintf("appends %s..%d", e.Entry, e.Last)
	case EventTruncated:
		return fmt.Sprintf("removes %d..%d", e.Entry.Index, e.Last)
	case EventRejected:
		return "lacks " + e.Entry.String()
	case EventBackedUp:
		return fmt.Sprintf("nextIndex[%s] = %d", e.Peer, e.Last)
	case EventWrite:
		return "writes " + e.Write.String()
	case EventDurable:
		return fmt.Sprintf("durable up to %d", e.Last)
	case EventCommitted:
		return fmt.Sprintf("commitIndex = %d", e.Last)
	case EventApply:
		return fmt.Sprintf("applies %d..%d", e.Entry.Index, e.Last)
	case EventReadConfirmed:
		if e.Cause != "" {
			return fmt.Sprintf("reads confirmed at %d %s", e.Last, e.Cause)
		}
		return fmt.Sprintf("reads confirmed at %d", e.Last)
	case EventQuorumLost:
		return "lost contact with a quorum"
	case EventTransfer:
		if e.Cause != "" {
			return fmt.Sprintf("transfer to %s %s", e.Peer, e.Cause)
		}
		return fmt.Sprintf("transfers leadership to %s", e.Peer)
	case EventCompacted:
		return fmt.Sprintf("forgets the log up to %s", e.Entry)
	case EventSnapshotNeeded:
		return fmt.Sprintf("sees that %s needs a snapshot", e.Peer)
	case EventSnapshotIgnored:
		return fmt.Sprintf("ignores snapshot %s (%s)", e.Entry, e.Cause)
	case EventInstall:
		return fmt.Sprintf("installs snapshot %s", e.Entry)
	case EventLost:
		if e.Peer != None {
			return fmt.Sprintf("hears that %s has lost what it had acknowledged", e.Peer)
		}
		return fmt.Sprintf("has lost its log between %d and %s", e.Last, e.Entry)
	case EventRecovered:
		return fmt.Sprintf("has received again what it had lost, up to %d", e.Last)
	case EventInstalled:
		return fmt.Sprintf("has installed snapshot %s", e.Entry)
	}
	return fmt.Sprintf("event %d", e.Kind)
}

// String describes the write in one line.
func (w *Write) String() string {
	s := fmt.Sprintf("#%d term=%d vote=%s", w.ID, w.HardState.CurrentTerm, w.HardState.VotedFor)
	if w.HardState.Promised {
		s += " promised"
	}
	if w.Reset != nil {
		s += fmt.Sprintf(" reset=%s", w.Reset.Last)
	}
	if w.TruncateFrom != 0 {
		s += fmt.Sprintf(" truncate=%d", w.TruncateFrom)
	}
	if n := len(w.Entries); n > 0 {
		s += fmt.Sprintf(" entries=%s..%s", w.Entries[0].ID(), w.Entries[n-1].ID())
	}
	return s
}
