package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"balsa/raft"
)

// receiver takes in the snapshots that leaders offer, one at a time. It is
// called by the transport's goroutines and does all the work on the disk there.
// What has arrived completely is handed to the loop:
//
//	receiver ---> loop: core wants it? ---> applier: Install ---> loop
//	                         | no
//	                         +---> Discard
//
// From then on and until that is over, new offers are refused.
type receiver struct {
	node *Node

	mu sync.Mutex // held while the state machine works on current
	// current is the snapshot that is arriving, or nil.
	current *reception
	// handedOver says that the loop has a snapshot that is neither installed nor
	// thrown away.
	handedOver atomic.Bool
	// progress is that of the snapshot that was accepted last, or nil.
	progress atomic.Pointer[SnapshotProgress]
}

// reception is a snapshot that is arriving, or has arrived.
type reception struct {
	offer SnapshotOffer
	sink  SnapshotSink
	// failed is what went wrong with the sink. It may have been a full disk; the
	// next offer asks the state machine what is there of the snapshot.
	failed error
}

// OfferSnapshot accepts or refuses a snapshot, see [SnapshotReceiver]. Beside
// ErrSnapshotRefused, wrapped with the reason, it returns the errors of
// [StateMachine].Receive, and ErrStopped.
func (n *Node) OfferSnapshot(ctx context.Context, offer SnapshotOffer) (Position, error) {
	r := n.receiver
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return Position{}, err // an offer that nobody waits for must not replace another one
	}
	if err := r.unwanted(offer); err != nil {
		return Position{}, err
	}
	if c := r.current; c != nil && c.offer.ID == offer.ID && c.failed == nil {
		return c.sink.Position(), nil
	}
	r.current = nil // Receive takes the sink away
	sink, err := n.cfg.StateMachine.Receive(offer)
	if err != nil {
		return Position{}, fmt.Errorf("node: cannot receive a snapshot: %w", err)
	}
	r.current = &reception{offer: offer, sink: sink}
	position := sink.Position()
	r.report()
	n.cfg.Logger.Info("receiving a snapshot", "from", offer.From, "last", offer.Snapshot.Last.Index,
		"offset", position.Offset, "bytes", offer.Size)
	return position, nil
}

// unwanted returns why an offer is refused, or nil.
func (r *receiver) unwanted(offer SnapshotOffer) error {
	n, last := r.node, offer.Snapshot.Last
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrSnapshotRefused, fmt.Sprintf(format, args...))
	}
	switch term, commit := raft.Term(n.term.Load()), raft.Index(n.commitIndex.Load()); {
	case n.isStopping():
		return ErrStopped
	case offer.To != n.cfg.ID:
		return refused("it is for %s, this is %s", offer.To, n.cfg.ID)
	case last.Term > offer.Term:
		return refused("it ends with %s, and is offered in term %d", last, offer.Term)
	case offer.Term < term:
		return refused("the leader of term %d offers it, the term is %d", offer.Term, term)
	case last.Index <= commit:
		return refused("it ends with entry %d, %d is committed here", last.Index, commit)
	case r.handedOver.Load():
		return refused("another one is being installed")
	}
	c := r.current
	if c == nil || c.offer.ID == offer.ID {
		return nil
	}
	if offer.Term < c.offer.Term || offer.Term == c.offer.Term && last.Index < c.offer.Snapshot.Last.Index {
		return refused("one of entry %d, term %d is arriving, which is newer", c.offer.Snapshot.Last.Index, c.offer.Term)
	}
	return nil
}

// SnapshotChunk takes a piece of the snapshot that was accepted last, see
// [SnapshotReceiver]. Beside ErrSnapshotRefused it returns the errors of the
// state machine's sink; after one of those the snapshot must be offered again.
func (n *Node) SnapshotChunk(_ context.Context, id SnapshotID, chunk Chunk) error {
	r := n.receiver
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.arriving(id)
	if err != nil {
		return err
	}
	if len(chunk.Data) > MaxChunk {
		return fmt.Errorf("node: a chunk has %d bytes, more than %d", len(chunk.Data), MaxChunk)
	}
	if err := c.sink.Write(chunk); err != nil {
		return r.fail(c, err)
	}
	r.report()
	return nil
}

