package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"balsa/raft"
)

// peer is what a node keeps about another one that it has something to send to.
type peer struct {
	t         *Transport
	id        raft.NodeID
	sender    sender
	forwarder forwarder
	counters  peerCounters

	mu sync.Mutex
	// news is the last thing that was reported about connecting to this peer.
	news news
}

func newPeer(t *Transport, id raft.NodeID) *peer {
	p := &peer{t: t, id: id}
	p.sender = sender{
		peer:   p,
		wake:   make(chan struct{}, 1),
		redial: make(chan struct{}, 1),
		pause:  backoff{min: t.limits.BackoffMin, max: t.limits.BackoffMax},
	}
	p.forwarder = forwarder{
		peer:  p,
		pause: backoff{min: t.limits.BackoffMin, max: t.limits.BackoffMax},
	}
	return p
}

// isBack is called when the peer has connected to this node: dialling it need
// not wait any longer.
func (p *peer) isBack() {
	signal(p.sender.redial)
	p.forwarder.isBack()
}

// connect dials the peer wherever it is now, and shakes hands.
func (p *peer) connect(ctx context.Context, c class) (*conn, error) {
	addr, known := p.t.config.Resolver(p.id)
	if !known {
		return nil, fmt.Errorf("the address of node %s is not known", p.id)
	}
	connection, _, err := p.t.connect(ctx, c, p.id, addr)
	return connection, err
}

// connect dials an address and shakes hands. The connection lives until the
// transport is closed or somebody fails it. The Identity is the peer's, as far
// as it was told, even if there is an error.
func (t *Transport) connect(ctx context.Context, c class, to raft.NodeID, addr string) (*conn, Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, t.limits.Handshake)
	defer cancel()
	nc, err := t.config.Dial(ctx, addr)
	if err != nil {
		return nil, Identity{}, err
	}
	who, err := t.greet(ctx, nc, c, to)
	if err != nil {
		nc.Close()
		return nil, who, fmt.Errorf("handshake with %s: %w", addr, err)
	}
	return newConn(t.ctx, nc, who, t.limits.stallOf(c)), who, nil
}

// news is a state of the way to a peer that is worth a line in the log.
type news struct {
	state state
	code  RefusalCode
}

type state uint8

const (
	stateUnknown state = iota
	stateConnected
	stateLost
	stateUnreachable
	stateRefused
)

// report logs the outcome of an attempt to connect, or the refusal that ended a
// connection, if it is another than the last one.
func (p *peer) report(err error) {
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case p.t.ctx.Err() != nil:
	case err == nil:
		if p.changed(news{state: stateConnected}) {
			p.t.log.Info("connected to peer", "peer", p.id)
		}
	case refused:
		if p.changed(news{state: stateRefused, code: refusal.Code}) {
			p.t.log.Warn("cannot talk to peer", "peer", p.id, "reason", refusal.Code.Error(), "advice", refusal.Sentence)
			if p.t.config.OnRefused != nil {
				p.t.config.OnRefused(p.id, refusal)
			}
		}
	default:
		if p.changed(news{state: stateUnreachable}) {
			p.t.log.Warn("cannot reach peer; trying again in the background", "peer", p.id, "err", err)
		}
	}
}

// reportLost logs that the connection for Raft messages broke, unless a refusal
// ended it, which is reported for every connection.
func (p *peer) reportLost(cause error) {
	_, refused := errors.AsType[*Refusal](cause)
	if p.t.ctx.Err() == nil && !refused && p.changed(news{state: stateLost}) {
		p.t.log.Info("connection to peer lost", "peer", p.id, "err", cause)
	}
}

func (p *peer) changed(n news) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news == n {
		return false
	}
	p.news = n
	return true
}

// backoff is a growing pause between attempts. The random part keeps the nodes
// of a cluster from dialling in step.
type backoff struct {
	min, max, next time.Duration
}

// delay returns the next pause, between half of its nominal length and all of
// it.
func (b *backoff) delay() time.Duration {
	d := max(b.next, b.min)
	b.next = min(2*d, b.max)
	return d/2 + rand.N(d/2+1)
}

func (b *backoff) reset() { b.next = 0 }
