package node

import (
	"errors"
	"fmt"

	"balsa/raft"
)

// The ways in which a request to a node can end without an answer. They differ
// in what the caller may conclude, which is why they are kept apart.
var (
	// ErrBusy means that a queue is full. Nothing was done; trying again later
	// is safe.
	ErrBusy = errors.New("node is busy: too many requests are waiting; try again later")
	// ErrTooLarge means that the command exceeds raft.MaxEntryData. Nothing was
	// done.
	ErrTooLarge = fmt.Errorf("the command is too large: at most %d bytes fit into a log entry", raft.MaxEntryData)
	// ErrDropped means that another leader's entry took the place of the
	// proposed one. It has no effect and never will; trying again is safe.
	ErrDropped = errors.New("leadership was lost before the entry was replicated; it has no effect")
	// ErrOutcomeUnknown means that the command, or the change of members or of
	// leadership, may have taken effect, or may still do so later, or never.
	ErrOutcomeUnknown = errors.New("outcome unknown: what was asked for may or may not take effect")
	// ErrNoQuorum means that a read could not be confirmed in time, because no
	// leader was found or it could not reach a majority.
	ErrNoQuorum = errors.New("no leader confirmed the read in time: is a majority of the voters up and connected?")
	// ErrStopped means that the node has stopped or is stopping.
	ErrStopped = errors.New("node is stopped")
)

// NotLeaderError means that something was asked of a node that does not lead, or
// is about to hand over. Nothing was done.
type NotLeaderError struct {
	// Leader is whom this node follows, or raft.None if that is not known (yet).
	Leader raft.NodeID
}

func (e *NotLeaderError) Error() string {
	if e.Leader == raft.None {
		return "no leader is known"
	}
	return fmt.Sprintf("not the leader; the leader is %s", e.Leader)
}
