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

// memoryLog is a LogStore in memory. Its Save can be held up, and made to fail.
type memoryLog struct {
	mu        sync.Mutex
	hardState raft.HardState
	entries   []raft.Entry
	saves     [][]raft.Write // every call of Save

	delay time.Duration
	gate  chan struct{} // if set, each Save first receives from it
	err   error
}

func (l *memoryLog) State() (raft.HardState, raft.LogState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := raft.LogState{Last: raft.Index(len(l.entries))}
	for _, e := range l.entries {
		if n := len(s.Spans); n == 0 || s.Spans[n-1].Term != e.Term {
			s.Spans = append(s.Spans, raft.TermSpan{Term: e.Term, First: e.Index})
		}
		if e.Kind == raft.EntryConfiguration {
			c, err := raft.DecodeConfiguration(e.Data)
			if err != nil {
				return raft.HardState{}, raft.LogState{}, err
			}
			s.Configurations = append(s.Configurations, raft.IndexedConfiguration{Index: e.Index, Configuration: c})
		}
	}
	return l.hardState, s, nil
}

func (l *memoryLog) Save(writes []raft.Write) error {
	if l.gate != nil {
		<-l.gate
	}
	time.Sleep(l.delay) // virtual time: every test here runs in a bubble
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	for _, w := range writes {
		l.hardState = w.HardState
		if w.TruncateFrom != 0 {
			l.entries = l.entries[:w.TruncateFrom-1]
		}
		l.entries = append(slices.Clip(l.entries), w.Entries...)
	}
	l.saves = append(l.saves, slices.Clone(writes))
	return nil
}

func (l *memoryLog) Entries(first, last raft.Index, maxBytes int) ([]raft.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var entries []raft.Entry
	size := 0
	for i := first; i <= min(last, raft.Index(len(l.entries))); i++ {
		size += l.entries[i-1].Size()
		if len(entries) > 0 && size > maxBytes {
			break
		}
		entries = append(entries, l.entries[i-1])
	}
	return entries, nil
}

// machine is a state machine that remembers the commands it has applied and
// returns how many those are.
type machine struct {
	mu       sync.Mutex
	commands []string
	applied  raft.EntryID
	gate     chan struct{}
	err      error
}

func (m *machine) Applied() (raft.EntryID, error) { return m.applied, nil }

func (m *machine) Apply(entries []raft.Entry) ([]any, error) {
	if m.gate != nil {
		<-m.gate
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
		if e.Kind == raft.EntryCommand {
			m.commands = append(m.commands, string(e.Data))
		}
		results = append(results, len(m.commands))
	}
	return results, nil
}

func (l *memoryLog) Compact(raft.EntryID) error                { return nil }
func (m *machine) Installed() (*raft.Snapshot, error)          { return nil, nil }
func (m *machine) FlushedIndex() (raft.Index, error)           { return 0, nil }
func (m *machine) Flush() error                                { return nil }
func (m *machine) Snapshot() (SnapshotSource, error)           { return nil, errDisk }
func (m *machine) Receive(SnapshotOffer) (SnapshotSink, error) { return nil, errDisk }
func (m *machine) Install(SnapshotSink) error                  { return errDisk }

func (t testTransport) SendSnapshot(context.Context, SnapshotOffer, SnapshotSource, func(uint64)) error {
	return ErrSnapshotRefused
}

func (m *machine) has() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.commands)
}

// testCluster is some nodes and a network between them that delivers at once,
// except across a cut.
type testCluster struct {
	t     *testing.T
	mu    sync.Mutex
	nodes map[raft.NodeID]*Node
	cut   map[raft.NodeID]bool // nobody reaches these, and they reach nobody
	logs  map[raft.NodeID]*memoryLog
	kvs   map[raft.NodeID]*machine
}

func newCluster(t *testing.T, n int) *testCluster {
	t.Helper()
	c := &testCluster{
		t: t, nodes: map[raft.NodeID]*Node{}, cut: map[raft.NodeID]bool{},
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

func (c *testCluster) start(change func(id raft.NodeID, cfg *Config)) *testCluster {
	c.t.Helper()
	for id := range c.logs {
		cfg := Config{ID: id, Log: c.logs[id], StateMachine: c.kvs[id], Transport: testTransport{c, id}}
		if change != nil {
			change(id, &cfg)
		}
		n, err := Start(cfg)
		if err != nil {
			c.t.Fatal(err)
		}
		c.mu.Lock()
		c.nodes[id] = n
		c.mu.Unlock()
	}
	return c
}

type testTransport struct {
	c    *testCluster
	from raft.NodeID
}

func (t testTransport) Send(messages []raft.Message) {
	for _, m := range messages {
		t.c.mu.Lock()
		to, lost := t.c.nodes[m.To], t.c.cut[m.To] || t.c.cut[t.from]
		t.c.mu.Unlock()
		if to != nil && !lost {
			to.Deliver([]raft.Message{m})
		}
	}
}

func (c *testCluster) isolate(id raft.NodeID, isolated bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[id] = isolated
}

// leader waits until one of the nodes that are not isolated leads and the
// others follow it.
func (c *testCluster) leader() *Node {
	c.t.Helper()
	for range 1000 {
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		counts := map[raft.NodeID]int{}
		reachable := 0
		for id, n := range c.nodes {
			c.mu.Lock()
			cut := c.cut[id]
			c.mu.Unlock()
			if cut {
				continue
			}
			reachable++
			if s, err := n.Status(c.t.Context()); err == nil {
				counts[s.Leader]++
			}
		}
		for id, count := range counts {
			c.mu.Lock()
			cut := c.cut[id]
			c.mu.Unlock()
			if id != raft.None && count == reachable && !cut {
				return c.nodes[id]
			}
		}
	}
	c.t.Fatal("no leader within ten seconds")
	return nil
}

func (c *testCluster) followerOf(leader *Node) *Node {
	for id := raft.NodeID(1); ; id++ {
		if id != leader.cfg.ID {
			return c.nodes[id]
		}
	}
}

var errDisk = errors.New("input/output error")
