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

// memoryLog is a LogStore in memory. Its Save can be held up, and made to fail.
type memoryLog struct {
	mu        sync.Mutex
	hardState raft.HardState
	start     raft.EntryID
	// inForce is the configuration at start.
	inForce raft.IndexedConfiguration
	entries []raft.Entry
	saves   [][]raft.Write // every call of Save

	delay time.Duration
	gate  chan struct{} // if set, each Save first receives from it
	err   error         // of Save
	cut   error         // of Compact
}

func (l *memoryLog) State() (raft.HardState, raft.LogState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := raft.LogState{Start: l.start, Last: l.last()}
	if l.inForce.Index != 0 {
		s.Configurations = append(s.Configurations, l.inForce)
	}
	for _, e := range l.entries {
		if n := len(s.Spans); n == 0 || s.Spans[n-1].Term != e.Term {
			s.Spans = append(s.Spans, raft.TermSpan{Term: e.Term, First: e.Index})
		}
		if e.Kind == raft.EntryConfiguration {
			s.Configurations = append(s.Configurations, configurationOf(e))
		}
	}
	return l.hardState, s, nil
}

func configurationOf(e raft.Entry) raft.IndexedConfiguration {
	c, err := raft.DecodeConfiguration(e.Data)
	if err != nil {
		panic(err)
	}
	return raft.IndexedConfiguration{Index: e.Index, Configuration: c}
}

func (l *memoryLog) last() raft.Index { return l.start.Index + raft.Index(len(l.entries)) }

func (l *memoryLog) Save(writes []raft.Write) error {
	l.mu.Lock()
	gate, delay := l.gate, l.delay
	l.mu.Unlock()
	if gate != nil {
		<-gate
	}
	time.Sleep(delay) // virtual time: every test here runs in a bubble
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for _, w := range writes {
		l.hardState = w.HardState
		if w.Reset != nil {
			l.start, l.inForce, l.entries = w.Reset.Last, w.Reset.Configuration, nil
		}
		if w.TruncateFrom != 0 {
			l.entries = l.entries[:w.TruncateFrom-l.start.Index-1]
		}
		if len(w.Entries) > 0 && w.Entries[0].Index != l.last()+1 {
			panic(fmt.Sprintf("entry %d saved after entry %d", w.Entries[0].Index, l.last()))
		}
		l.entries = append(slices.Clip(l.entries), w.Entries...)
	}
	l.saves = append(l.saves, slices.Clone(writes))
	return nil
}

