package rpc

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

func TestCommandsAreBoundedInBytesToo(t *testing.T) {
	g := newGate(100, 1000)
	for range 2 {
		if !g.tryEnter(600) {
			t.Fatal("the gate closed too early")
		}
	}
	if g.tryEnter(1) {
		t.Error("the gate is open with 1200 of 1000 bytes inside")
	}
	broken := make(chan struct{})
	passed := make(chan bool, 1)
	go func() { passed <- g.wait(broken) }()
	g.leave(600)
	if !receive(t, "the gate opens", passed) {
		t.Error("wait says that the connection broke")
	}
	g.enter(5000)
	go func() { passed <- g.wait(broken) }()
	close(broken)
	if receive(t, "the wait ends with the connection", passed) {
		t.Error("wait says that the gate is open")
	}
}

func TestFramesThatWaitShareOneWrite(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	counting := &countingConn{Conn: client}
	c := newConn(t.Context(), counting, Identity{}, patience)
	w := c.writer
	done := make(chan struct{})
	go func() { defer close(done); w.run() }()
	const frames = 100
	for i := range uint64(frames) {
		if err := w.put(frameQuestion, i, MaxQuestion, &note{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	r := readerOf(nil)
	r.buf = bufio.NewReader(server) // a pipe writes only while somebody reads
	for i := range uint64(frames) {
		if f, err := r.next(); err != nil || f.sequence != i {
			t.Fatalf("frame %d: %+v, %v", i, f, err)
		}
	}
	if n := counting.writes.Load(); n > 2 {
		t.Errorf("%d frames took %d writes, want one for the first and one for those that came during it", frames, n)
	}
	c.fail(io.EOF)
	receive(t, "the writer ends", done)
	if err := w.put(frameQuestion, 0, MaxQuestion, &note{}); !errors.Is(err, errClosedByPeer) {
		t.Errorf("put on a closed connection: %v", err)
	}
}

func TestWhatWaitsToBeWrittenIsBounded(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	w := newConn(t.Context(), client, Identity{}, patience).writer
	big := note(make([]byte, MaxQuestion))
	var err error
	for err == nil {
		err = w.put(frameQuestion, 0, MaxQuestion, &big)
	}
	if !errors.Is(err, errFull) || len(w.pending) > maxPending+MaxQuestion+frameHeader {
		t.Errorf("%v with %d bytes pending", err, len(w.pending))
	}
}

// countingConn counts the writes to a connection.
type countingConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}
