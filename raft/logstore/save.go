package logstore

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// Save makes all the writes durable in the log, in order, as one atomic operation
// with one sync. It does nothing if nothing would change. After an error nothing is
// known about the disk, so every later Save returns the same error.
//
// The writes count as durable when [Store.Attest], called after that, has returned.
// Meanwhile the next Save may begin.
//
// Save panics if the writes would break the log: entries that leave a gap, a
// truncation of what is compacted, a snapshot that is older than the log or says
// nothing about its configuration, a term that decreases, a second vote in a
// term. No server that follows the rules asks for any of that, and one that does
// not must stop before it has made it durable.
func (s *Store) Save(writes []raft.Write) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	s.batch.Reset()
	return s.write(s.Identity(), writes)
}

// usable returns why the store cannot be written to. The caller holds writing.
func (s *Store) usable() error {
	if s.closed {
		return ErrClosed
	}
	return s.alarm.err()
}

// write adds the writes to the batch, commits it, and has the witness say what
// there is now. The identity is what it is after this.
//
// Of merged writes only the last one's witness counts. The disk never holds
// anything between them: before the commit the log ends as it did before the first
// of them, and after the commit as after the last.
func (s *Store) write(id Identity, writes []raft.Write) error {
	before := extent{hard: s.hard, start: *s.start.Load(), last: raft.Index(s.last.Load())}
	after := before
	kept := before.last // of the entries that are stored now
	for i := range writes {
		w := &writes[i]
		if w.Reset != nil {
			s.stageReset(w.Reset, w.HardState, &after)
			kept = 0
		}
		if w.TruncateFrom != 0 && w.TruncateFrom <= after.last {
			s.stageTruncation(w.TruncateFrom, &after)
			kept = min(kept, after.last)
		}
		s.stageEntries(w.Entries, &after)
		s.stageHardState(w.HardState, &after)
	}
	known, inLog := s.witness.current()
	if n := len(writes); n > 0 {
		known.last, inLog = writes[n-1].Witness, endsWith(writes[n-1], inLog && writes[n-1].Witness == known.last)
		if err := s.witness.retreat(known.last); err != nil {
			return s.failed(err)
		}
	}
	if err := s.commitLog(before, after, kept); err != nil {
		return err
	}
	known.identity, known.hard = id, after.hard
	s.witness.remember(known, inLog)
	return nil
}

// Attest has the witness say what all calls of Save that have returned have made
// durable, and syncs it. One call may speak for several of them. A lazy witness
// syncs only now and then; see [Options].
func (s *Store) Attest() error {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed {
		return ErrClosed
	}
	if err := s.alarm.err(); err != nil {
		return err
	}
	return s.attest()
}

func (s *Store) attest() error {
	if err := s.witness.attest(); err != nil {
		return s.failed(err)
	}
	return nil
}

// failed records that the disk has failed, and returns what every later call will
// return, too.
func (s *Store) failed(err error) error {
	s.alarm.record(err)
	return s.alarm.err()
}

// endsWith reports whether the log ends, after this write, with what the witness is
// to say. If the write leaves the log as it is, the answer stays what it was.
func endsWith(w raft.Write, before bool) bool {
	if n := len(w.Entries); n > 0 {
		return w.Entries[n-1].ID() == w.Witness
	}
	return before && w.Reset == nil && w.TruncateFrom == 0
}

// commitLog commits the batch, if there is anything in it. Of the entries that
// were stored before, those up to kept stay.
func (s *Store) commitLog(before, after extent, kept raft.Index) error {
	if s.batch.Empty() {
		return nil
	}
	if kept < before.last || after.start != before.start {
		// Readers rely on every entry up to last, and find out what is there
		// from what is stored; they must not meet a commit that takes entries
		// away.
		s.reading.Lock()
		defer s.reading.Unlock()
	}
	if err := s.commit(pebble.Sync); err != nil {
		return err
	}
	s.hard = after.hard
	s.last.Store(uint64(after.last))
	if after.start != before.start {
		start := after.start // on the heap only here, and not for every Save
		s.start.Store(&start)
		s.wakeReclaimer()
	}
	return nil
}

// extent is what the writes staged so far leave behind.
type extent struct {
	hard  raft.HardState
	start raft.EntryID
	last  raft.Index
}