func (l *memoryLog) Entries(first, last raft.Index, maxBytes int) ([]raft.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first <= l.start.Index {
		return nil, nil
	}
	var entries []raft.Entry
	size := 0
	for i := first; i <= min(last, l.last()); i++ {
		e := l.entries[i-l.start.Index-1]
		size += e.Size()
		if len(entries) > 0 && size > maxBytes {
			break
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Compact panics if it is told to cut another log than this one, as a log store
// on a disk does.
func (l *memoryLog) Compact(last raft.EntryID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut != nil {
		return l.cut
	}
	if last.Index <= l.start.Index || last.Index > l.last() || l.entries[last.Index-l.start.Index-1].ID() != last {
		panic(fmt.Sprintf("compaction up to %s of a log of %d to %d", last, l.start.Index+1, l.last()))
	}
	n := last.Index - l.start.Index
	for _, e := range l.entries[:n] {
		if e.Kind == raft.EntryConfiguration {
			l.inForce = configurationOf(e)
		}
	}
	l.start, l.entries = last, l.entries[n:]
	return nil
}

// first and length describe what is stored.
func (l *memoryLog) first() raft.Index {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start.Index + 1
}

func (l *memoryLog) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// set changes how the log behaves.
func (l *memoryLog) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// machine is a state machine that remembers the commands it has applied and
// returns how many those are. What it holds survives a restart of its node.
type machine struct {
	mu            sync.Mutex
	commands      []string
	applied       raft.EntryID
	configuration raft.IndexedConfiguration
	gate          chan struct{}
	err           error // of Apply

	installed *raft.Snapshot
	received  *memorySink // what has arrived of a snapshot, or nil

	// FlushedIndex is the applied index, unless flushing is lazy: then it is what
	// it was at the last Flush.
	lazy     bool
	flushed  raft.Index
	flushErr error // of FlushedIndex and Flush

	snapshotErr error         // of Snapshot
	sinkErr     error         // of the sink's Write
	sinkGate    chan struct{} // if set, each Write first receives from it
	onInstall   func()        // called when a snapshot has been installed

	snapshots, open, receives, installs, discards, flushes int
}

func (m *machine) Applied() (raft.EntryID, error) { return m.applied, nil }

func (m *machine) Installed() (*raft.Snapshot, error) { return m.installed, nil }

func (m *machine) Apply(entries []raft.Entry) ([]any, error) {
	m.mu.Lock()
	gate := m.gate
	m.mu.Unlock()
	if gate != nil {
		<-gate
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	var results []any
	for _, e := range entries {
		if e.Index != m.applied.Index+1 {
			return nil, fmt.Errorf("entry %d applied after %d", e.Index, m.applied.Index)
		}
		m.applied = e.ID()
		switch e.Kind {
		case raft.EntryCommand:
			m.commands = append(m.commands, string(e.Data))
		case raft.EntryConfiguration:
			m.configuration = configurationOf(e)
		}
		results = append(results, len(m.commands))
	}
	m.installed = nil
	return results, nil
}

func (m *machine) FlushedIndex() (raft.Index, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.lazy {
		return m.applied.Index, m.flushErr
	}
	return m.flushed, m.flushErr
}

func (m *machine) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flushes++
	m.flushed = m.applied.Index
	return m.flushErr
}

func (m *machine) Snapshot() (SnapshotSource, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.snapshotErr != nil {
		return nil, m.snapshotErr
	}
	m.snapshots++
	m.open++
	return &memorySource{
		m:        m,
		snapshot: raft.Snapshot{Last: m.applied, Configuration: m.configuration},
		commands: slices.Clone(m.commands),
	}, nil
}

func (m *machine) Receive(offer SnapshotOffer) (SnapshotSink, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.receives++
	if m.received == nil || m.received.offer.ID != offer.ID {
		m.received = &memorySink{m: m, offer: offer}
	}
	return m.received, nil
}

func (m *machine) Install(sink SnapshotSink) error {
	m.mu.Lock()
	s := sink.(*memorySink)
	if m.received != s || !s.finished {
		m.mu.Unlock()
		return errors.New("a snapshot is installed that is not complete, or not the last one")
	}
	m.received = nil
	m.installs++
	m.commands, m.applied, m.configuration = s.commands, s.offer.Snapshot.Last, s.offer.Snapshot.Configuration
	m.flushed = m.applied.Index
	m.installed = &s.offer.Snapshot
	installed := m.onInstall
	m.mu.Unlock()
	if installed != nil {
		installed()
	}
	return nil
}

func (m *machine) has() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commands)
}

func (m *machine) appliedID() raft.EntryID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applied
}

// set changes how the machine behaves.
func (m *machine) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// count returns one of the machine's counters.
func (m *machine) count(counter *int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *counter
}

// memorySource is a snapshot of a machine. A chunk is one command.
type memorySource struct {
	m        *machine
	snapshot raft.Snapshot
	commands []string
	next     int
	offset   uint64
}

func (s *memorySource) Snapshot() raft.Snapshot { return s.snapshot }

func (s *memorySource) Size() uint64 {
	n := 0
	for _, command := range s.commands {
		n += len(command)
	}
	return uint64(n)
}

func (s *memorySource) Seek(p Position) error {
	s.next, s.offset = 0, 0
	if len(p.After) > 0 {
		_, _ = fmt.Sscan(string(p.After), &s.next)
		s.offset = p.Offset
	}
	return nil
}

func (s *memorySource) Next() (Chunk, error) {
	if s.next >= len(s.commands) {
		return Chunk{Offset: s.offset, Last: true}, nil
	}
	chunk := Chunk{Offset: s.offset, Data: []byte(s.commands[s.next])}
	s.next++
	s.offset += uint64(len(chunk.Data))
	return chunk, nil
}

func (s *memorySource) Close() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.open--
	return nil
}

// memorySink is a snapshot that arrives.
type memorySink struct {
	m        *machine
	offer    SnapshotOffer
	commands []string
	offset   uint64
	finished bool
}

func (s *memorySink) Position() Position {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if len(s.commands) == 0 {
		return Position{}
	}
	return Position{Offset: s.offset, After: fmt.Append(nil, len(s.commands))}
}

func (s *memorySink) Write(c Chunk) error {
	s.m.mu.Lock()
	gate := s.m.sinkGate
	s.m.mu.Unlock()
	if gate != nil {
		<-gate
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.sinkErr != nil {
		return s.m.sinkErr
	}
	if s.m.received != s || c.Offset != s.offset {
		return fmt.Errorf("chunk at %d, want %d", c.Offset, s.offset)
	}
	if len(c.Data) > 0 {
		s.commands = append(s.commands, string(c.Data))
		s.offset += uint64(len(c.Data))
	}
	return nil
}

func (s *memorySink) Finish() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.finished = true
	return nil
}

func (s *memorySink) Discard() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.discards++
	if s.m.received == s {
		s.m.received = nil
	}
	return nil
}
