package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// testSnapshot is what the snapshots of these tests contain.
func testSnapshot() raft.Snapshot {
	return raft.Snapshot{
		Last: raft.EntryID{Term: 3, Index: 1000},
		Configuration: raft.IndexedConfiguration{Index: 7, Configuration: raft.Configuration{
			Members: []raft.Member{
				{ID: 1, Instance: instanceOf(1), Address: "127.0.0.1:1", Votes: true},
				{ID: 2, Instance: instanceOf(2), Address: "127.0.0.1:2", Votes: true},
			},
			Removed: []raft.RemovedMember{{ID: 9, Instance: instanceOf(9)}},
		}},
	}
}

// offerOf makes an offer that can be told from others.
func offerOf(from, to raft.NodeID, id byte) node.SnapshotOffer {
	return node.SnapshotOffer{
		ID: node.SnapshotID{id, 15: 0xff}, From: from, To: to, Term: 4,
		Snapshot: testSnapshot(), Size: 12345,
	}
}

// generated is a snapshot whose bytes are made up as they are asked for. Its
// memory is one chunk.
type generated struct {
	size, chunk uint64
	// before, if set, is called before each chunk is returned.
	before func(offset uint64) error

	offset uint64
	seeks  []node.Position
	buf    []byte
}

func newGenerated(size, chunk uint64) *generated {
	return &generated{size: size, chunk: chunk, buf: make([]byte, chunk)}
}

// after is the After of a position of a generated snapshot.
func after(offset uint64) []byte { return fmt.Appendf(nil, "after %d", offset) }

func (g *generated) Snapshot() raft.Snapshot { return testSnapshot() }
func (g *generated) Size() uint64            { return g.size }
func (g *generated) Close() error            { return nil }

func (g *generated) Seek(p node.Position) error {
	if p.Offset > 0 && !bytes.Equal(p.After, after(p.Offset)) {
		return fmt.Errorf("position %d is after %q", p.Offset, p.After)
	}
	g.offset, g.seeks = p.Offset, append(g.seeks, p)
	return nil
}

func (g *generated) Next() (node.Chunk, error) {
	if g.before != nil {
		if err := g.before(g.offset); err != nil {
			return node.Chunk{}, err
		}
	}
	// What was returned last is not valid any more.
	rand.NewChaCha8([32]byte{0xee}).Read(g.buf)
	c := node.Chunk{Offset: g.offset, Data: g.buf[:min(g.chunk, g.size-g.offset)]}
	fillChunk(c)
	g.offset += uint64(len(c.Data))
	c.Last = g.offset == g.size
	return c, nil
}

// fillChunk makes up the data of a chunk.
func fillChunk(c node.Chunk) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], c.Offset)
	rand.NewChaCha8(seed).Read(c.Data)
}

// digest is the hash of the whole snapshot.
func (g *generated) digest() []byte {
	whole := newGenerated(g.size, g.chunk)
	h := sha256.New()
	for {
		c, _ := whole.Next()
		h.Write(c.Data)
		if c.Last {
			return h.Sum(nil)
		}
	}
}

// shelf is the node.SnapshotReceiver of a test's host. It behaves as a node does:
// the offer that came last is the one that is taken.
type shelf struct {
	// onOffer, onChunk and onFinish, if set, are asked first.
	onOffer  func(context.Context, node.SnapshotOffer) error
	onChunk  func(context.Context, node.Chunk) error
	onFinish func(context.Context) error

	inside    atomic.Int32
	disturbed atomic.Bool

	shelfMu  sync.Mutex
	offers   []node.SnapshotOffer
	arriving map[node.SnapshotID]*arriving
	current  node.SnapshotID
	finished []node.SnapshotID
	chunks   int
}

// arriving is what has come of a snapshot.
type arriving struct {
	offset uint64
	digest hash.Hash
}

// enter notes if somebody else is inside.
func (s *shelf) enter() (leave func()) {
	if s.inside.Add(1) > 1 {
		s.disturbed.Store(true)
	}
	return func() { s.inside.Add(-1) }
}

func (s *shelf) OfferSnapshot(ctx context.Context, o node.SnapshotOffer) (node.Position, error) {
	defer s.enter()()
	if s.onOffer != nil {
		if err := s.onOffer(ctx, o); err != nil {
			return node.Position{}, err
		}
	}
	s.shelfMu.Lock()
	defer s.shelfMu.Unlock()
	s.offers = append(s.offers, o)
	s.current = o.ID
	if s.arriving == nil {
		s.arriving = make(map[node.SnapshotID]*arriving)
	}
	if s.arriving[o.ID] == nil {
		s.arriving[o.ID] = &arriving{digest: sha256.New()}
	}
	p := node.Position{Offset: s.arriving[o.ID].offset}
	if p.Offset > 0 {
		p.After = after(p.Offset)
	}
	return p, nil
}

