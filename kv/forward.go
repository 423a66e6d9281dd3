package kv

import (
	"context"

	"balsa/raft"
)

// Forwarder carries commands to other nodes.
type Forwarder interface {
	// Forward hands a command to the node with that ID, whose [Store.Execute]
	// takes it, and returns the reply. If it fails, sent says whether the
	// command may have reached the other node: with sent false it certainly has
	// not, so that it may be tried again; with sent true nobody knows what
	// becomes of it. When in doubt, sent is true.
	//
	// It returns soon after ctx ends. The command is not changed by either side
	// and may be kept.
	Forward(ctx context.Context, to raft.NodeID, command []byte) (reply []byte, sent bool, err error)
}

// forward sends the command to another node and returns what became of it
// there.
func (s *Store) forward(ctx context.Context, to raft.NodeID, command []byte) outcome {
	reply, sent, err := s.forwarder.Forward(ctx, to, command)
	if err != nil && !sent {
		return outcome{code: outcomeNotLeader}
	}
	if err != nil {
		return outcome{code: outcomeUnknown}
	}
	o, err := decodeOutcome(reply)
	if err != nil {
		// The other node has executed something and cannot tell us what.
		return outcome{code: outcomeUnknown}
	}
	if o.code == outcomeStopped {
		// It is that node which stops and not this one: as good as any other
		// that does not lead.
		return outcome{code: outcomeNotLeader}
	}
	return o
}

// Execute carries out a command that another node forwarded and returns the
// reply for it, errors included. It is what the server side of a [Forwarder]
// calls. It proposes the command here or not at all: a command that could be
// forwarded twice could travel in circles while an election is under way.
func (s *Store) Execute(ctx context.Context, command []byte) []byte {
	return s.execute(ctx, command).encode()
}

func (s *Store) execute(ctx context.Context, command []byte) outcome {
	// Better refused here than replicated to everybody and refused there.
	if _, err := decodeCommand(command); err != nil {
		return outcome{code: outcomeNotUnderstood}
	}
	if !s.waiting.enter(len(command)) {
		return outcome{code: outcomeBusy}
	}
	defer s.waiting.leave(len(command))
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return outcomeOf(s.proposer.Propose(ctx, command))
}
