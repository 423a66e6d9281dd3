package kv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"balsa/raft"
	"balsa/raft/node"
)

// outcomeCode is the first byte of an encoded outcome. No number is ever used
// again with another meaning.
type outcomeCode uint8

const (
	// The first three are what the state machine makes of a command.

	outcomeApplied       outcomeCode = 1
	outcomeConflict      outcomeCode = 2
	outcomeNotUnderstood outcomeCode = 3

	// The others say how a command failed to reach the state machine.

	outcomeNotLeader outcomeCode = 4
	outcomeDropped   outcomeCode = 5
	outcomeBusy      outcomeCode = 6
	outcomeUnknown   outcomeCode = 7
	outcomeStopped   outcomeCode = 8
)

// outcome says what became of a command. The state machine returns it, a node
// that executes a command for another one sends it back, and the store turns it
// into what its caller sees.
type outcome struct {
	code outcomeCode
	// existed says, of an applied command that deletes, whether there was
	// something to delete.
	existed bool
	// revision is, of an applied command, its own index in the log and, of a
	// conflict, the revision that the key really has, or zero.
	revision raft.Index
	// leader is whom a node that does not lead takes for the leader, or None.
	leader raft.NodeID
}

// outcomeOf translates what a node made of a proposal. An error that the
// contract of [node.Proposer] does not name is taken for the worst one.
func outcomeOf(result any, err error) outcome {
	if err == nil {
		return *result.(*outcome)
	}
	if e, ok := errors.AsType[*node.NotLeaderError](err); ok {
		return outcome{code: outcomeNotLeader, leader: e.Leader}
	}
	switch {
	case errors.Is(err, node.ErrDropped):
		return outcome{code: outcomeDropped}
	case errors.Is(err, node.ErrBusy):
		return outcome{code: outcomeBusy}
	case errors.Is(err, node.ErrStopped):
		return outcome{code: outcomeStopped}
	}
	return outcome{code: outcomeUnknown}
}

// retryable reports that nothing was done and that the same command may well
// succeed elsewhere or a moment later. An unknown outcome is never retryable.
func (o outcome) retryable() bool {
	return o.code == outcomeNotLeader || o.code == outcomeDropped
}

// result puts the outcome of c into the words of this package's callers.
func (o outcome) result(c command) (Result, error) {
	switch o.code {
	case outcomeApplied:
		return Result{Revision: uint64(o.revision), Existed: o.existed}, nil
	case outcomeConflict:
		return Result{}, &ConflictError{Key: c.key, Expected: uint64(c.expected), Actual: uint64(o.revision)}
	case outcomeNotUnderstood:
		return Result{}, ErrNotUnderstood
	case outcomeNotLeader, outcomeDropped:
		return Result{}, ErrNoLeader
	case outcomeBusy:
		return Result{}, ErrBusy
	case outcomeStopped:
		return Result{}, ErrStopped
	}
	return Result{}, ErrOutcomeUnknown
}

// outcomeSize is the length of every encoded outcome.
const outcomeSize = 1 + 1 + 8 + 8

// encode returns the form in which an outcome travels to the node that
// forwarded the command: code, existed, revision, leader.
func (o outcome) encode() []byte {
	b := make([]byte, 0, outcomeSize)
	b = append(b, byte(o.code), 0)
	if o.existed {
		b[1] = 1
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(o.revision))
	return binary.LittleEndian.AppendUint64(b, uint64(o.leader))
}

// decodeOutcome is the inverse of encode and accepts nothing that encode does
// not produce.
func decodeOutcome(b []byte) (outcome, error) {
	if len(b) != outcomeSize {
		return outcome{}, fmt.Errorf("kv: reply of %d bytes, want %d", len(b), outcomeSize)
	}
	if b[1] > 1 {
		return outcome{}, fmt.Errorf("kv: reply with flags %#x", b[1])
	}
	o := outcome{
		code:     outcomeCode(b[0]),
		existed:  b[1] == 1,
		revision: raft.Index(binary.LittleEndian.Uint64(b[2:])),
		leader:   raft.NodeID(binary.LittleEndian.Uint64(b[10:])),
	}
	if o.code < outcomeApplied || o.code > outcomeStopped {
		return outcome{}, fmt.Errorf("kv: reply with unknown code %d", o.code)
	}
	if o.code == outcomeApplied && o.revision == 0 {
		return outcome{}, errors.New("kv: reply says applied at index 0")
	}
	return o, nil
}
