package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"time"

	"balsa/raft"
)

// senders are the snapshots that this node, as leader, sends to followers whose
// entries the log does not hold any more (§7). Each has a goroutine of its own,
// which the loop starts; what the core is told in the end is only that it is
// over. Whether the follower has the snapshot, the follower itself will say, by
// its answer to a heartbeat.
type senders struct {
	node  *Node
	slots chan struct{} // holds one token for each snapshot that may be under way

	mu sync.Mutex
	// current are those that the core waits for, by follower. The loop adds and
	// removes them.
	current map[raft.NodeID]*sending
	// arrived says which entries followers need next that have just received a
	// snapshot.
	arrived map[raft.NodeID]arrival
}

// sending is a snapshot on its way to a follower, or waiting for its turn.
type sending struct {
	to     raft.NodeID
	term   raft.Term
	cancel context.CancelFunc
	// furthest is how many bytes the follower has had at most. Only the sending
	// goroutine uses it.
	furthest uint64

	// What follows is guarded by senders.mu.

	// progress has no Snapshot before the picture is taken.
	progress SnapshotProgress
	// taken says that entries after needed must stay in the log.
	taken  bool
	needed raft.Index
}

// arrival says that a follower is going to need the entries after an index.
type arrival struct {
	needed raft.Index
	until  time.Time
}

const (
	// sendAttempts is how often a snapshot is offered again without a byte of
	// progress before this node gives up. The core asks for another one if the
	// follower is still there.
	sendAttempts = 20
	// arrivalGrace is for how long, at least, the entries after a snapshot are
	// kept for the follower that has just received it: time to install it and to
	// ask for them.
	arrivalGrace = time.Minute
)

func newSenders(n *Node) *senders {
	return &senders{
		node: n, slots: make(chan struct{}, n.cfg.MaxSnapshots),
		current: map[raft.NodeID]*sending{}, arrived: map[raft.NodeID]arrival{},
	}
}

// start begins to send a snapshot. Only the loop calls it.
func (s *senders) start(to raft.NodeID, term raft.Term) {
	ctx, cancel := context.WithCancel(s.node.running)
	x := &sending{to: to, term: term, cancel: cancel, progress: SnapshotProgress{To: to}}
	s.mu.Lock()
	s.current[to] = x
	s.mu.Unlock()
	s.node.goroutines.Go(func() {
		defer cancel()
		s.send(ctx, x)
		s.node.inbox.snapshotEnded(x)
	})
}

// ended takes note that a snapshot is not being sent any more, and reports
// whether the core still waited for it. Only the loop calls it.
func (s *senders) ended(x *sending) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current[x.to] != x {
		return false // cancelled: another term, or not a member any more
	}
	delete(s.current, x.to)
	return true
}

// cancelUnless cancels the snapshots that this node does not send as leader of
// the present term, or to servers that are no members any more. Only the loop
// calls it, when something of that has changed, and before what follows from the
// change is applied: a picture that was taken and not cancelled then holds nothing
// that a later leader has committed. It does not wait: what is cancelled may go on
// for a moment, beside its successor.
func (s *senders) cancelUnless(core *raft.Core) {
	s.mu.Lock()
	defer s.mu.Unlock()
	leads := core.Role() == raft.Leader
	for to, x := range s.current {
		_, member := core.Configuration().Configuration.Member(to)
		if !leads || x.term != core.Term() || !member {
			x.cancel()
			delete(s.current, to)
		}
	}
	if !leads {
		clear(s.arrived)
	}
}

// neededAfter returns the index after which followers that receive a snapshot,
// or have just received one, will need the log.
func (s *senders) neededAfter(now time.Time) raft.Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	needed := ^raft.Index(0)
	for _, x := range s.current {
		if x.taken {
			needed = min(needed, x.needed)
		}
	}
	for to, a := range s.arrived {
		if now.After(a.until) {
			delete(s.arrived, to)
			continue
		}
		needed = min(needed, a.needed)
	}
	return needed
}

