package logstore

import (
	"fmt"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// Save makes all the writes durable, in order, as one atomic operation with one
// sync. It does nothing if nothing would change. After an error nothing is known
// about the disk, so every later Save returns the same error.
//
// Save panics if the writes would break the log: entries that leave a gap, a
// truncation of what is compacted, a term that decreases, a second vote in a
// term. No server that follows the rules asks for any of that, and one that does
// not must stop before it has made it durable.
func (s *Store) Save(writes []raft.Write) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	s.batch.Reset()
	return s.write(writes)
}

// usable returns why the store cannot be written to. The caller holds writing.
func (s *Store) usable() error {
	if s.closed {
		return ErrClosed
	}
	return s.alarm.err()
}

// write adds the writes to the batch and commits it.
func (s *Store) write(writes []raft.Write) error {
	stored := raft.Index(s.last.Load())
	after := tail{hard: s.hard, last: stored}
	kept := stored // of the entries that are stored now
	for i := range writes {
		w := &writes[i]
		if w.TruncateFrom != 0 && w.TruncateFrom <= after.last {
			s.stageTruncation(w.TruncateFrom, &after)
			kept = min(kept, after.last)
		}
		s.stageEntries(w.Entries, &after)
		s.stageHardState(w.HardState, &after)
	}
	if s.batch.Empty() {
		return nil
	}

	if kept < stored {
		// Readers rely on every entry up to last, and find out what is there
		// from what is stored; they must not meet a commit that takes entries
		// away.
		s.reading.Lock()
		defer s.reading.Unlock()
	}
	if err := s.commit(); err != nil {
		return err
	}
	s.hard = after.hard
	s.last.Store(uint64(after.last))
	return nil
}

// tail is what the writes staged so far leave behind.
type tail struct {
	hard raft.HardState
	last raft.Index
}

// stageTruncation removes the entries at index from and above.
func (s *Store) stageTruncation(from raft.Index, t *tail) {
	if from <= s.start.Index {
		panic(fmt.Sprintf("logstore: truncation from entry %d of a log that is compacted up to %d", from, s.start.Index))
	}
	for _, prefix := range []byte{entryPrefix, configurationPrefix} {
		op := s.batch.DeleteRangeDeferred(indexKeySize, indexKeySize)
		putIndexKey(op.Key, prefix, from)
		putIndexKey(op.Value, prefix, t.last+1)
		finish(op)
	}
	t.last = from - 1
}

// stageEntries appends entries in the form in which they were encoded.
func (s *Store) stageEntries(entries []raft.Entry, t *tail) {
	for i := range entries {
		e := &entries[i]
		if e.Index != t.last+1 {
			panic(fmt.Sprintf("logstore: entry %d written after entry %d", e.Index, t.last))
		}
		s.stageEntry(entryPrefix, e)
		if e.Kind == raft.EntryConfiguration {
			s.stageEntry(configurationPrefix, e)
		}
		t.last = e.Index
		s.counts.entries.Add(1)
	}
}

func (s *Store) stageEntry(prefix byte, e *raft.Entry) {
	op := s.batch.SetDeferred(indexKeySize, e.Size())
	putIndexKey(op.Key, prefix, e.Index)
	copy(op.Value, e.Encoded())
	finish(op)
}

// stageHardState replaces term and vote, if they differ from the stored ones.
func (s *Store) stageHardState(hs raft.HardState, t *tail) {
	if hs == t.hard {
		return
	}
	if hs.CurrentTerm < t.hard.CurrentTerm {
		panic(fmt.Sprintf("logstore: term %d written after term %d", hs.CurrentTerm, t.hard.CurrentTerm))
	}
	if hs.CurrentTerm == t.hard.CurrentTerm && t.hard.VotedFor != raft.None {
		panic(fmt.Sprintf("logstore: vote for %s in term %d written after a vote for %s",
			hs.VotedFor, hs.CurrentTerm, t.hard.VotedFor))
	}
	s.stageRecord(hardStateKey, encodeHardState(hs))
	t.hard = hs
}

func (s *Store) stageRecord(key, payload []byte) {
	value := sealRecord(key, payload)
	op := s.batch.SetDeferred(len(key), len(value))
	copy(op.Key, key)
	copy(op.Value, value)
	finish(op)
}

// finish ends a deferred operation. Only a batch with an index, which this one
// is not, can fail to.
func finish(op *pebble.DeferredBatchOp) {
	if err := op.Finish(); err != nil {
		panic(fmt.Sprintf("logstore: %v", err))
	}
}

// commit makes the batch durable. It has succeeded only if Pebble has not said
// otherwise in another way: see alarm.
func (s *Store) commit() error {
	size := s.batch.Len()
	if err := s.batch.Commit(pebble.Sync); err != nil {
		s.alarm.record(err)
	}
	if err := s.alarm.err(); err != nil {
		return err
	}
	s.counts.syncs.Add(1)
	s.counts.bytes.Add(uint64(size))
	return nil
}

type counters struct {
	syncs, entries, bytes atomic.Uint64
}

// Stats counts what a store has done since it was opened.
type Stats struct {
	// Syncs is the number of synced commits: one for each Save that changed
	// anything.
	Syncs uint64
	// Entries is the number of entries that were given to Save.
	Entries uint64
	// Bytes is what was written to the write-ahead log, without its framing.
	Bytes uint64
}

// Stats returns the counters of the store.
func (s *Store) Stats() Stats {
	return Stats{
		Syncs:   s.counts.syncs.Load(),
		Entries: s.counts.entries.Load(),
		Bytes:   s.counts.bytes.Load(),
	}
}

// Metrics returns Pebble's own metrics, among them a histogram of the time that
// syncs take, or nil if the store is closed.
func (s *Store) Metrics() *pebble.Metrics {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed {
		return nil
	}
	return s.db.Metrics()
}

// Compact is a placeholder.
func (s *Store) Compact(last raft.EntryID) error { return nil }
