package node

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"balsa/raft"
)

// compactor decides up to where the log is cut (§7, thesis ch. 5).
//
// What the state machine has on its disk the log need not keep for this node's
// own sake. A part of it is kept even so, for followers that are a little behind:
// to send them the end of the log is cheaper than to send them the state. From
// the oldest entry to the newest:
//
//	| cut | kept: the tail, or not flushed, or needed after a snapshot |
//	      ^
//	      the smallest of
//	        what the state machine has flushed,
//	        where the tail begins (Config.TailEntries and TailBytes),
//	        what followers need that are receiving a snapshot.
//
// The state machine flushes when it likes to. If it has not for too long
// (Config.MaxLogEntries and MaxLogBytes), it is made to, so that the log is
// bounded, and with it the time that it takes to start after a crash.
//
// Only a snapshot under way can hold the log up beyond that: for as long as it
// takes to send it, and once more as long, or a minute, for what was written
// meanwhile. To cut earlier would mean that the follower needs another one when it
// has this one.
//
// The log writer says how much has been saved, the applier how much was applied. A
// goroutine of the compactor's own looks from time to time and may wait for the
// state machine's disk, the loop tells the core, and the log writer cuts the
// stored log, in the order of the writes. What the applier and the loader still
// read is no obstacle: the applier reads entries that are not applied, so none of
// them is cut; the loader finds nothing, and the core, told so, sees that the
// follower needs a snapshot.
type compactor struct {
	node  *Node
	looks *stage[look]

	// appliedEntries and appliedBytes are how much has been applied since the
	// last look was asked for. Only the applier uses them.
	appliedEntries, appliedBytes int

	mu    sync.Mutex
	saved savedLog
}

// look asks the compactor to look what can be cut.
type look struct{}

// mark says that the entries up to and including index had so many bytes, counted
// from an arbitrary beginning.
type mark struct {
	index raft.Index
	bytes uint64
}

// savedLog knows roughly how many bytes which part of the stored log has.
type savedLog struct {
	last mark
	// marks are some earlier ones, at least one, in ascending order and about step
	// bytes apart. How much there is before the first one is not known: it was
	// saved in an earlier run.
	marks []mark
	step  uint64
}

const (
	// looksPerTail is how often the compactor looks while one tail's worth of
	// entries is applied: the log exceeds the tail by one part in so many. It
	// looks at least every maxEntriesBetweenLooks.
	looksPerTail           = 8
	maxEntriesBetweenLooks = 1024
	// marksPerTail says how coarse the marks are.
	marksPerTail = 64
)

func newCompactor(n *Node, last raft.Index) *compactor {
	c := &compactor{node: n, saved: newSavedLog(last, n.cfg.TailBytes)}
	c.looks = newStage(c.look)
	c.looks.add(look{}) // an earlier run may have left something to do
	return c
}

// wrote takes note of durable writes. The log writer calls it.
func (c *compactor) wrote(writes []raft.Write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range writes {
		c.saved.add(&writes[i])
	}
}

// applied takes note that the state machine has gone on, and asks for a look now
// and then. The applier calls it.
func (c *compactor) applied(entries []raft.Entry) {
	c.appliedEntries += len(entries)
	for i := range entries {
		c.appliedBytes += entries[i].Size()
	}
	cfg := &c.node.cfg
	if c.appliedEntries >= min(maxEntriesBetweenLooks, cfg.TailEntries/looksPerTail) ||
		c.appliedBytes >= cfg.TailBytes/looksPerTail {
		c.appliedEntries, c.appliedBytes = 0, 0
		c.looks.add(look{})
	}
}

func newSavedLog(last raft.Index, tailBytes int) savedLog {
	known := mark{index: last}
	return savedLog{last: known, marks: []mark{known}, step: uint64(max(1, tailBytes/marksPerTail))}
}

