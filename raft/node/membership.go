package node

import (
	"context"
	"fmt"
	"slices"

	"balsa/raft"
)

// changeRequest is a change of members and the one who waits for its end.
type changeRequest struct {
	ctx    context.Context
	change raft.Change
	done   chan error // receives exactly one, or none if the node stops
}

// ChangeMembers changes who is in the cluster and returns when that is done: the
// configuration that the change leads to is committed, and no joint one is in
// force any more. That may take another leader than this node, for example if
// the change removes this node itself. It fails with
//
//   - *NotLeaderError: nothing was changed; this node does not lead, or is about
//     to hand over
//   - raft.ErrChangePending, ErrLeaderTooNew, ErrOtherConfiguration,
//     ErrNotCaughtUp, ErrNoLiveMajority, ErrInvalidChange, wrapped with what is
//     the matter: nothing was changed
//   - ErrDropped: another leader's entry took the place of the change's; it has
//     and will have no effect
//   - ErrOutcomeUnknown: the context ended, or the node stopped, while the change
//     was under way, or a snapshot hides what became of it; see
//     [Node.Configuration]
//   - ErrStopped: the node had stopped before anything was changed
func (n *Node) ChangeMembers(ctx context.Context, change raft.Change) error {
	r := &changeRequest{ctx: ctx, change: change, done: make(chan error, 1)}
	if err := n.inbox.changeMembers(r); err != nil {
		return err
	}
	return n.await(ctx, r.done)
}

// pendingChange is a change whose entry is in the log.
type pendingChange struct {
	request *changeRequest
	entry   raft.EntryID
	joint   bool // another entry will follow, which leaves the joint configuration
	// committed says that the entry is. From then on the change is certain, and a
	// matter of time.
	committed bool
}

func (l *loop) changeMembers(requests []*changeRequest) {
	for _, r := range requests {
		if r.ctx.Err() != nil {
			continue // nobody waits any more, and nothing was done yet
		}
		entry, err := l.core.ChangeMembers(r.change)
		if err != nil {
			r.done <- l.refusal(err)
			continue
		}
		joint := l.core.Configuration().Configuration.Joint()
		l.changes = append(l.changes, &pendingChange{request: r, entry: entry, joint: joint})
	}
}

// settleChanges tells those whose change has come to an end.
func (l *loop) settleChanges() {
	l.changes = slices.DeleteFunc(l.changes, func(p *pendingChange) bool {
		done, err := p.settle(l.core)
		if done {
			p.request.done <- err
		}
		return done
	})
}

// settle reports whether the change has come to an end, and to which.
func (p *pendingChange) settle(core *raft.Core) (bool, error) {
	if core.CommitIndex() < p.entry.Index {
		return false, nil
	}
	if !p.committed {
		// It is looked at in the turn in which the index is committed, and the log
		// is not compacted as quickly as that. So if the term is not known, a
		// snapshot has brought this log to where it is.
		switch term, known := core.TermAt(p.entry.Index); {
		case !known:
			return true, fmt.Errorf("%w: a snapshot has taken the place of the log", ErrOutcomeUnknown)
		case term != p.entry.Term:
			return true, ErrDropped
		}
		p.committed = true
	}
	latest := core.Configuration()
	return !p.joint || !latest.Configuration.Joint() && latest.Index <= core.CommitIndex(), nil
}
