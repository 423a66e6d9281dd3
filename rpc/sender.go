package rpc

import (
	"context"
	netrpc "net/rpc"
	"sync"
	"time"

	"balsa/raft"
)

// Send implements node.Transport. It never blocks: messages to a peer whose
// queue is full are dropped, which Raft is made to withstand.
func (t *Transport) Send(messages []raft.Message) {
	for _, m := range messages {
		if p := t.peer(m.To); p != nil {
			p.sender.queue(m)
		}
	}
}

// sender carries Raft messages to one peer: a bounded queue, and one goroutine
// that drains it. As long as calls wait for their acknowledgement, what comes
// next collects in the queue and leaves as one call: batches grow with the load
// and an idle connection waits for nothing.
type sender struct {
	peer *peer
	// wake is signalled when something was queued.
	wake chan struct{}
	// redial is signalled when the peer has connected to this node. A signal
	// from a time when nobody waited for it costs one early attempt to dial.
	redial chan struct{}
	pause  backoff
	// tooLarge keeps the log from repeating itself.
	tooLarge sync.Once

	mu      sync.Mutex
	waiting []queued
	bytes   int
}

// queued is a message and its encoded size.
type queued struct {
	raft.Message
	size int
}

func (s *sender) queue(m raft.Message) {
	size := batchHeader + m.Size()
	if size > MaxMessage {
		s.peer.counters.dropped.Add(1)
		s.tooLarge.Do(func() {
			s.peer.t.log.Error("a Raft message is too large to send and is dropped; lower the limit on the entries in one message",
				"peer", s.peer.id, "bytes", size, "limit", MaxMessage)
		})
		return
	}
	limits := &s.peer.t.limits
	s.mu.Lock()
	if len(s.waiting) >= limits.QueueMessages || (s.bytes+size > limits.QueueBytes && s.bytes > 0) {
		s.mu.Unlock()
		s.peer.counters.dropped.Add(1)
		return
	}
	s.waiting = append(s.waiting, queued{m, size})
	s.bytes += size
	s.mu.Unlock()
	signal(s.wake)
}

// take moves messages from the front of the queue to into: at least one, and
// then as many as fit into limit bytes. It returns how many bytes they have, and
// whether more wait.
func (s *sender) take(into batch, limit int) (messages batch, bytes int, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.waiting) && (n == 0 || bytes+s.waiting[n].size <= limit) {
		into = append(into, s.waiting[n].Message)
		bytes += s.waiting[n].size
		n++
	}
	left := copy(s.waiting, s.waiting[n:])
	clear(s.waiting[left:])
	s.waiting = s.waiting[:left]
	s.bytes -= bytes
	return into, bytes, left > 0
}

// drop empties the queue: what waited for a peer that cannot be reached is
// stale by the time it can.
func (s *sender) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peer.counters.dropped.Add(uint64(len(s.waiting)))
	clear(s.waiting)
	s.waiting, s.bytes = s.waiting[:0], 0
}

// run is the sender's goroutine. It dials when there is something to send.
func (s *sender) run(ctx context.Context) {
	for s.awaitMessage(ctx) {
		c, err := s.peer.connect(ctx, classRaft)
		s.peer.report(err)
		if err != nil {
			s.drop()
			s.rest(ctx)
			continue
		}
		s.peer.counters.connections.Add(1)
		s.serve(c)
	}
}

// serve sends over one connection for as long as it holds.
func (s *sender) serve(c *conn) {
	t := s.peer.t
	release := t.supervise(c)
	t.links.up(s.peer.id)
	acknowledged := s.stream(c)
	release()
	s.peer.reportLost(c.cause())
	t.lost(s.peer.id, c.cause())
	if acknowledged {
		s.pause.reset()
	} else {
		// The peer takes connections and never anything else. Without a pause
		// it would be dialled in a tight loop.
		s.rest(t.ctx)
	}
}

// awaitMessage returns true when something is queued and false when ctx ends.
func (s *sender) awaitMessage(ctx context.Context) bool {
	for {
		s.mu.Lock()
		waiting := len(s.waiting)
		s.mu.Unlock()
		if waiting > 0 {
			return ctx.Err() == nil
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return false
		}
	}
}

// rest waits before the next attempt to dial.
func (s *sender) rest(ctx context.Context) {
	timer := time.NewTimer(s.pause.delay())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.redial:
		s.pause.reset()
	case <-ctx.Done():
	}
}

// stream sends batches until the connection breaks, and returns whether the peer
// acknowledged any.
func (s *sender) stream(c *conn) (acknowledged bool) {
	p, _ := protocolOf(classRaft)
	codec := newClientCodec(c, p)
	client := netrpc.NewClientWithCodec(codec)
	defer func() { <-codec.ended }()

	limits := &s.peer.t.limits
	done := make(chan *netrpc.Call, limits.Window)
	// The calls are acknowledged in order, so one timer watches them all: it
	// runs while any is under way, and each acknowledgement winds it up again.
	stalled := time.NewTimer(limits.Stall)
	stalled.Stop()
	defer stalled.Stop()
	var messages batch
	for underWay := 0; ; {
		wake := s.wake
		if underWay == limits.Window {
			wake = nil
		}
		select {
		case <-wake:
			var bytes int
			var more bool
			messages, bytes, more = s.take(messages[:0], limits.BatchBytes)
			if len(messages) == 0 {
				continue
			}
			if more {
				signal(s.wake)
			}
			if underWay == 0 {
				stalled.Reset(limits.Stall)
			}
			underWay++
			s.peer.counters.sent(len(messages), frameHeader+bytes)
			// The request is encoded before Go returns: the slice is free again.
			client.Go(methodDeliver, &messages, &acknowledgement{}, done)
			clear(messages)
		case call := <-done:
			if call.Error != nil {
				c.fail(call.Error)
				return acknowledged
			}
			acknowledged = true
			if underWay--; underWay > 0 {
				stalled.Reset(limits.Stall)
			} else {
				stalled.Stop()
			}
		case <-stalled.C:
			c.fail(errStalled)
			return acknowledged
		case <-c.broken():
			return acknowledged
		}
	}
}