// FinishSnapshot takes note that all chunks have been sent, see
// [SnapshotReceiver]. It fails like SnapshotChunk.
func (n *Node) FinishSnapshot(_ context.Context, id SnapshotID) error {
	r := n.receiver
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := r.arriving(id)
	if err != nil {
		return err
	}
	if err := c.sink.Finish(); err != nil {
		return r.fail(c, err)
	}
	r.current = nil // from here on it is the loop's
	r.handedOver.Store(true)
	return n.inbox.snapshotReceived(c)
}

// arriving returns the snapshot that is arriving if it has the given id.
func (r *receiver) arriving(id SnapshotID) (*reception, error) {
	switch c := r.current; {
	case r.node.isStopping():
		return nil, ErrStopped
	case c == nil || c.offer.ID != id:
		return nil, fmt.Errorf("%w: it was not offered, or another one was", ErrSnapshotRefused)
	case c.failed != nil:
		return nil, c.failed
	default:
		return c, nil
	}
}

// fail takes note that the sink did not take something.
func (r *receiver) fail(c *reception, err error) error {
	c.failed = fmt.Errorf("node: receiving a snapshot failed: %w", err)
	r.node.cfg.Logger.Warn("receiving a snapshot failed; it goes on where it was when it is offered again",
		"from", c.offer.From, "offset", c.sink.Position().Offset, "error", err)
	return c.failed
}

// report lets others see how far the snapshot has come.
func (r *receiver) report() {
	c := r.current
	r.progress.Store(&SnapshotProgress{
		From: c.offer.From, Snapshot: c.offer.Snapshot,
		Offset: c.sink.Position().Offset, Size: c.offer.Size,
	})
}

// discard throws away a snapshot that the core does not want.
func (r *receiver) discard(c *reception) {
	if err := c.sink.Discard(); err != nil {
		r.node.cfg.Logger.Warn("cannot delete a snapshot that is not wanted", "error", err)
	}
	r.over()
}

// over takes note that the snapshot that was handed over is installed or thrown
// away.
func (r *receiver) over() {
	r.progress.Store(nil)
	r.handedOver.Store(false)
}

// close waits for the calls that are under way. Later ones are refused, as the
// node is stopping by then.
func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = nil
}

// snapshotsReceived passes on snapshots that have arrived. It is as if the
// message of §7 had come in one piece.
func (l *loop) snapshotsReceived(received []*reception) {
	for _, c := range received {
		offer := c.offer
		l.core.Step(raft.Message{
			From: offer.From, To: offer.To, Term: offer.Term,
			Body: &raft.InstallSnapshot{Snapshot: offer.Snapshot},
		})
		if wanted, ok := l.core.Installing(); ok && wanted.Last == offer.Snapshot.Last {
			l.installing = c
			continue
		}
		l.publish() // that it is committed, before it is offered again
		l.node.goroutines.Go(func() { l.node.receiver.discard(c) })
	}
}

// install has the state machine replaced, when the core says that it is time. It
// can only be the snapshot that was handed over: there is one at a time, and the
// core hears of it by snapshotsReceived alone.
func (l *loop) install(snapshot *raft.Snapshot) {
	if snapshot != nil {
		l.node.apply.add(applyJob{install: l.installing})
	}
}

// snapshotInstalled tells the core that the state machine is the snapshot's, and
// those who wait for an entry before its end.
func (l *loop) snapshotInstalled() {
	last := l.installing.offer.Snapshot.Last.Index
	l.installing = nil
	l.core.Installed()
	l.waiters.covered(last)
	l.reads.applied(last)
	l.publish() // that it is committed, before it is offered again
	l.node.receiver.over()
}

// installSnapshot is what the applier does for it.
func (n *Node) installSnapshot(c *reception) error {
	if err := n.cfg.StateMachine.Install(c.sink); err != nil {
		return fmt.Errorf("installing a snapshot failed: %w", err)
	}
	n.appliedIndex.Store(uint64(c.offer.Snapshot.Last.Index))
	n.inbox.snapshotInstalled()
	return nil
}

// Snapshots says how far the snapshots have come that are on their way from this
// node or to it; one that waits for its turn to be sent has neither Snapshot nor
// Size. It costs little and waits for nothing.
func (n *Node) Snapshots() []SnapshotProgress {
	all := n.senders.progress()
	// What has broken off is of no interest any more once the log has brought
	// the same.
	if p := n.receiver.progress.Load(); p != nil && p.Snapshot.Last.Index > raft.Index(n.commitIndex.Load()) {
		all = append(all, *p)
	}
	return all
}

var _ SnapshotReceiver = (*Node)(nil)
