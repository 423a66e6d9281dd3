package rpc

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A handshake lets a peer in; what may happen later is that it becomes unwanted.
// The one who finds that out says so in a last frame, the same on connections of
// every class and in either direction, because a connection that just ended would
// look like the death of a process: the host would be told of a loss, and might
// begin an election that nobody needs. The one who is told knows what an operator
// has to do.

// Recheck asks [Config.Admit] again about the peer of every connection,
// whichever side made it, and ends those that are refused now. The host calls it
// when the answers may have changed, such as after a change of members. The peers
// learn the refusal, and have [Limits.Stall] to take it in; Recheck itself does
// not wait. Connections that end in this way are not reported to
// [Config.OnConnectionLost] on either side, but to [Config.OnRefused] on both.
func (t *Transport) Recheck() {
	var unwanted []*conn
	// All are marked before anybody is told: a peer may end as soon as it hears
	// of one, and its other connections with it.
	for _, c := range t.established.list() {
		if t.unwanted(c) {
			unwanted = append(unwanted, c)
		}
	}
	for _, c := range unwanted {
		t.dismiss(c)
	}
}

// supervise lets Recheck know a connection whose handshake is finished, until
// the function that it returns is called when the connection has ended.
func (t *Transport) supervise(c *conn) (release func()) {
	t.established.add(c)
	// Recheck may have been called between the handshake and now.
	if t.unwanted(c) {
		t.dismiss(c)
	}
	return func() {
		t.established.remove(c)
		_, refused := errors.AsType[*Refusal](c.cause())
		if p := t.knownPeer(c.peer.Node); p != nil && refused {
			p.report(c.cause())
		}
	}
}

// unwanted marks a connection that is refused now. It returns false if there is
// nothing against it, or if it is marked already.
func (t *Transport) unwanted(c *conn) bool {
	refusal := t.admits(c.peer)
	if refusal == nil {
		return false
	}
	refusal.Peer = c.peer
	return c.dismissal.CompareAndSwap(nil, refusal)
}

// dismiss ends a marked connection. The peer closes it when it has read the
// refusal: closing it from here at once, with bytes of the peer's unread, would
// make the kernel reset it, and the refusal could be lost.
func (t *Transport) dismiss(c *conn) {
	refusal := c.dismissal.Load()
	t.start(func() {
		defer time.AfterFunc(t.limits.Stall, func() { c.fail(refusal) }).Stop()
		err := c.writer.put(frameRefusal, 0, maxRefusal, refusal)
		if err == nil {
			err = c.writer.flush()
		}
		if err == nil {
			<-c.broken()
		}
		c.fail(refusal)
	})
}

// decline tells a node that has accepted this one's greeting that it is refused
// all the same. It need not arrive: the connection ends in any case.
func (t *Transport) decline(nc net.Conn, refusal *Refusal) {
	b, err := appendFrame(nil, frameRefusal, 0, maxRefusal, refusal)
	if err == nil {
		nc.SetWriteDeadline(time.Now().Add(t.limits.Stall))
		nc.Write(b)
	}
}

// maxRefusal bounds the body of a refusal: code and sentence.
const maxRefusal = 1 + maxSentence

func appendRefusal(buf []byte, r *Refusal) []byte {
	return append(append(buf, byte(r.Code)), clip(r.Sentence)...)
}

// refusalIn returns the refusal that a frame holds, as the error that ends the
// connection.
func (c *conn) refusalIn(f frame) error {
	if len(f.body) == 0 || RefusalCode(f.body[0]) == accepted {
		return fmt.Errorf("%w: a refusal without a code", errBadFrame)
	}
	return &Refusal{Code: RefusalCode(f.body[0]), Sentence: printable(f.body[1:]), Peer: c.peer}
}

// connections are those that may have to end because of a refusal.
type connections struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

func (s *connections) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*conn]struct{})
	}
	s.open[c] = struct{}{}
}

func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

func (s *connections) list() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.open))
	for c := range s.open {
		list = append(list, c)
	}
	return list
}