// progress returns how far the snapshots have come, in the order of the
// followers' ids.
func (s *senders) progress() []SnapshotProgress {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []SnapshotProgress
	for _, x := range s.current {
		all = append(all, x.progress)
	}
	slices.SortFunc(all, func(a, b SnapshotProgress) int { return cmp.Compare(a.To, b.To) })
	return all
}

// change alters what is known of a snapshot on its way.
func (s *senders) change(alter func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	alter()
}

// send waits for its turn, takes a snapshot and sends it.
func (s *senders) send(ctx context.Context, x *sending) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return
	}
	log := s.node.cfg.Logger.With("to", x.to)
	// Before the picture is taken: from here on the log is not cut beyond what
	// the picture will hold.
	s.change(func() { x.taken, x.needed = true, raft.Index(s.node.appliedIndex.Load()) })
	source, err := s.node.cfg.StateMachine.Snapshot()
	if err != nil {
		log.Warn("cannot take a snapshot for a follower that needs one; trying again", "error", err)
		return
	}
	defer func() {
		if err := source.Close(); err != nil {
			log.Warn("cannot close a snapshot", "error", err)
		}
	}()
	offer := SnapshotOffer{
		From: s.node.cfg.ID, To: x.to, Term: x.term,
		Snapshot: source.Snapshot(), Size: source.Size(),
	}
	if ctx.Err() != nil {
		return // what the picture holds may have been committed by another leader
	}
	_, _ = rand.Read(offer.ID[:]) // never fails
	s.change(func() {
		x.needed = offer.Snapshot.Last.Index
		x.progress.Snapshot, x.progress.Size = offer.Snapshot, offer.Size
	})
	started := time.Now()
	log.Info("sending a snapshot: the log does not reach back to what the follower needs",
		"last", offer.Snapshot.Last.Index, "bytes", offer.Size)
	switch err := s.insist(ctx, x, offer, source); {
	case err == nil:
		log.Info("the follower has received the snapshot", "last", offer.Snapshot.Last.Index, "took", time.Since(started))
	case errors.Is(err, ErrSnapshotRefused):
		log.Info("the follower does not want the snapshot", "last", offer.Snapshot.Last.Index, "reason", err)
		if x.furthest == 0 {
			return
		}
		// It may have all of it: the answer to that was lost, and now the offer is
		// out of date.
	case ctx.Err() != nil:
		return
	default:
		log.Warn("a snapshot could not be sent; another one follows if it is still needed",
			"last", offer.Snapshot.Last.Index, "error", err)
		return
	}
	// What was written while the snapshot travelled comes next. A follower that
	// keeps pace at all receives it in no more time than it took to write it.
	grace := max(arrivalGrace, time.Since(started))
	s.change(func() {
		if s.current[x.to] == x {
			s.arrived[x.to] = arrival{offer.Snapshot.Last.Index, time.Now().Add(grace)}
		}
	})
}

// insist makes the same offer until it is taken or refused, or there is no
// progress any more.
func (s *senders) insist(ctx context.Context, x *sending, offer SnapshotOffer, source SnapshotSource) error {
	for attempt := 1; ; attempt++ {
		before := x.furthest
		err := s.node.cfg.Transport.SendSnapshot(ctx, offer, source, func(offset uint64) {
			x.furthest = max(x.furthest, offset)
			s.change(func() { x.progress.Offset = offset })
		})
		switch {
		case err == nil || errors.Is(err, ErrSnapshotRefused):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case x.furthest > before:
			attempt = 1
		case attempt >= sendAttempts:
			return err
		}
		s.node.cfg.Logger.Debug("sending a snapshot was interrupted; going on", "to", x.to, "offset", x.furthest, "error", err)
		select {
		case <-time.After(s.node.cfg.Election): // time to reconnect
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// sendSnapshots starts to send what the core asks for.
func (l *loop) sendSnapshots(to []raft.NodeID) {
	for _, id := range to {
		l.node.senders.start(id, l.core.Term())
	}
}

// snapshotsEnded tells the core.
func (l *loop) snapshotsEnded(ended []*sending) {
	for _, x := range ended {
		if l.node.senders.ended(x) {
			l.core.SnapshotSent(x.to)
		}
	}
}
