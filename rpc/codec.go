package rpc

import (
	"errors"
	"fmt"
	"io"
	netrpc "net/rpc"
)

// clientCodec is the dialling side's net/rpc codec.
type clientCodec struct {
	*conn
	protocol protocol
	reader   *frameReader
	// flushed says that a goroutine of its own flushes the writer. Otherwise
	// each request is written by whoever makes it.
	flushed bool
	// gate bounds the requests that wait for a reply, or is nil where the caller
	// counts for itself.
	gate *gate
	// body is the reply's, between ReadResponseHeader and ReadResponseBody.
	body []byte
	// ended is closed when net/rpc's reading goroutine is about to end.
	ended chan struct{}
}

func newClientCodec(c *conn, p protocol) *clientCodec {
	return &clientCodec{
		conn:     c,
		protocol: p,
		reader:   newFrameReader(c.nc, p.buffer, p.replies(), c.stall),
		ended:    make(chan struct{}),
	}
}

// unsentError says that nothing of a request reached the network.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

// WriteRequest implements [netrpc.ClientCodec]. net/rpc calls it for one
// request at a time.
func (c *clientCodec) WriteRequest(r *netrpc.Request, args any) error {
	m := c.protocol.named(r.ServiceMethod)
	if err := c.writer.put(m.request, r.Seq, m.maxRequest, args); err != nil {
		return unsentError{err}
	}
	if c.flushed {
		return nil
	}
	return c.writer.flush()
}

// ReadResponseHeader implements [netrpc.ClientCodec]. It reads the whole frame,
// so that everything that can be wrong with one is found in one place. It never
// returns io.EOF: net/rpc would turn that into the error that it also gives to
// calls that were never sent.
func (c *clientCodec) ReadResponseHeader(r *netrpc.Response) error {
	f, err := c.reader.next()
	if err == nil && f.kind == frameRefusal {
		err = c.refusalIn(f)
	}
	if err != nil {
		return c.stop(err)
	}
	r.Seq, c.body = f.sequence, f.body
	return nil
}

// ReadResponseBody implements [netrpc.ClientCodec]. net/rpc passes nil for a
// reply that nobody asked for.
func (c *clientCodec) ReadResponseBody(reply any) error {
	body := c.body
	c.body = nil
	if reply == nil {
		return c.stop(fmt.Errorf("%w: a reply to no request", errBadFrame))
	}
	if err := decodeBody(body, reply); err != nil {
		return c.stop(err)
	}
	if r, ok := reply.(*result); ok {
		c.gate.leave(r.cost)
	}
	return nil
}

// Close implements [netrpc.ClientCodec].
func (c *clientCodec) Close() error {
	c.fail(ErrClosed)
	return nil
}

// stop ends the connection from within net/rpc's reading goroutine, which ends
// at the first error.
func (c *clientCodec) stop(err error) error {
	c.fail(err)
	close(c.ended)
	return fmt.Errorf("%w: %w", ErrConnectionLost, c.cause())
}

// serverCodec is the accepting side's net/rpc codec.
type serverCodec struct {
	*conn
	protocol protocol
	reader   *frameReader
	// flushed says that a goroutine of its own flushes the writer. Otherwise
	// replies wait until the reader is about to block: as long as requests are
	// here already, their replies share a system call.
	flushed bool
	// gate bounds the requests that are under way, or is nil where the server
	// serves one at a time anyway.
	gate *gate
	// body is the request's, between ReadRequestHeader and ReadRequestBody.
	body []byte
	// received counts frames and their bytes.
	received func(bytes int)
}

func newServerCodec(c *conn, p protocol) *serverCodec {
	return &serverCodec{
		conn:     c,
		protocol: p,
		reader:   newFrameReader(c.nc, p.buffer, p.requests(), c.stall),
	}
}

// ReadRequestHeader implements [netrpc.ServerCodec]. It reads the whole frame.
// The reason of a failure is kept as the connection's cause; net/rpc only needs
// to know that it is over.
func (c *serverCodec) ReadRequestHeader(r *netrpc.Request) error {
	if c.gate != nil && !c.gate.wait(c.broken()) {
		return io.EOF
	}
	if !c.flushed && !c.reader.buffered() && c.writer.flush() != nil {
		return io.EOF
	}
	f, err := c.reader.next()
	if err == nil && f.kind == frameRefusal {
		err = c.refusalIn(f)
	}
	if err != nil {
		c.fail(err)
		return io.EOF
	}
	c.received(frameHeader + len(f.body))
	if c.gate != nil {
		c.gate.enter(len(f.body))
	}
	r.ServiceMethod = c.protocol.requestedBy(f.kind)
	r.Seq, c.body = f.sequence, f.body
	return nil
}

// ReadRequestBody implements [netrpc.ServerCodec].
func (c *serverCodec) ReadRequestBody(args any) error {
	body := c.body
	c.body = nil
	err := decodeBody(body, args)
	if err != nil {
		c.fail(err)
	}
	return err
}

// WriteResponse implements [netrpc.ServerCodec]. net/rpc calls it for one
// response at a time. An error of a method is an error of the peer or of this
// program, not an answer: it ends the connection.
func (c *serverCodec) WriteResponse(r *netrpc.Response, reply any) error {
	if r.Error != "" {
		c.fail(errors.New(r.Error))
		return c.cause()
	}
	if res, ok := reply.(*result); ok {
		defer c.gate.leave(res.cost)
	}
	for {
		err := c.writer.put(c.protocol.reply, r.Seq, c.protocol.maxReply, reply)
		if !errors.Is(err, errFull) {
			return err
		}
		select {
		case <-c.writer.room:
		case <-c.broken():
			return c.cause()
		}
	}
}

// Close implements [netrpc.ServerCodec].
func (c *serverCodec) Close() error {
	c.fail(io.EOF)
	return nil
}