// add counts a write. Entries that were overwritten stay counted: the tail then
// is a little shorter than it might be, for a while.
func (s *savedLog) add(w *raft.Write) {
	switch {
	case w.Reset != nil:
		s.last.index = w.Reset.Last.Index
		s.marks = []mark{s.last}
	case w.TruncateFrom != 0:
		s.last.index = w.TruncateFrom - 1
		s.marks = slices.DeleteFunc(s.marks, func(m mark) bool { return m.index > s.last.index })
		if len(s.marks) == 0 {
			s.marks = append(s.marks, s.last)
		}
	}
	for i := range w.Entries {
		s.last.index = w.Entries[i].Index
		s.last.bytes += uint64(w.Entries[i].Size())
		if s.last.bytes >= s.marks[len(s.marks)-1].bytes+s.step {
			s.marks = append(s.marks, s.last)
		}
	}
}

// tailAfter returns the index after which there are at most so many entries, and
// about at most so many bytes.
func (s *savedLog) tailAfter(entries, bytes int) raft.Index {
	var after raft.Index
	if s.last.index > raft.Index(entries) {
		after = s.last.index - raft.Index(entries)
	}
	i := slices.IndexFunc(s.marks, func(m mark) bool { return s.last.bytes-m.bytes <= uint64(bytes) })
	if i > 0 { // what is before the first mark may or may not be part of the tail
		after = max(after, s.marks[i].index)
	}
	return after
}

// after returns how much there is after an index.
func (s *savedLog) after(i raft.Index) (entries int, bytes uint64) {
	if i >= s.last.index {
		return 0, 0
	}
	before := s.marks[0]
	for _, m := range s.marks {
		if m.index <= i {
			before = m
		}
	}
	return int(s.last.index - i), s.last.bytes - before.bytes
}

// forget drops the marks that are only needed to measure from before an index.
func (s *savedLog) forget(i raft.Index) {
	n := 0
	for n+1 < len(s.marks) && s.marks[n+1].index <= i {
		n++
	}
	s.marks = slices.Delete(s.marks, 0, n)
}

// look asks the state machine what it has on disk, and has the log cut as far as
// that allows. If the state machine cannot say, or cannot flush, the log grows;
// nothing is lost by that, and the next look tries again.
func (c *compactor) look([]look) error {
	cfg := &c.node.cfg
	flushed, err := cfg.StateMachine.FlushedIndex()
	if err == nil && c.overdue(flushed) {
		if err = cfg.StateMachine.Flush(); err == nil {
			flushed, err = cfg.StateMachine.FlushedIndex()
		}
	}
	if err != nil {
		cfg.Logger.Warn("the log cannot be compacted; look at the disk: "+
			"until the state is flushed the log grows", "error", err)
		return nil
	}
	c.mu.Lock()
	target := min(flushed, c.saved.tailAfter(cfg.TailEntries, cfg.TailBytes))
	c.saved.forget(target)
	c.mu.Unlock()
	if target > 0 {
		c.node.inbox.compactTo(target)
	}
	return nil
}

// overdue reports whether too much has been saved that the state machine does not
// have on disk.
func (c *compactor) overdue(flushed raft.Index) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, bytes := c.saved.after(flushed)
	return entries > c.node.cfg.MaxLogEntries || bytes > uint64(c.node.cfg.MaxLogBytes)
}

// compact cuts the log up to an index, less what followers will need. That is
// asked here and not before: a snapshot that is taken from now on holds all that
// is cut now.
func (l *loop) compact(i raft.Index) {
	first := l.core.Status().FirstIndex
	i = min(i, l.node.senders.neededAfter(time.Now()))
	if start := l.core.Compact(i); start.Index >= first {
		l.node.writer.add(writeJob{compact: start})
	}
}

// compactLog is what the log writer does for it.
func (n *Node) compactLog(last raft.EntryID) error {
	if err := n.cfg.Log.Compact(last); err != nil {
		return fmt.Errorf("compacting the log up to entry %d failed: %w", last.Index, err)
	}
	return nil
}
