package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"balsa/raft"
)

// accept is the listener's loop. It goes on after errors, with a pause: a
// process that has run out of file descriptors gets them back.
func (t *Transport) accept() {
	pause := backoff{min: 5 * time.Millisecond, max: time.Second}
	reported := false
	for {
		nc, err := t.config.Listener.Accept()
		switch {
		case t.ctx.Err() != nil:
			if err == nil {
				nc.Close()
			}
			return
		case errors.Is(err, net.ErrClosed):
			t.log.Error("the rpc listener was closed by somebody else; no peer can connect any more", "err", err)
			return
		case err != nil:
			if !reported {
				t.log.Warn("cannot accept connections from peers; trying again", "err", err)
				reported = true
			}
			timer := time.NewTimer(pause.delay())
			select {
			case <-timer.C:
			case <-t.ctx.Done():
				timer.Stop()
			}
			continue
		}
		pause.reset()
		reported = false
		t.arrivals.greeting(nc, t.limits.Handshakes)
		if !t.start(func() { t.receive(nc) }) {
			nc.Close()
		}
	}
}

// receive takes care of one incoming connection from its first byte to its end.
func (t *Transport) receive(nc net.Conn) {
	defer context.AfterFunc(t.ctx, func() { nc.Close() })()
	defer nc.Close()
	defer t.arrivals.greeted(nc)
	h, err := t.welcome(nc)
	if refusal, refused := errors.AsType[*Refusal](err); refused {
		t.turnAway(nc, h, refusal)
		return
	}
	if err != nil {
		if t.ctx.Err() == nil {
			t.refused.add(t.log, nc.RemoteAddr(), raft.None, "no greeting", "err", err)
		}
		return
	}
	in := newInbound(t, nc, h)
	if refusal := t.arrivals.admit(in, t.limits); refusal != nil {
		t.turnAway(nc, h, refusal)
		in.fail(refusal)
		return
	}
	t.arrivals.greeted(nc)
	in.serve()
	t.arrivals.left(in)
}

// welcome is the accepting side of the handshake, up to the answer.
func (t *Transport) welcome(nc net.Conn) (hello, error) {
	nc.SetDeadline(time.Now().Add(t.limits.Handshake))
	h, err := receiveHello(nc)
	if err != nil {
		return hello{}, err
	}
	if refusal := t.judge(h, t.identity()); refusal != nil {
		return h, refusal
	}
	return h, nil
}

// sayYes ends the handshake: from now on the class's own deadlines hold.
func (t *Transport) sayYes(nc net.Conn) error {
	_, err := nc.Write(answer{code: accepted, from: t.identity()}.encode())
	return errors.Join(err, nc.SetDeadline(time.Time{}))
}

// turnAway tells the dialling side why it is refused. It then reads a little of
// what the other side may still be sending, because closing a connection with
// unread bytes makes the kernel reset it, and the answer could be lost.
func (t *Transport) turnAway(nc net.Conn, h hello, refusal *Refusal) {
	t.refused.add(t.log, nc.RemoteAddr(), h.from.Node, refusal.Code.Error(), "advice", refusal.Sentence)
	if _, err := nc.Write(answer{code: refusal.Code, from: t.identity(), sentence: refusal.Sentence}.encode()); err != nil {
		return
	}
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		io.CopyN(io.Discard, nc, 4<<10)
	}
}

// arrivals are the connections that others have made to this node.
type arrivals struct {
	mu sync.Mutex
	// unknown are those whose handshake is not finished, oldest first.
	unknown []net.Conn
	known   map[*inbound]struct{}
}

// greeting adds a connection whose handshake begins. If there are too many, the
// oldest is closed: who has something to say says it within a round trip.
func (a *arrivals) greeting(nc net.Conn, limit int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.unknown) >= limit {
		a.unknown[0].Close()
		a.unknown = a.unknown[1:]
	}
	a.unknown = append(a.unknown, nc)
}

// greeted ends what greeting began. It may be called again.
func (a *arrivals) greeted(nc net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, other := range a.unknown {
		if other == nc {
			a.unknown = append(a.unknown[:i], a.unknown[i+1:]...)
			return
		}
	}
}

// admit adds a connection, unless there are too many. A peer has one connection
// each for messages, for commands and for a snapshot: a newer one takes the place of an older
// one, which may be half open after the peer's machine lost its power.
func (a *arrivals) admit(in *inbound, limits Limits) *Refusal {
	a.mu.Lock()
	defer a.mu.Unlock()
	fromPeer := 0
	var older *inbound
	for other := range a.known {
		switch {
		case other.peer.Node != in.peer.Node:
		case other.class == in.class && in.class != classQuestion:
			older = other
		default:
			fromPeer++
		}
	}
	total := len(a.known)
	if older != nil {
		total--
	}
	switch {
	case total >= limits.Connections:
		return refuse(TooManyConnections, "node %s has %d connections already; raise the limit if the cluster is that large", in.t.config.Node, total)
	case fromPeer >= limits.ConnectionsPerPeer:
		return refuse(TooManyConnections, "node %s has %d connections with node %s already; do two processes run with that ID?",
			in.t.config.Node, fromPeer, in.peer.Node)
	}
	if older != nil {
		delete(a.known, older)
		older.fail(errReplaced)
	}
	if a.known == nil {
		a.known = make(map[*inbound]struct{})
	}
	a.known[in] = struct{}{}
	return nil
}

// left ends what admit began.
func (a *arrivals) left(in *inbound) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, in)
}

// established is how many connections are admitted now.
func (a *arrivals) established() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.known)
}
