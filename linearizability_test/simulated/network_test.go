package simulated_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// network carries what the servers have to say to each other. Messages travel in
// their binary form.
type network struct {
	w *world

	mu       sync.Mutex
	rng      *rand.Rand
	attached map[raft.NodeID]*process
	cut      map[link]bool
	// arrival is when the last message of a link arrives: while order is kept, the
	// next one arrives after it.
	arrival map[link]time.Time
	quality
}

// link is one direction between two servers.
type link struct{ from, to raft.NodeID }

// quality is how good a network is.
type quality struct {
	// delay is the least that a message takes, jitter the most that it takes
	// beyond that.
	delay, jitter time.Duration
	// loss, duplicates and late are shares of all messages. A late one takes up to
	// lateness longer.
	loss, duplicates, late float64
	lateness               time.Duration
	// ordered says that a link keeps the order, except for late messages.
	ordered bool
	// breaks is the share of snapshot chunks, and of forwarded commands, whose
	// connection breaks.
	breaks float64
}

// goodNetwork is what all faults end with.
var goodNetwork = quality{delay: 200 * time.Microsecond, jitter: 300 * time.Microsecond, ordered: true}

var (
	errUnreachable = errors.New("connection refused")
	errBroken      = errors.New("connection reset by peer")
)

func newNetwork(w *world, q quality) *network {
	return &network{
		w: w, rng: w.source(), quality: q,
		attached: map[raft.NodeID]*process{}, cut: map[link]bool{}, arrival: map[link]time.Time{},
	}
}

func (n *network) attach(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attached[p.id] = p
}

// detach takes a process off the network. The connections to it break, which
// some of the others are told.
func (n *network) detach(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.attached, p.id)
	for _, other := range n.attached {
		if n.rng.IntN(3) > 0 && !n.cut[link{p.id, other.id}] {
			other.node.ConnectionLost(p.id)
		}
	}
}

// reaches returns the process at the other end, if it can be reached.
func (n *network) reaches(from *process, to raft.NodeID) *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.attached[to]
	if p == nil || p.dead.Load() || from.dead.Load() || n.cut[link{from.id, to}] {
		return nil
	}
	return p
}

// setCuts replaces all cuts by others, and breaks the connections across them.
func (n *network) setCuts(cuts []link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	for _, l := range cuts {
		n.cut[l] = true
		if p := n.attached[l.to]; p != nil && n.rng.IntN(3) == 0 {
			p.node.ConnectionLost(l.from)
		}
	}
}

// heal makes the network a good one.
func (n *network) heal() {
	n.setCuts(nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.quality = goodNetwork
}

// latency draws how long something takes that is not a message.
func (n *network) latency() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.delay + n.upTo(n.jitter)
}

// upTo draws a time. The caller holds mu.
func (n *network) upTo(most time.Duration) time.Duration {
	return time.Duration(n.rng.Int64N(int64(most) + 1))
}

func (n *network) breaksNow() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rng.Float64() < n.breaks
}

// send puts messages on their way.
func (n *network) send(from *process, messages []raft.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if from.dead.Load() {
		return
	}
	for _, m := range messages {
		l := link{m.From, m.To}
		if n.cut[l] || n.rng.Float64() < n.loss {
			continue
		}
		encoded := m.AppendTo(nil)
		n.carry(l, encoded)
		if n.rng.Float64() < n.duplicates {
			n.carry(l, bytes.Clone(encoded)) // entries of a decoded message alias it
		}
	}
}

// carry delivers a message after a while. The caller holds mu.
func (n *network) carry(l link, encoded []byte) {
	now := time.Now()
	at := now.Add(n.delay + n.upTo(n.jitter))
	switch {
	case n.rng.Float64() < n.late:
		at = at.Add(n.upTo(n.lateness))
	case n.ordered:
		if last := n.arrival[l]; !at.After(last) {
			at = last.Add(time.Nanosecond)
		}
		n.arrival[l] = at
	}
	time.AfterFunc(at.Sub(now), func() { n.deliver(l, encoded) })
}

