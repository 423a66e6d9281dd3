package node

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"balsa/raft"
)

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

	installed bool
	received  *memorySink // what has arrived of a snapshot, or nil

	// FlushedIndex is the applied index, unless flushing is lazy: then it is what
	// it was at the last Flush.
	lazy     bool
	flushed  raft.Index
	flushErr error // of FlushedIndex and Flush

	snapshotErr error  // of Snapshot
	sinkErr     error  // of the sink's Write
	onWrite     func() // called when a chunk is about to be written
	onInstall   func() // called when a snapshot has been installed

	snapshots, open, receives, installs, discards, flushes int
}

func (m *machine) Contents() (raft.Snapshot, bool, error) {
	return raft.Snapshot{Last: m.applied, Configuration: m.configuration}, m.installed, nil
}

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
	m.installed = false
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
	m.installed = true
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
	writing := s.m.onWrite
	s.m.mu.Unlock()
	if writing != nil {
		writing()
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
