package rpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa/raft"
)

func TestMessagesArriveInOrderAndShareCalls(t *testing.T) {
	const total = 20_000
	d := newDirectory()
	hold := make(chan struct{})
	receiver := &host{deliver: func([]raft.Message) { <-hold }}
	b := start(t, d, 2, receiver)
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.QueueMessages = total })

	for i := range uint64(total) {
		a.Send([]raft.Message{numbered(1, 2, i)})
	}
	close(hold)
	eventually(t, "all messages arrive", func() bool { return len(receiver.ids()) == total })
	for i, id := range receiver.ids() {
		if id != uint64(i) {
			t.Fatalf("message %d arrived in place %d", id, i)
		}
	}
	stats := a.Stats().Peers[2]
	if stats.MessagesSent != total || stats.MessagesDropped != 0 || stats.CallsSent > total/100 {
		t.Errorf("sent %+v, want %d messages in a few calls", stats, total)
	}
	if got := b.Stats(); got.MessagesReceived != total || got.CallsReceived != stats.CallsSent || got.BytesReceived == 0 {
		t.Errorf("received %+v, want what was sent: %+v", got, stats)
	}
}

func TestEntriesSurviveTheTransport(t *testing.T) {
	d := newDirectory()
	receiver := &host{}
	start(t, d, 2, receiver)
	a := start(t, d, 1, &host{})

	small := appendEntries(1, 2, 3, 100)
	large := raft.Message{From: 1, To: 2, Term: 7, Body: &raft.AppendEntries{
		Prev:    raft.EntryID{Term: 7, Index: 3},
		Entries: []raft.Entry{raft.NewEntry(raft.EntryID{Term: 7, Index: 4}, raft.EntryCommand, make([]byte, 6<<20))},
	}}
	a.Send([]raft.Message{small, large, small})
	eventually(t, "three messages arrive", func() bool {
		receiver.mu.Lock()
		defer receiver.mu.Unlock()
		return len(receiver.received) == 3
	})
	for i, want := range []raft.Message{small, large, small} {
		got := receiver.received[i]
		if !slices.Equal(got.AppendTo(nil), want.AppendTo(nil)) {
			t.Errorf("message %d arrived as %s, was sent as %s", i, got, want)
		}
	}
}

// Trap 36.
func TestReceivedMessagesDoNotShareMemoryWithLaterFrames(t *testing.T) {
	d := newDirectory()
	receiver := &host{}
	start(t, d, 2, receiver)
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.BatchBytes = 1 })
	for i := range uint64(50) {
		m := appendEntries(1, 2, 4, 64)
		m.Body.(*raft.AppendEntries).Round = i
		a.Send([]raft.Message{m})
	}
	eventually(t, "all arrive", func() bool {
		receiver.mu.Lock()
		defer receiver.mu.Unlock()
		return len(receiver.received) == 50
	})
	for i, m := range receiver.received {
		again, err := raft.DecodeMessage(m.AppendTo(nil))
		if err != nil || again.Body.(*raft.AppendEntries).Round != uint64(i) {
			t.Errorf("message %d was overwritten: %v", i, err)
		}
	}
}

func TestACallIsOneWrite(t *testing.T) {
	d := newDirectory()
	var made atomic.Pointer[countingConn]
	b := start(t, d, 2, &host{})
	a := start(t, d, 1, &host{}, func(c *Config) {
		dialer := &net.Dialer{}
		c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := dialer.DialContext(ctx, "tcp", addr)
			made.Store(&countingConn{Conn: nc})
			return made.Load(), err
		}
	})
	for i := range uint64(20) {
		a.Send([]raft.Message{appendEntries(1, 2, 64, 128), numbered(1, 2, i)})
		eventually(t, "it arrives", func() bool { return b.Stats().MessagesReceived == 2*(i+1) })
	}
	const greeting = 1
	if writes, calls := made.Load().writes.Load(), int64(a.Stats().Peers[2].CallsSent); writes != greeting+calls {
		t.Errorf("%d calls took %d writes besides the greeting", calls, writes-greeting)
	}
}

func TestAcknowledgementsOfRequestsThatArriveTogetherShareAWrite(t *testing.T) {
	d := newDirectory()
	l := &countingListener{Listener: listen(t)}
	a := start(t, d, 1, &host{}, func(c *Config) { c.Listener = l })
	c := rawHello(t, a.addr, hello{class: classRaft, from: identityOf(2), to: 1})
	const requests = 50
	var together []byte
	for i := range uint64(requests) {
		together = append(together, mustFrame(t, frameDeliver, i, &batch{numbered(2, 1, i)})...)
	}
	c.send(together)
	r := readerOf(nil)
	r.buf = bufio.NewReader(c)
	for i := range uint64(requests) {
		if f, err := r.next(); err != nil || f.kind != frameDelivered || f.sequence != i {
			t.Fatalf("acknowledgement %d: %+v, %v", i, f, err)
		}
	}
	if n := l.last.Load().writes.Load(); n > requests/2 {
		t.Errorf("%d acknowledgements took %d writes", requests, n)
	}
}

// countingListener counts the writes to the last connection that it accepted.
type countingListener struct {
	net.Listener
	last atomic.Pointer[countingConn]
}

func (l *countingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	l.last.Store(&countingConn{Conn: nc})
	return l.last.Load(), err
}

func TestAMessageOverTheLimitIsDroppedAndLogged(t *testing.T) {
	d := newDirectory()
	b := start(t, d, 2, &host{})
	a := start(t, d, 1, &host{})
	tooLarge := appendEntries(1, 2, 3, raft.MaxEntryData)
	a.Send([]raft.Message{tooLarge, tooLarge})
	sendUntil(t, a, b, 1)
	if n := a.Stats().Peers[2].MessagesDropped; n != 2 {
		t.Errorf("%d messages dropped, want 2", n)
	}
	if n := a.logs.count("too large to send"); n != 1 {
		t.Errorf("%d log lines, want 1", n)
	}
}

