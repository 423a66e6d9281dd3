package node

import (
	"errors"
	"time"

	"balsa/raft"
)

// loop owns the core.
//
// Trap 6 cannot happen here: no other goroutine reads or writes anything of the core;
// what they have for it they leave in the inbox.
type loop struct {
	node    *Node
	core    *raft.Core
	started time.Time
	waiters waiters
	reads   reads

	changes    []*pendingChange
	transfers  []pendingTransfer
	installing *reception // the snapshot that the core wants installed, or nil

	commands [][]byte // reused from turn to turn
}

func newLoop(n *Node, core *raft.Core) *loop {
	return &loop{
		node:    n,
		core:    core,
		started: time.Now(),
		waiters: waiters{max: n.cfg.MaxProposals},
		reads:   newReads(n.cfg.MaxReads, core.Status().LastApplied),
	}
}

// run is the loop. Each turn: wait, take all that has arrived, tell the core,
// hand out what it wants.
func (l *loop) run() error {
	ticker := time.NewTicker(l.node.cfg.Tick)
	defer ticker.Stop()
	var in inputs
	for {
		ticked := false
		select {
		case <-l.node.stopping:
			return nil
		case <-ticker.C:
			ticked = true
		case <-l.node.inbox.wake:
		}
		in = l.node.inbox.take(in.cleared())
		// After the reads have arrived and before anything is done for them: a lease
		// must still hold when it is asked for, however long this process was
		// paused in between.
		l.core.SetClock(uint64(time.Since(l.started)))
		l.tell(in)
		if ticked {
			// After the messages: on a machine that was too busy to run this
			// process, the leader's heartbeat may be among them.
			l.core.Tick()
			l.reads.retry(l.core)
		}
		l.publish()
		l.carryOut(l.core.TakeOutput())
		l.settleChanges()
		l.settleTransfers()
	}
}

// tell passes on the inputs of one turn. What was written and applied comes
// first: it can only unblock the rest.
func (l *loop) tell(in inputs) {
	if in.written != 0 {
		l.core.Written(in.written)
	}
	if in.applied != 0 {
		l.core.Applied(in.applied)
		l.reads.applied(in.applied)
	}
	if in.installed {
		l.snapshotInstalled()
	}
	for _, loaded := range in.loaded {
		l.core.Loaded(loaded.to, loaded.entries)
	}
	for _, m := range in.messages {
		l.core.Step(m)
	}
	for _, id := range in.lost {
		l.core.ConnectionLost(id)
	}
	l.snapshotsReceived(in.received)
	l.snapshotsEnded(in.ended)
	if in.compact != 0 {
		l.compact(in.compact)
	}
	l.propose(in.proposals)
	l.changeMembers(in.changes)
	l.transferLeadership(in.transfers) // after what has been accepted: it stops the rest
	l.reads.request(l.core, in.reads)
	for _, reply := range in.statuses {
		reply <- l.core.Status()
	}
}

// propose appends all proposals of this turn as one batch.
func (l *loop) propose(proposals []*proposal) {
	l.commands = l.commands[:0]
	accepted := proposals[:0]
	room := l.waiters.room(len(proposals))
	for _, p := range proposals {
		switch {
		case p.ctx.Err() != nil: // nobody waits any more, and nothing was done yet
		case len(accepted) >= room:
			p.finish(outcome{err: ErrBusy})
		default:
			accepted = append(accepted, p)
			l.commands = append(l.commands, p.command)
		}
	}
	if len(accepted) == 0 {
		return
	}
	first, err := l.core.Propose(l.commands...)
	clear(l.commands)
	if err != nil {
		o := outcome{err: l.refusal(err)}
		for _, p := range accepted {
			p.finish(o)
		}
		return
	}
	l.waiters.add(first, accepted)
}

// refusal puts an error of the core into the words of this package's callers.
func (l *loop) refusal(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return &NotLeaderError{Leader: l.core.Leader()}
	case errors.Is(err, raft.ErrTransferring):
		return &NotLeaderError{} // who will lead is not known yet
	case errors.Is(err, raft.ErrTooMuchUncommitted):
		return ErrBusy
	}
	return err
}

// carryOut hands the core's output to those who do the work. None of this
// blocks.
func (l *loop) carryOut(out raft.Output) {
	if len(out.Send) > 0 {
		l.node.cfg.Transport.Send(out.Send)
	}
	if out.Write != nil || len(out.SendAfterWrite) > 0 {
		l.node.writer.add(writeJob{write: out.Write, after: out.SendAfterWrite})
	}
	if out.Apply.First != 0 {
		l.node.apply.add(applyJob{apply: out.Apply, waiting: l.waiters.take(l.core, out.Apply)})
	}
	for _, load := range out.Load {
		l.node.load.add(load)
	}
	l.reads.results(out.Reads)
	l.install(out.Install)
	l.sendSnapshots(out.SendSnapshot)
}
