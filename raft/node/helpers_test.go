package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
)

var errDisk = errors.New("input/output error")

// bubble runs a test in virtual time. Nodes tick for ever, so a test that waits
// for something that never comes would, too: it ends after a virtual hour.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		hour := time.AfterFunc(time.Hour, func() { panic("the test waits for something that does not happen") })
		defer hour.Stop()
		f(t)
	})
}

// eventually waits, in virtual time, until a condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for range 6000 {
		synctest.Wait()
		if condition() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within a minute: %s", what)
}

// testCluster is some nodes and a network between them that delivers at once,
// except across a cut.
type testCluster struct {
	t      *testing.T
	change func(id raft.NodeID, cfg *Config) // of every node's Config

	mu    sync.Mutex
	nodes map[raft.NodeID]*Node
	cut   map[raft.NodeID]bool // nobody reaches these, and they reach nobody
	sent  map[raft.NodeID]int  // messages, by sender
	logs  map[raft.NodeID]*memoryLog
	kvs   map[raft.NodeID]*machine

	// chunkTime is how long a chunk of a snapshot is on its way; onChunk, if set,
	// may fail it. chunks are the offsets of those that arrived, and transfers is
	// how many are under way.
	chunkTime     time.Duration
	onChunk       func(SnapshotOffer, Chunk) error
	chunks        []uint64
	transfers     int
	mostTransfers int
}

func newCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	c := &testCluster{
		t: t, nodes: map[raft.NodeID]*Node{}, cut: map[raft.NodeID]bool{}, sent: map[raft.NodeID]int{},
		logs: map[raft.NodeID]*memoryLog{}, kvs: map[raft.NodeID]*machine{},
	}
	var configuration raft.Configuration
	for id := raft.NodeID(1); id <= raft.NodeID(n); id++ {
		configuration.Members = append(configuration.Members, raft.Member{ID: id, Votes: true})
	}
	founding, err := raft.FoundingEntry(configuration)
	if err != nil {
		t.Fatal(err)
	}
	for id := raft.NodeID(1); id <= raft.NodeID(n); id++ {
		c.logs[id] = &memoryLog{hardState: raft.FoundingHardState(), entries: []raft.Entry{founding}}
		c.kvs[id] = &machine{}
	}
	t.Cleanup(func() {
		for _, node := range c.nodes {
			_ = node.Stop()
		}
	})
	return c
}

// start starts all nodes, each with a Config that change may alter.
func (c *testCluster) start(change func(id raft.NodeID, cfg *Config)) *testCluster {
	c.t.Helper()
	c.change = change
	for id := range c.logs {
		c.startNode(id)
	}
	return c
}

// startNode starts a node, or starts it again, with what its stores hold.
func (c *testCluster) startNode(id raft.NodeID) *Node {
	c.t.Helper()
	cfg := Config{ID: id, Log: c.logs[id], StateMachine: c.kvs[id], Transport: testTransport{c, id}}
	if c.change != nil {
		c.change(id, &cfg)
	}
	n, err := Start(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[id] = n
	return n
}

// join starts a node that remembers nothing.
func (c *testCluster) join(id raft.NodeID) *Node {
	c.t.Helper()
	c.logs[id], c.kvs[id] = &memoryLog{}, &machine{}
	return c.startNode(id)
}

func (c *testCluster) isolate(id raft.NodeID, isolated bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[id] = isolated
}

func (c *testCluster) isCut(id raft.NodeID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[id]
}

// reach returns the node if messages arrive there.
func (c *testCluster) reach(from, to raft.NodeID) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut[from] || c.cut[to] {
		return nil
	}
	return c.nodes[to]
}

// messagesOf returns how many messages a node has sent.
func (c *testCluster) messagesOf(id raft.NodeID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent[id]
}

// leader waits until one of the nodes that are not isolated leads and the
// others follow it.
func (c *testCluster) leader() *Node {
	c.t.Helper()
	var leader *Node
	eventually(c.t, "a leader that all follow", func() bool {
		leader = nil
		followed := raft.None
		for id, n := range c.nodes {
			if c.isCut(id) {
				continue
			}
			if followed == raft.None {
				followed = n.Leader()
			}
			if followed == raft.None || n.Leader() != followed {
				return false
			}
		}
		leader = c.nodes[followed]
		return leader != nil && !c.isCut(followed)
	})
	return leader
}

// followerOf returns the node with the lowest id that is not the leader.
func (c *testCluster) followerOf(leader *Node) *Node {
	for id := raft.NodeID(1); ; id++ {
		if id != leader.cfg.ID {
			return c.nodes[id]
		}
	}
}

