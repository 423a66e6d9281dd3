package rpc

import (
	"context"
	"fmt"
	netrpc "net/rpc"

	"balsa/raft"
)

// Ask puts a question to whatever node listens at an address, and says who
// answered. It is the one thing that is possible between nodes of which one has
// no cluster yet; if both have one, it must be the same. Each question has a
// connection of its own and counts on no earlier one.
//
// Errors wrap a [*Refusal] if there is a node that will not answer (with
// [SelfConnection] if it is this one), [ErrTooLarge], [ErrClosed], or say why
// nobody could be reached. The Identity is valid whenever its Node is not zero.
func (t *Transport) Ask(ctx context.Context, addr string, question []byte) (answer []byte, peer Identity, err error) {
	if len(question) > MaxQuestion {
		return nil, Identity{}, fmt.Errorf("%w: a question of %d bytes, at most %d are possible", ErrTooLarge, len(question), MaxQuestion)
	}
	if !t.begin() {
		return nil, Identity{}, ErrClosed
	}
	defer t.running.Done()
	ctx, release := t.untilClosed(ctx)
	defer release()

	c, peer, err := t.connect(ctx, classQuestion, raft.None, addr)
	if err != nil {
		return nil, peer, fmt.Errorf("rpc: cannot ask %s: %w", addr, err)
	}
	p, _ := protocolOf(classQuestion)
	codec := newClientCodec(c, p)
	client := netrpc.NewClientWithCodec(codec)
	defer func() { client.Close(); <-codec.ended }()
	var reply note
	call := client.Go(methodAnswer, &question, &reply, make(chan *netrpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		return nil, peer, fmt.Errorf("rpc: no answer from %s: %w", addr, context.Cause(ctx))
	}
	if call.Error != nil {
		return nil, peer, fmt.Errorf("rpc: no answer from %s: %w", addr, codec.cause())
	}
	return reply, peer, nil
}
