package rpc

import (
	"context"
	"errors"
	"fmt"
	netrpc "net/rpc"
	"time"

	"balsa/raft/node"
)

// snapshotWindow is how many chunks may wait for the receiver to take them. Four
// of the usual size keep up the default rate as long as the way there, the disk
// and the way back take no more than 16 ms together. They wait in the buffers of
// the two kernels: the sending process holds one chunk, in the source's form and
// in that of a frame, and the receiving one holds one.
const snapshotWindow = 4

// SendSnapshot implements node.Transport. Each call makes a connection of its
// own: next to a snapshot a handshake costs nothing, and the end of ctx can
// simply close it. A second call to the same peer ends the first, because the
// peer takes the older connection for a dead one.
//
// If sent is not nil, it is told first where the receiver wants to begin, and
// then how far it has come, from the goroutine that called.
//
// Errors wrap node.ErrSnapshotRefused, [ErrReceiver], [ErrUnreachable] or
// [ErrConnectionLost] (each perhaps with a [*Refusal]), [ErrTooLarge],
// [ErrClosed], the cause of ctx's end, or are the source's. The source is not
// used any more once SendSnapshot has returned; it is not closed.
func (t *Transport) SendSnapshot(ctx context.Context, o node.SnapshotOffer, source node.SnapshotSource, sent func(offset uint64)) error {
	p := t.peer(o.To)
	if p == nil || !t.begin() {
		return ErrClosed
	}
	defer t.running.Done()
	ctx, release := t.untilClosed(ctx)
	defer release()
	p.counters.snapshotsOffered.Add(1)

	s, err := p.beginTransfer(ctx)
	if err == nil {
		defer s.close()
		err = s.send(o, source, sent)
	}
	switch {
	case err == nil:
		p.counters.snapshotsSent.Add(1)
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return fmt.Errorf("rpc: cannot send a snapshot to %s: %w", o.To, err)
}

// transfer is a connection for one snapshot, on the sending side.
type transfer struct {
	*clientCodec
	client *netrpc.Client
	peer   *peer
	pace   pace
	// close ends the connection and waits until nothing of it is left.
	close func()
}

// beginTransfer connects with a peer. The connection ends with ctx.
func (p *peer) beginTransfer(ctx context.Context) (*transfer, error) {
	c, err := p.connect(ctx, classSnapshot)
	if ctx.Err() == nil {
		p.report(err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	protocol, _ := protocolOf(classSnapshot)
	codec := newClientCodec(c, protocol)
	s := &transfer{
		clientCodec: codec,
		client:      netrpc.NewClientWithCodec(codec),
		peer:        p,
		pace:        pace{rate: p.t.config.SnapshotRate, longest: c.stall / 2},
	}
	release := p.t.supervise(c)
	stop := context.AfterFunc(ctx, func() { c.fail(context.Cause(ctx)) })
	s.close = func() {
		stop()
		s.client.Close()
		<-codec.ended
		release()
	}
	return s, nil
}

// underway is a call that waits for its verdict.
type underway struct {
	*netrpc.Call
	verdict *verdict
	// offset is how many bytes the receiver has when it has taken this.
	offset uint64
}

// send is the whole transfer.
func (s *transfer) send(o node.SnapshotOffer, source node.SnapshotSource, sent func(uint64)) error {
	if sent == nil {
		sent = func(uint64) {}
	}
	v, err := s.await(s.call(methodOffer, &o), opinionWanted)
	if err != nil {
		return err
	}
	sent(v.Position.Offset)
	if err := source.Seek(v.Position); err != nil {
		return fmt.Errorf("cannot go on from offset %d: %w", v.Position.Offset, err)
	}
	if err := s.chunks(o.ID, source, sent); err != nil {
		return err
	}
	_, err = s.await(s.call(methodFinish, &o.ID), opinionTaken)
	return err
}

// chunks sends the source's chunks until the receiver has taken all of them.
func (s *transfer) chunks(id node.SnapshotID, source node.SnapshotSource, sent func(uint64)) error {
	var waiting []underway
	for last := false; ; {
		for len(waiting) > 0 && (last || len(waiting) == snapshotWindow || len(waiting[0].Done) > 0) {
			if _, err := s.await(waiting[0], opinionTaken); err != nil {
				return err
			}
			sent(waiting[0].offset)
			waiting = waiting[1:]
		}
		if last {
			return nil
		}
		chunk, err := source.Next()
		if err != nil {
			return fmt.Errorf("cannot read the next chunk: %w", err)
		}
		if err := s.rest(s.pace.pause(len(chunk.Data), time.Now())); err != nil {
			return err
		}
		// The chunk is encoded before call returns: its data is free again.
		call := s.call(methodChunk, &piece{ID: id, Chunk: chunk})
		call.offset = chunk.Offset + uint64(len(chunk.Data))
		waiting = append(waiting, call)
		last = chunk.Last
		s.peer.counters.snapshotBytesSent.Add(uint64(len(chunk.Data)))
	}
}

func (s *transfer) call(method string, args any) underway {
	v := new(verdict)
	return underway{Call: s.client.Go(method, args, v, make(chan *netrpc.Call, 1)), verdict: v}
}

// await waits for a verdict and returns it if it is the hoped-for one.
func (s *transfer) await(call underway, hoped opinion) (*verdict, error) {
	stalled := time.AfterFunc(s.stall, func() { s.fail(errStalled) })
	defer stalled.Stop()
	<-call.Done // comes at the latest when the connection is closed
	if errors.Is(call.Error, ErrTooLarge) {
		return nil, call.Error
	}
	if call.Error != nil {
		return nil, s.lost()
	}
	switch v := call.verdict; v.Opinion {
	case hoped:
		return v, nil
	case opinionRefused:
		return nil, notWanted{v.Text}
	case opinionFailed:
		return nil, fmt.Errorf("%w: %s", ErrReceiver, v.Text)
	default:
		s.fail(fmt.Errorf("%w: verdict %d in answer to %s", errBadFrame, v.Opinion, call.ServiceMethod))
		return nil, s.lost()
	}
}

// lost says why the connection is closed.
func (s *transfer) lost() error { return fmt.Errorf("%w: %w", ErrConnectionLost, s.cause()) }

// notWanted is node.ErrSnapshotRefused in the words of the receiver, which say
// why.
type notWanted struct{ text string }

func (e notWanted) Error() string { return e.text }

func (e notWanted) Unwrap() error { return node.ErrSnapshotRefused }

// rest waits for a pause to end.
func (s *transfer) rest(pause time.Duration) error {
	if pause <= 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.broken():
		return s.lost()
	}
}

// pace spreads a transfer over time, so that it leaves room for everything else
// that shares networks, disks and processors with it.
type pace struct {
	// rate is in bytes per second; a negative one sets no limit.
	rate int64
	// longest bounds a single pause, however long the chunk and low the rate:
	// the receiver must not take the sender for dead.
	longest time.Duration
	// due is when the next chunk may go.
	due time.Time
}

// leeway is how much of the time that a transfer has lost it may make up for:
// enough that timers which fire a little late do not lower the rate, and not so
// much that a receiver which was busy for a while is then flooded.
const leeway = 10 * time.Millisecond

// pause returns how long to wait before a chunk of so many bytes is sent.
func (p *pace) pause(bytes int, now time.Time) time.Duration {
	if p.rate < 0 {
		return 0
	}
	if earliest := now.Add(-leeway); p.due.Before(earliest) {
		p.due = earliest
	}
	wait := min(p.due.Sub(now), p.longest)
	p.due = p.due.Add(time.Duration(int64(bytes) * int64(time.Second) / p.rate))
	return wait
}
