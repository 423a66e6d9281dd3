package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is a connection after its handshake. It lives as long as its context.
type conn struct {
	nc     net.Conn
	peer   Identity
	writer *frameWriter
	ctx    context.Context
	end    context.CancelCauseFunc
	// stall bounds how long a write, or the arrival of the rest of a frame, may
	// make no progress.
	stall time.Duration
	// dismissal is why this node ends the connection, if it does: see
	// dismiss.go.
	dismissal atomic.Pointer[Refusal]
}

// newConn makes a connection that is closed when fail is called or parent ends,
// whichever is first.
func newConn(parent context.Context, nc net.Conn, peer Identity, stall time.Duration) *conn {
	ctx, end := context.WithCancelCause(parent)
	context.AfterFunc(ctx, func() { nc.Close() })
	c := &conn{nc: nc, peer: peer, ctx: ctx, end: end, stall: stall}
	c.writer = newFrameWriter(c)
	return c
}

// fail closes the connection. The first cause is kept, unless the connection was
// being dismissed: then that is what made the peer close it.
func (c *conn) fail(cause error) {
	if cause == io.EOF {
		cause = errClosedByPeer
	}
	if refusal := c.dismissal.Load(); refusal != nil {
		cause = refusal
	}
	c.end(cause)
	c.nc.Close()
}

// broken is closed when the connection is.
func (c *conn) broken() <-chan struct{} { return c.ctx.Done() }

// cause says why the connection is closed, or nil while it is not.
func (c *conn) cause() error { return context.Cause(c.ctx) }

// writeStep is how much must leave within one stall timeout. Most frames are
// shorter and take one system call.
const writeStep = 1 << 20

// write sends all of b, or closes the connection: after a write that broke off
// nobody could tell where the next frame begins.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		step := b[:min(len(b), writeStep)]
		c.nc.SetWriteDeadline(time.Now().Add(c.stall))
		n, err := c.nc.Write(step)
		if err != nil {
			c.fail(err)
			return c.cause()
		}
		b = b[n:]
	}
	return nil
}

// frameWriter collects frames and writes as many as there are at once. Any
// goroutine may put and flush.
type frameWriter struct {
	conn *conn
	// writing is held while something is written: frames must not mix.
	writing sync.Mutex
	// room is signalled after each flush.
	room chan struct{}
	// waiting is signalled after each put.
	waiting chan struct{}

	mu      sync.Mutex
	pending []byte
	// spare is the buffer of the last flush, to be filled again.
	spare []byte
}

const (
	// maxPending is how many bytes may wait before put refuses more.
	maxPending = 8 << 20
	// maxSpare is the largest buffer that is kept for reuse.
	maxSpare = 8 << 20
)

// errFull says that too much waits to be written already.
var errFull = errors.New("too much waits to be written to the peer")

func newFrameWriter(c *conn) *frameWriter {
	return &frameWriter{conn: c, room: make(chan struct{}, 1), waiting: make(chan struct{}, 1)}
}

// put encodes a frame. If it returns an error, nothing of the frame will ever
// be written.
func (w *frameWriter) put(kind frameKind, sequence uint64, limit int, content any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.conn.cause(); err != nil {
		return err
	}
	if len(w.pending) >= maxPending {
		return errFull
	}
	var err error
	if w.pending, err = appendFrame(w.pending, kind, sequence, limit, content); err != nil {
		return err
	}
	signal(w.waiting)
	return nil
}

// flush writes what was put. An error means that the connection is closed.
func (w *frameWriter) flush() error {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	out := w.pending
	w.pending, w.spare = w.spare[:0], nil
	w.mu.Unlock()

	err := w.conn.write(out)
	if cap(out) <= maxSpare {
		w.mu.Lock()
		w.spare = out
		w.mu.Unlock()
	}
	signal(w.room)
	return err
}

// run flushes whenever something was put, until the connection is closed. While
// one write is under way the frames for the next collect, so that under load
// many of them share a system call and an idle connection waits for none.
func (w *frameWriter) run() {
	for {
		select {
		case <-w.waiting:
			if w.flush() != nil {
				return
			}
		case <-w.conn.broken():
			return
		}
	}
}

// signal makes a channel of capacity one ready, if it is not already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