// propose proposes commands, one after the other, to a node that leads.
func (c *testCluster) propose(n *Node, count int, command string) {
	c.t.Helper()
	for range count {
		if _, err := n.Propose(c.t.Context(), []byte(command)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// agree waits until the state machines of these nodes are equal.
func (c *testCluster) agree(ids ...raft.NodeID) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("equal states of %v", ids), func() bool {
		first := c.kvs[ids[0]]
		return !slices.ContainsFunc(ids[1:], func(id raft.NodeID) bool {
			return c.kvs[id].appliedID() != first.appliedID() || !slices.Equal(c.kvs[id].has(), first.has())
		})
	})
}

func (c *testCluster) status(n *Node) raft.Status {
	c.t.Helper()
	s, err := n.Status(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// load is clients that write all the time, each one command after the other, to
// whichever node leads.
type load struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex
	acked []string
}

func (c *testCluster) load(clients int) *load {
	l := &load{stop: make(chan struct{})}
	for client := range clients {
		l.wg.Go(func() {
			for i := 0; ; i++ {
				if !l.write(c, fmt.Sprintf("%d/%d", client, i)) {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	return l
}

// write writes a command, unless its outcome is unknown, and returns false when
// the load is to end.
func (l *load) write(c *testCluster, command string) bool {
	for {
		select {
		case <-l.stop:
			return false
		default:
		}
		if n := c.leading(); n != nil {
			_, err := n.Propose(c.t.Context(), []byte(command))
			if err == nil {
				l.mu.Lock()
				l.acked = append(l.acked, command)
				l.mu.Unlock()
			}
			if err == nil || errors.Is(err, ErrOutcomeUnknown) {
				return true
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// leading returns a node that believes that it leads, if there is one.
func (c *testCluster) leading() *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, n := range c.nodes {
		if n.Leader() == id && !c.cut[id] {
			return n
		}
	}
	return nil
}

// end ends the load and checks that these nodes have every write that was
// acknowledged, exactly once.
func (l *load) end(c *testCluster, ids ...raft.NodeID) {
	c.t.Helper()
	close(l.stop)
	l.wg.Wait()
	c.agree(ids...)
	applied := map[string]int{}
	for _, command := range c.kvs[ids[0]].has() {
		applied[command]++
	}
	for _, command := range l.acked {
		if applied[command] != 1 {
			c.t.Errorf("the acknowledged write %s was applied %d times", command, applied[command])
		}
	}
	if len(l.acked) == 0 {
		c.t.Error("nothing was written at all")
	}
}

// count is how many writes have been acknowledged.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// testTransport is one node's end of the network.
type testTransport struct {
	c    *testCluster
	from raft.NodeID
}

func (t testTransport) Send(messages []raft.Message) {
	t.c.mu.Lock()
	t.c.sent[t.from] += len(messages)
	t.c.mu.Unlock()
	for _, m := range messages {
		if to := t.c.reach(t.from, m.To); to != nil {
			to.Deliver([]raft.Message{m})
		}
	}
}

var errConnection = errors.New("connection reset by peer")

func (t testTransport) SendSnapshot(ctx context.Context, offer SnapshotOffer, source SnapshotSource, sent func(uint64)) error {
	c := t.c
	c.mu.Lock()
	c.transfers++
	c.mostTransfers = max(c.mostTransfers, c.transfers)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.transfers--
	}()
	to := c.reach(t.from, offer.To)
	if to == nil {
		return errConnection
	}
	position, err := to.OfferSnapshot(ctx, offer)
	if err != nil {
		return err
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
		if err := t.sendChunk(ctx, to, offer, chunk); err != nil {
			return err
		}
		sent(chunk.Offset + uint64(len(chunk.Data)))
		last = chunk.Last
	}
	return to.FinishSnapshot(ctx, offer.ID)
}

// sendChunk sends a chunk on a connection with a node, which breaks when the node
// ends.
func (t testTransport) sendChunk(ctx context.Context, to *Node, offer SnapshotOffer, chunk Chunk) error {
	t.c.mu.Lock()
	delay, fail := t.c.chunkTime, t.c.onChunk
	t.c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	if fail != nil {
		if err := fail(offer, chunk); err != nil {
			return err
		}
	}
	if t.c.reach(t.from, offer.To) != to {
		return errConnection
	}
	if err := to.SnapshotChunk(ctx, offer.ID, chunk); err != nil {
		return err
	}
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	t.c.chunks = append(t.c.chunks, chunk.Offset)
	return nil
}