// stageReset removes all entries and configurations, and puts the start of the
// log where a snapshot ends (§7). What is before the start need not be deleted.
func (s *Store) stageReset(snapshot *raft.Snapshot, hs raft.HardState, x *extent) {
	start, c := snapshot.Last, snapshot.Configuration
	switch {
	case start.Index < x.start.Index || start.Index == 0 || start.Term == 0:
		panic(fmt.Sprintf("logstore: snapshot of entry %s for a log that is compacted up to %s", start, x.start))
	case start.Term > hs.CurrentTerm:
		panic(fmt.Sprintf("logstore: snapshot of entry %s written in term %d", start, hs.CurrentTerm))
	case c.Index == 0 || c.Index > start.Index:
		panic(fmt.Sprintf("logstore: snapshot of entry %s with the configuration of entry %d", start, c.Index))
	}
	if start.Index < x.last {
		s.stageRangeDeletion(entryPrefix, start.Index+1, x.last+1)
	}
	s.stageRangeDeletion(configurationPrefix, 0, x.last+1)
	s.stageRecord(startKey, encodeEntryID(start))
	s.stageRecord(indexKey(configurationPrefix, c.Index), c.Configuration.Encode())
	x.start, x.last = start, start.Index
}

// stageTruncation removes the entries at index from and above.
func (s *Store) stageTruncation(from raft.Index, x *extent) {
	if from <= x.start.Index {
		panic(fmt.Sprintf("logstore: truncation from entry %d of a log that is compacted up to %d", from, x.start.Index))
	}
	s.stageRangeDeletion(entryPrefix, from, x.last+1)
	s.stageRangeDeletion(configurationPrefix, from, x.last+1)
	x.last = from - 1
}

// stageRangeDeletion removes what is stored under a prefix for the indexes from
// first to before end.
func (s *Store) stageRangeDeletion(prefix byte, first, end raft.Index) {
	op := s.batch.DeleteRangeDeferred(indexKeySize, indexKeySize)
	putIndexKey(op.Key, prefix, first)
	putIndexKey(op.Value, prefix, end)
	finish(op)
}

// stageEntries appends entries in the form in which they were encoded.
func (s *Store) stageEntries(entries []raft.Entry, x *extent) {
	for i := range entries {
		e := &entries[i]
		if e.Index != x.last+1 {
			panic(fmt.Sprintf("logstore: entry %d written after entry %d", e.Index, x.last))
		}
		s.stageEntry(e)
		if e.Kind == raft.EntryConfiguration {
			s.stageRecord(indexKey(configurationPrefix, e.Index), e.Data)
		}
		x.last = e.Index
		s.counts.entries.Add(1)
	}
}

func (s *Store) stageEntry(e *raft.Entry) {
	op := s.batch.SetDeferred(indexKeySize, e.Size())
	putIndexKey(op.Key, entryPrefix, e.Index)
	copy(op.Value, e.Encoded())
	finish(op)
}

// stageHardState replaces the hard state, if it differs from the stored one.
func (s *Store) stageHardState(hs raft.HardState, x *extent) {
	if hs == x.hard {
		return
	}
	if hs.CurrentTerm < x.hard.CurrentTerm {
		panic(fmt.Sprintf("logstore: term %d written after term %d", hs.CurrentTerm, x.hard.CurrentTerm))
	}
	if hs.CurrentTerm == x.hard.CurrentTerm && x.hard.VotedFor != raft.None && hs.VotedFor != x.hard.VotedFor {
		panic(fmt.Sprintf("logstore: vote for %s in term %d written after a vote for %s",
			hs.VotedFor, hs.CurrentTerm, x.hard.VotedFor))
	}
	s.stageRecord(hardStateKey, encodeHardState(hs))
	x.hard = hs
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

// commit puts the batch into effect; with pebble.Sync it is durable, too. It has
// succeeded only if Pebble has not said otherwise in another way: see alarm.
func (s *Store) commit(o *pebble.WriteOptions) error {
	size := s.batch.Len()
	if err := s.batch.Commit(o); err != nil {
		s.alarm.record(err)
	}
	if err := s.alarm.err(); err != nil {
		return err
	}
	if o.Sync {
		s.counts.syncs.Add(1)
	}
	s.counts.bytes.Add(uint64(size))
	return nil
}
