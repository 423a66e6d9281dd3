package rpc

import (
	"context"
	"errors"
	"fmt"

	"balsa/raft/node"
)

// snapshotService is what a peer can call on a connection for a snapshot: one
// offer, chunks of what was offered, and the end. Whether they fit together is
// for the node to judge, which may have accepted another leader's offer in the
// meantime. What is checked here is that a connection speaks of nothing but the
// snapshot that it was made for.
//
// Chunks need no checksum besides that of their frame, which covers snapshot ID,
// offset, length, the mark of the last one and the data: CRC-32C notices any
// damage within 32 bits, and overlooks other damage once in four billion cases
// of those that TCP's own checksum has overlooked. What happens to the data
// before the frame is made and after it is read, on either side's disk, only the
// state machine's own checksums can tell, from one end to the other.
type snapshotService struct {
	in *inbound
	// id is what was offered, if anything was.
	id      node.SnapshotID
	offered bool
	// ended is the verdict by which the node ended the transfer, if it has.
	// What was under way already gets the same one, and does not reach the node.
	ended *verdict
}

// Offer asks whether, and from where on, a snapshot is wanted.
func (s *snapshotService) Offer(o *offer, v *verdict) (err error) {
	defer s.in.recovered(methodOffer, &err)
	t := s.in.t
	switch {
	case s.offered:
		return s.nonsense("a second offer on the same connection")
	case o.From != s.in.peer.Node || o.To != t.config.Node:
		return s.nonsense("a snapshot from %s to %s on the connection from %s to %s", o.From, o.To, s.in.peer.Node, t.config.Node)
	}
	s.id, s.offered = o.ID, true
	return s.ask(v, opinionWanted, func(ctx context.Context) (err error) {
		v.Position, err = t.config.Handler.OfferSnapshot(ctx, *o)
		if n := len(v.Position.After); err == nil && n > node.MaxPosition {
			err = fmt.Errorf("%w: a position of %d bytes, at most %d are possible", ErrTooLarge, n, node.MaxPosition)
		}
		return err
	})
}

// Chunk hands a chunk to the node.
func (s *snapshotService) Chunk(p *piece, v *verdict) (err error) {
	defer s.in.recovered(methodChunk, &err)
	if !s.offered || p.ID != s.id {
		return s.nonsense("a chunk of a snapshot that was not offered here")
	}
	return s.ask(v, opinionTaken, func(ctx context.Context) error {
		err := s.in.t.config.Handler.SnapshotChunk(ctx, p.ID, p.Chunk)
		if err == nil {
			s.in.t.received.snapshotBytes.Add(uint64(len(p.Chunk.Data)))
		}
		return err
	})
}

// Finish returns when the node has the whole snapshot on disk.
func (s *snapshotService) Finish(id *finish, v *verdict) (err error) {
	defer s.in.recovered(methodFinish, &err)
	if !s.offered || *id != s.id {
		return s.nonsense("the end of a snapshot that was not offered here")
	}
	return s.ask(v, opinionTaken, func(ctx context.Context) error {
		err := s.in.t.config.Handler.FinishSnapshot(ctx, *id)
		if err == nil {
			s.in.t.received.snapshots.Add(1)
		}
		return err
	})
}

// ask calls the node when it is this connection's turn, and makes a verdict of
// what it says. Its own error means that the connection is over.
func (s *snapshotService) ask(v *verdict, content opinion, call func(context.Context) error) error {
	if s.ended != nil {
		*v = *s.ended
		return nil
	}
	t := s.in.t
	select {
	case t.receiving <- struct{}{}:
	case <-s.in.broken():
		return s.in.cause()
	}
	defer func() { <-t.receiving }()
	// Whoever has replaced this connection may have had its turn already.
	if err := s.in.cause(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.in.ctx, t.limits.SnapshotStall)
	defer cancel()
	err := call(ctx)
	switch {
	case err == nil:
		v.Opinion = content
		return nil
	case errors.Is(err, node.ErrSnapshotRefused):
		v.Opinion, v.Text = opinionRefused, err.Error()
	default:
		v.Opinion, v.Text = opinionFailed, err.Error()
	}
	s.ended = v
	return nil
}

// nonsense closes the connection: no healthy peer sends this.
func (s *snapshotService) nonsense(format string, args ...any) error {
	err := fmt.Errorf("%w: "+format, append([]any{errBadFrame}, args...)...)
	s.in.fail(err)
	return err
}
