package rpc

import (
	"context"
	"errors"
	"fmt"
	netrpc "net/rpc"
	"sync"
	"time"

	"balsa/raft"
)

// Forward has a peer execute a command and returns its reply. The command is
// not used any more once Forward has returned.
//
// If err is not nil, sent says what the caller may conclude. False means that
// the peer has certainly not received the command: it may be given to another
// one. True means that the peer may or may not have received and executed it.
//
// Errors wrap [ErrUnreachable] (and perhaps a [*Refusal]), [ErrBusy],
// [ErrTooLarge], [ErrReplyTooLarge], [ErrConnectionLost], [ErrClosed], or are
// those of ctx. However long ctx lasts, Forward ends after [Limits.Command].
func (t *Transport) Forward(ctx context.Context, to raft.NodeID, command []byte) (reply []byte, sent bool, err error) {
	if len(command) > MaxCommand {
		return nil, false, fmt.Errorf("%w: a command of %d bytes, at most %d are possible", ErrTooLarge, len(command), MaxCommand)
	}
	deadline := time.Now().Add(t.limits.Command)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	p := t.peer(to)
	if p == nil || t.ctx.Err() != nil {
		return nil, false, ErrClosed
	}
	codec, err := p.forwarder.connection(ctx)
	if err != nil {
		return nil, false, err
	}
	return codec.forward(ctx, deadline, command)
}

// forwarder keeps the connection for commands to one peer. It is made by the
// first command that needs it.
type forwarder struct {
	peer *peer

	mu sync.Mutex
	// current is the last connection that was made, perhaps broken by now.
	current *forwarding
	// attempt is closed when the attempt to connect ends that is under way; it
	// is nil if none is.
	attempt chan struct{}
	// failure is why the last attempt failed, and notBefore when to try again.
	failure   error
	notBefore time.Time
	pause     backoff
}

// connection returns a connection that is not known to be broken. While the
// peer is being dialled, everybody waits for the one attempt; in the pause after
// a failed one, everybody learns at once why it failed. Errors mean that nothing
// was sent.
func (f *forwarder) connection(ctx context.Context) (*forwarding, error) {
	for {
		f.mu.Lock()
		if f.current != nil && f.current.cause() == nil {
			defer f.mu.Unlock()
			return f.current, nil
		}
		if f.attempt == nil {
			if time.Now().Before(f.notBefore) {
				defer f.mu.Unlock()
				return nil, fmt.Errorf("%w: %w", ErrUnreachable, f.failure)
			}
			f.attempt = make(chan struct{})
			if !f.peer.t.start(f.connect) {
				f.attempt = nil
				f.mu.Unlock()
				return nil, ErrClosed
			}
		}
		attempt := f.attempt
		f.mu.Unlock()
		select {
		case <-attempt:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// connect makes one attempt to connect and, if it succeeds, writes what is
// forwarded for as long as the connection holds.
func (f *forwarder) connect() {
	t := f.peer.t
	c, err := f.peer.connect(t.ctx, classCommands)
	f.peer.report(err)
	var made *forwarding
	if err == nil {
		made = newForwarding(c, t.limits)
		defer t.supervise(c)()
	}
	f.mu.Lock()
	if err == nil {
		f.current = made
		f.pause.reset()
	} else {
		f.failure = err
		f.notBefore = time.Now().Add(f.pause.delay())
	}
	close(f.attempt)
	f.attempt = nil
	f.mu.Unlock()
	if made != nil {
		made.writer.run()
		<-made.ended
	}
}

// isBack ends the pause after a failed attempt.
func (f *forwarder) isBack() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notBefore = time.Time{}
	f.pause.reset()
}

// forwarding is an established connection for commands.
type forwarding struct {
	*clientCodec
	client *netrpc.Client
	limits Limits
}

func newForwarding(c *conn, limits Limits) *forwarding {
	p, _ := protocolOf(classCommands)
	codec := newClientCodec(c, p)
	codec.flushed = true
	codec.gate = newGate(limits.Commands, commandBytes)
	return &forwarding{
		clientCodec: codec,
		client:      netrpc.NewClientWithCodec(codec),
		limits:      limits,
	}
}

// forward makes one call. The error of net/rpc is only asked whether the
// request was sent; the connection knows better what went wrong.
func (c *forwarding) forward(ctx context.Context, deadline time.Time, payload []byte) (reply []byte, sent bool, err error) {
	timeout := time.Until(deadline)
	switch {
	case ctx.Err() != nil:
		return nil, false, ctx.Err()
	case timeout <= 0:
		return nil, false, context.DeadlineExceeded
	case !c.gate.tryEnter(cost(payload)):
		return nil, false, ErrBusy
	}
	answer := result{cost: cost(payload)}
	call := c.client.Go(methodExecute, &command{Timeout: timeout, Payload: payload}, &answer, make(chan *netrpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		// The reply object stays with the call: net/rpc may write to it at any
		// time until the connection is closed.
		c.expectAnswer(call, deadline)
		return nil, true, ctx.Err()
	}
	_, unsent := errors.AsType[unsentError](call.Error)
	switch {
	case call.Error == nil && answer.Status == statusReplyTooLarge:
		return nil, true, ErrReplyTooLarge
	case call.Error == nil:
		return answer.Payload, true, nil
	case errors.Is(call.Error, errFull):
		c.gate.leave(cost(payload))
		return nil, false, ErrBusy
	case unsent, call.Error == netrpc.ErrShutdown:
		return nil, false, fmt.Errorf("%w: %w", ErrUnreachable, c.reason())
	}
	return nil, true, fmt.Errorf("%w: %w", ErrConnectionLost, c.reason())
}

// reason is why the connection broke.
func (c *forwarding) reason() error {
	if err := c.cause(); err != nil {
		return err
	}
	return errClosedByPeer
}

// expectAnswer closes the connection if a call that nobody waits for any more
// has no answer well after its deadline. The peer gives up at the deadline too,
// and says so: if it does not, it hangs or is gone, and its other callers should
// know.
func (c *forwarding) expectAnswer(call *netrpc.Call, deadline time.Time) {
	time.AfterFunc(time.Until(deadline)+c.limits.Stall, func() {
		if len(call.Done) == 0 {
			c.fail(errStalled)
		}
	})
}