func TestAPeerThatNeverReadsHoldsUpNobodyElse(t *testing.T) {
	d := newDirectory()
	d.set(3, rawServer(t, identityOf(3), func(net.Conn) {}))
	b := start(t, d, 2, &host{})
	const queueBytes = 8 << 20
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.QueueBytes = queueBytes })

	big := appendEntries(1, 3, 1, 256<<10)
	eventually(t, "the queue of the silent peer overflows", func() bool {
		a.Send([]raft.Message{big})
		return a.Stats().Peers[3].MessagesDropped > 100
	})
	s := &a.knownPeer(3).sender
	s.mu.Lock()
	if s.bytes > queueBytes {
		t.Errorf("%d bytes are queued, at most %d are allowed", s.bytes, queueBytes)
	}
	s.mu.Unlock()
	for i := range uint64(100) {
		sendUntil(t, a, b, i)
	}
}

func TestAPeerThatStopsReadingIsCutOff(t *testing.T) {
	d := newDirectory()
	d.set(3, rawServer(t, identityOf(3), func(net.Conn) {}))
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.Stall = 50 * time.Millisecond })
	big := appendEntries(1, 3, 1, 1<<20)
	eventually(t, "the connection is given up", func() bool {
		a.Send([]raft.Message{big, big, big, big})
		return len(a.host.losses()) > 0 && a.Stats().Peers[3].Connections > 1
	})
}

func TestAPeerThatNeverAcknowledgesIsCutOff(t *testing.T) {
	d := newDirectory()
	d.set(3, rawServer(t, identityOf(3), func(nc net.Conn) { io.Copy(io.Discard, nc) }))
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.Stall = 50 * time.Millisecond })
	eventually(t, "the connection is given up", func() bool {
		a.Send([]raft.Message{numbered(1, 3, 1)})
		return len(a.host.losses()) > 0
	})
	if a.logs.count(errStalled.Error()) == 0 {
		t.Error("the log does not say why")
	}
}

func TestNoMoreCallsThanTheWindowAreUnderWay(t *testing.T) {
	d := newDirectory()
	var frames atomic.Int64
	d.set(3, rawServer(t, identityOf(3), func(nc net.Conn) {
		p, _ := protocolOf(classRaft)
		r := newFrameReader(nc, p.buffer, p.requests(), time.Hour)
		for {
			if _, err := r.next(); err != nil {
				return
			}
			frames.Add(1)
		}
	}))
	a := start(t, d, 1, &host{}, func(c *Config) {
		c.Limits.Window, c.Limits.BatchBytes, c.Limits.QueueMessages = 3, 1, 10
	})
	eventually(t, "window and queue are full", func() bool {
		a.Send([]raft.Message{numbered(1, 3, 1)})
		return a.Stats().Peers[3].MessagesDropped > 0 && frames.Load() >= 3
	})
	if n := frames.Load(); n != 3 {
		t.Errorf("%d calls are under way, want 3", n)
	}
}

func TestQueueOfAnUnreachablePeerIsDropped(t *testing.T) {
	d := newDirectory()
	a := start(t, d, 1, &host{})
	a.Send([]raft.Message{numbered(1, 2, 1), numbered(1, 2, 2)})
	eventually(t, "both are dropped", func() bool { return a.Stats().Peers[2].MessagesDropped == 2 })
}

func TestCloseEndsEveryGoroutine(t *testing.T) {
	d := newDirectory()
	waiting := make(chan struct{})
	h := &host{execute: func(ctx context.Context, _ []byte) []byte {
		close(waiting)
		<-ctx.Done()
		return nil
	}}
	a := start(t, d, 1, &host{}, func(c *Config) { c.Limits.Handshake = time.Hour })
	b := start(t, d, 2, h)
	sendUntil(t, a, b, 1)
	sendUntil(t, b, a, 2)
	d.set(4, "127.0.0.1:1")
	a.Send([]raft.Message{numbered(1, 4, 1)})
	rawDial(t, a.addr)

	forwarded := make(chan error, 1)
	go func() {
		_, _, err := a.Forward(context.Background(), 2, nil)
		forwarded <- err
	}()
	receive(t, "the command is being executed", waiting)
	var closing sync.WaitGroup
	for _, n := range []*testNode{a, b, a} {
		closing.Go(func() { n.Close() })
	}
	closing.Wait()
	if err := receive(t, "Forward returns", forwarded); err == nil {
		t.Error("Forward succeeded over a closed transport")
	}
	eventually(t, "all goroutines end", func() bool {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !strings.Contains(string(stacks), "rpc.(*Transport)") && !strings.Contains(string(stacks), "net/rpc.(*")
	})

	a.Send([]raft.Message{numbered(1, 2, 9), numbered(1, 7, 9)})
	if _, sent, err := a.Forward(t.Context(), 2, nil); !errors.Is(err, ErrClosed) || sent {
		t.Errorf("Forward after Close: sent %v, %v", sent, err)
	}
	if _, _, err := a.Ask(t.Context(), b.addr, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Ask after Close: %v", err)
	}
}

func appendEntries(from, to raft.NodeID, count, size int) raft.Message {
	body := &raft.AppendEntries{Prev: raft.EntryID{Term: 1, Index: 10}, LeaderCommit: 5, Round: 3}
	for i := range count {
		id := raft.EntryID{Term: 1, Index: raft.Index(11 + i)}
		body.Entries = append(body.Entries, raft.NewEntry(id, raft.EntryCommand, make([]byte, size)))
	}
	return raft.Message{From: from, To: to, Term: 1, Body: body}
}
