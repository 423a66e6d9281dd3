package node

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"balsa/raft"
)

// ErrTransferFailed means that the chosen successor did not take over within an
// election timeout. This node leads on, or leads again; nothing is lost.
var ErrTransferFailed = errors.New("leadership was not taken over: is the chosen node up and connected? " +
	"this node goes on leading; try again, or choose another one")

// transferRequest is a request to hand over leadership, and the one who waits.
type transferRequest struct {
	ctx  context.Context
	to   raft.NodeID
	done chan error // receives exactly one, or none if the node stops
}

// TransferLeadership hands over leadership and returns when another node is
// known to lead. For raft.None the voter with the longest log is chosen; whom it
// was given to is not certain even so, only that it is another one. Proposals
// get a *NotLeaderError meanwhile. It fails with
//
//   - *NotLeaderError: this node does not lead
//   - raft.ErrTransferring: it is handing over already
//   - raft.ErrNoSuccessor: that node does not vote or is this one, or there is no
//     other voter that answers
//   - ErrTransferFailed: the successor did not take over
//   - ErrOutcomeUnknown: the context ended, or the node stopped, before it was
//     known how it ends
//   - ErrStopped: the node had stopped before anything was done
func (n *Node) TransferLeadership(ctx context.Context, to raft.NodeID) error {
	r := &transferRequest{ctx: ctx, to: to, done: make(chan error, 1)}
	if err := n.inbox.transfer(r); err != nil {
		return err
	}
	return n.await(ctx, r.done)
}

// pendingTransfer is a handover under way.
type pendingTransfer struct {
	request *transferRequest
	term    raft.Term // in which this node led when it began
	to      raft.NodeID
}

func (l *loop) transferLeadership(requests []*transferRequest) {
	for _, r := range requests {
		if r.ctx.Err() != nil {
			continue // nobody waits any more, and nothing was done yet
		}
		err := l.core.TransferLeadership(r.to)
		switch {
		case errors.Is(err, raft.ErrNotLeader):
			r.done <- &NotLeaderError{Leader: l.core.Leader()}
		case err != nil:
			r.done <- err
		default:
			l.transfers = append(l.transfers, pendingTransfer{r, l.core.Term(), l.core.TransferringTo()})
		}
	}
}

// settleTransfers tells those whose handover has come to an end.
func (l *loop) settleTransfers() {
	l.transfers = slices.DeleteFunc(l.transfers, func(p pendingTransfer) bool {
		done, err := p.settle(l.core)
		if done {
			p.request.done <- err
		}
		return done
	})
}

// settle reports whether the handover has come to an end, and to which.
func (p pendingTransfer) settle(core *raft.Core) (bool, error) {
	failed := fmt.Errorf("%w (it was %s)", ErrTransferFailed, p.to)
	switch {
	case core.Role() != raft.Leader:
		return core.Leader() != raft.None, nil
	case core.Term() != p.term: // it was taken from this node and has come back
		return true, failed
	case core.TransferringTo() != p.to: // the core has given up
		return true, failed
	}
	return false, nil
}