func (s *shelf) SnapshotChunk(ctx context.Context, id node.SnapshotID, c node.Chunk) error {
	defer s.enter()()
	if s.onChunk != nil {
		if err := s.onChunk(ctx, c); err != nil {
			return err
		}
	}
	s.shelfMu.Lock()
	defer s.shelfMu.Unlock()
	if id != s.current {
		return node.ErrSnapshotRefused
	}
	a := s.arriving[id]
	if c.Offset != a.offset {
		return fmt.Errorf("the chunk at %d arrives, the one at %d is due", c.Offset, a.offset)
	}
	s.chunks++
	a.digest.Write(c.Data)
	a.offset += uint64(len(c.Data))
	return nil
}

func (s *shelf) FinishSnapshot(ctx context.Context, id node.SnapshotID) error {
	defer s.enter()()
	if s.onFinish != nil {
		if err := s.onFinish(ctx); err != nil {
			return err
		}
	}
	s.shelfMu.Lock()
	defer s.shelfMu.Unlock()
	if id != s.current {
		return node.ErrSnapshotRefused
	}
	s.finished = append(s.finished, id)
	return nil
}

// holds reports whether a finished snapshot has these contents.
func (s *shelf) holds(id node.SnapshotID, g *generated) bool {
	s.shelfMu.Lock()
	defer s.shelfMu.Unlock()
	return slices.Contains(s.finished, id) && bytes.Equal(s.arriving[id].digest.Sum(nil), g.digest())
}

// taken is how many chunks have been taken.
func (s *shelf) taken() int {
	s.shelfMu.Lock()
	defer s.shelfMu.Unlock()
	return s.chunks
}

// pipes is a network in memory, for tests in a synctest bubble.
type pipes struct {
	// delay is how long everything takes to get to the other side.
	delay time.Duration

	mu        sync.Mutex
	listeners map[string]*pipeListener
}

// join gives a node a place in the network.
func (p *pipes) join(c *Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listeners == nil {
		p.listeners = make(map[string]*pipeListener)
	}
	l := &pipeListener{name: fmt.Sprintf("pipe-%d", len(p.listeners)), arrive: make(chan net.Conn), closed: make(chan struct{})}
	p.listeners[l.name] = l
	c.Listener, c.Dial = l, p.dial
}

func (p *pipes) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	l := p.listeners[addr]
	p.mu.Unlock()
	if l == nil {
		return nil, errors.New("nobody listens there")
	}
	here, there := net.Pipe()
	if p.delay > 0 {
		here, there = newFarConn(here, p.delay), newFarConn(there, p.delay)
	}
	select {
	case l.arrive <- there:
		return here, nil
	case <-l.closed:
		return nil, errors.New("nobody listens there any more")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// farConn is one end of a connection with a long way between the two, which has
// room for everything that is on its way.
type farConn struct {
	net.Conn
	delay  time.Duration
	onWay  chan parcel
	closed chan struct{}
	once   sync.Once
}

type parcel struct {
	data []byte
	due  time.Time
}

func newFarConn(nc net.Conn, delay time.Duration) *farConn {
	c := &farConn{Conn: nc, delay: delay, onWay: make(chan parcel, 1000), closed: make(chan struct{})}
	go func() {
		for {
			select {
			case p := <-c.onWay:
				<-time.After(time.Until(p.due))
				nc.Write(p.data)
			case <-c.closed:
				return
			}
		}
	}()
	return c
}

func (c *farConn) Write(b []byte) (int, error) {
	select {
	case c.onWay <- parcel{slices.Clone(b), time.Now().Add(c.delay)}:
		return len(b), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *farConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// pipeListener is a net.Listener and its own address.
type pipeListener struct {
	name   string
	arrive chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case nc := <-l.arrive:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr  { return l }
func (l *pipeListener) Network() string { return "pipe" }
func (l *pipeListener) String() string  { return l.name }

// fullSpeed lifts the limit on what snapshots may take of the network.
func fullSpeed(c *Config) { c.SnapshotRate = -1 }

// cuttable is a Config.Dial whose last connection can be cut.
type cuttable struct {
	mu   sync.Mutex
	last net.Conn
}

func (d *cuttable) config(c *Config) {
	c.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
		nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.last = nc
		return nc, err
	}
}

func (d *cuttable) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last.Close()
}

// sendSnapshot sends and expects it to succeed.
func sendSnapshot(t testing.TB, from *testNode, o node.SnapshotOffer, g *generated) {
	t.Helper()
	if err := from.SendSnapshot(t.Context(), o, g, nil); err != nil {
		t.Fatal(err)
	}
}
