package rpc

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa/raft"
)

// patience is how long a test waits for something that must happen. Only a
// failing test waits that long.
const patience = 20 * time.Second

var testCluster = [16]byte{0xc1}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		runtime.Gosched()
		<-time.After(time.Millisecond)
	}
}

// receive waits until a channel is ready or closed.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("never happened: %s", what)
		panic("unreachable")
	}
}

// host is a Handler made of functions, and records what is delivered.
type host struct {
	deliver func([]raft.Message)
	execute func(context.Context, []byte) []byte
	answer  func(Identity, []byte) []byte
	shelf

	mu       sync.Mutex
	received []raft.Message
	lost     []raft.NodeID
	refused  []RefusalCode
}

func (h *host) Deliver(messages []raft.Message) {
	if h.deliver != nil {
		h.deliver(messages)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.received = append(h.received, messages...)
}

func (h *host) Execute(ctx context.Context, command []byte) []byte {
	if h.execute == nil {
		return append([]byte("did "), command...)
	}
	return h.execute(ctx, command)
}

func (h *host) Answer(from Identity, question []byte) []byte {
	if h.answer == nil {
		return append([]byte("re: "), question...)
	}
	return h.answer(from, question)
}

// ids returns the IDs of the ReadIndex messages that were delivered, in order.
func (h *host) ids() []uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []uint64
	for _, m := range h.received {
		ids = append(ids, m.Body.(*raft.ReadIndex).ID)
	}
	return ids
}

func (h *host) has(id uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.received {
		if r, ok := m.Body.(*raft.ReadIndex); ok && r.ID == id {
			return true
		}
	}
	return false
}

func (h *host) losses() []raft.NodeID {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]raft.NodeID(nil), h.lost...)
}

func (h *host) refusals() []RefusalCode {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]RefusalCode(nil), h.refused...)
}

// directory is the Resolver of a test's nodes.
type directory struct {
	mu    sync.Mutex
	addrs map[raft.NodeID]string
}

func newDirectory() *directory { return &directory{addrs: make(map[raft.NodeID]string)} }

func (d *directory) set(id raft.NodeID, addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs[id] = addr
}

func (d *directory) resolve(id raft.NodeID) (string, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	addr, ok := d.addrs[id]
	return addr, ok
}

// testNode is a transport with its host.
type testNode struct {
	*Transport
	host *host
	addr string
	logs *logBuffer
}

// instanceOf is the data directory that a test's node has unless it says
// otherwise.
func instanceOf(id raft.NodeID) raft.InstanceID { return raft.InstanceID{0x1d, byte(id)} }

func identityOf(id raft.NodeID) Identity {
	return Identity{Cluster: testCluster, Node: id, Instance: instanceOf(id)}
}

// listen opens a listener on a free port.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start starts a node, registers its address, and stops it with the test.
func start(t testing.TB, d *directory, id raft.NodeID, h *host, adjust ...func(*Config)) *testNode {
	t.Helper()
	logs := &logBuffer{}
	config := Config{
		Node:     id,
		Instance: instanceOf(id),
		Cluster:  func() [16]byte { return testCluster },
		Handler:  h,
		Resolver: d.resolve,
		OnConnectionLost: func(peer raft.NodeID) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.lost = append(h.lost, peer)
		},
		OnRefused: func(_ raft.NodeID, r *Refusal) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.refused = append(h.refused, r.Code)
		},
		Logger: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits: Limits{BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond},
	}
	for _, f := range adjust {
		f(&config)
	}
	if config.Listener == nil {
		config.Listener = listen(t)
	}
	tr, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	addr := config.Listener.Addr().String()
	d.set(id, addr)
	return &testNode{Transport: tr, host: h, addr: addr, logs: logs}
}

// logBuffer collects a log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.buf.String(), s)
}

// numbered makes a small message that can be told from others.
func numbered(from, to raft.NodeID, id uint64) raft.Message {
	return raft.Message{From: from, To: to, Term: 1, Body: &raft.ReadIndex{ID: id}}
}

// sendUntil repeats a message until it has arrived, as Raft does.
func sendUntil(t testing.TB, from *testNode, to *testNode, id uint64) {
	t.Helper()
	eventually(t, "message arrives", func() bool {
		from.Send([]raft.Message{numbered(from.config.Node, to.config.Node, id)})
		return to.host.has(id)
	})
}

// rawConn is the hostile or half-hearted end of a connection.
type rawConn struct {
	net.Conn
	t testing.TB
}

// rawDial connects to a node without a word.
func rawDial(t testing.TB, addr string) *rawConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &rawConn{Conn: nc, t: t}
}

// rawHello connects and shakes hands.
func rawHello(t testing.TB, addr string, h hello) *rawConn {
	t.Helper()
	c := rawDial(t, addr)
	c.send(h.encode())
	a, err := readAnswer(c)
	if err != nil || a.code != accepted {
		t.Fatalf("handshake: %+v, %v", a, err)
	}
	return c
}

func (c *rawConn) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// isCutOff waits until the other side has closed the connection. What it sends
// before that does not matter.
func (c *rawConn) isCutOff() bool {
	_, err := io.Copy(io.Discard, c)
	timeout, ok := err.(net.Error)
	return !ok || !timeout.Timeout()
}

// rawServer accepts connections, shakes hands as the given node and hands each
// to serve.
func rawServer(t testing.TB, as Identity, serve func(net.Conn)) (addr string) {
	t.Helper()
	l := listen(t)
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
			running.Go(func() {
				if _, err := receiveHello(nc); err == nil {
					nc.Write(answer{code: accepted, from: as}.encode())
					serve(nc)
				}
			})
		}
	})
	return l.Addr().String()
}

// mustFrame encodes a frame.
func mustFrame(t testing.TB, kind frameKind, sequence uint64, content any) []byte {
	t.Helper()
	b, err := appendFrame(nil, kind, sequence, 64<<20, content)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