func (n *network) deliver(l link, encoded []byte) {
	m, err := raft.DecodeMessage(encoded)
	if err != nil {
		n.w.violation("a message from n%d to n%d does not decode: %v", l.from, l.to, err)
		return
	}
	n.mu.Lock()
	p := n.attached[l.to]
	cut := n.cut[l]
	n.mu.Unlock()
	if p != nil && !cut && !p.dead.Load() {
		p.node.Deliver([]raft.Message{m})
	}
}

// transport is a process's end of the network.
type transport struct{ p *process }

func (t transport) Send(messages []raft.Message) { t.p.w.net.send(t.p, messages) }

// travel waits for as long as something takes to the other side, or from there.
func (t transport) travel(ctx context.Context) error {
	select {
	case <-time.After(t.p.w.net.latency()):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// SendSnapshot carries a snapshot as package rpc does: on a connection, which may
// break.
func (t transport) SendSnapshot(ctx context.Context, offer node.SnapshotOffer, source node.SnapshotSource, sent func(uint64)) error {
	to, err := t.reach(ctx, offer.To)
	if err != nil {
		return err
	}
	position, err := to.node.OfferSnapshot(ctx, offer)
	if err != nil {
		return err
	}
	if position.Offset > 0 {
		t.p.w.seen.resumedSnapshots.Add(1)
	}
	sent(position.Offset)
	if err := source.Seek(position); err != nil {
		return err
	}
	for last := false; !last; {
		chunk, err := source.Next()
		if err != nil {
			return err
		}
		chunk.Data = bytes.Clone(chunk.Data)
		if err := t.sameConnection(ctx, to); err != nil {
			return err
		}
		if err := to.node.SnapshotChunk(ctx, offer.ID, chunk); err != nil {
			return err
		}
		if t.p.w.net.breaksNow() {
			t.p.w.seen.brokenSnapshots.Add(1)
			return errBroken // it has arrived, and the answer is lost
		}
		sent(chunk.Offset + uint64(len(chunk.Data)))
		last = chunk.Last
	}
	if err := t.sameConnection(ctx, to); err != nil {
		return err
	}
	return to.node.FinishSnapshot(ctx, offer.ID)
}

// reach returns the process at the other end after the time of a handshake.
func (t transport) reach(ctx context.Context, id raft.NodeID) (*process, error) {
	if err := t.travel(ctx); err != nil {
		return nil, err
	}
	to := t.p.w.net.reaches(t.p, id)
	if to == nil || t.p.w.net.reaches(to, t.p.id) == nil {
		return nil, errUnreachable
	}
	return to, nil
}

// sameConnection waits for as long as a round trip takes, and fails if the other
// process is not there any more.
func (t transport) sameConnection(ctx context.Context, to *process) error {
	again, err := t.reach(ctx, to.id)
	if err == nil && (again != to || t.p.w.net.breaksNow()) {
		t.p.w.seen.brokenSnapshots.Add(1)
		err = errBroken
	}
	return err
}

// Forward carries a command to another server's store.
func (t transport) Forward(ctx context.Context, id raft.NodeID, command []byte) ([]byte, bool, error) {
	to, err := t.reach(ctx, id)
	if err != nil {
		return nil, false, err
	}
	if t.p.w.net.breaksNow() {
		return nil, true, errBroken // before it was executed, but who knows
	}
	replies := make(chan []byte, 1)
	command = bytes.Clone(command)
	t.p.w.background.Go(func() { replies <- to.store.Execute(context.Background(), command) })
	var reply []byte
	select {
	case reply = <-replies:
	case <-ctx.Done():
		return nil, true, context.Cause(ctx)
	}
	if err := t.sameConnection(ctx, to); err != nil {
		return nil, true, err
	}
	return reply, true, nil
}
