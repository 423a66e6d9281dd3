package kv

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// batchScratch is what one call of Apply works with. Only the applier's
// goroutine touches it; it is kept from call to call for its memory.
type batchScratch struct {
	// touched holds the revision, or zero for deleted, of each key that an
	// earlier command of the batch wrote. It is what makes a compare-and-set
	// see the put in front of it.
	//
	// A Pebble indexed batch would do that as well, but it pays for a sorted
	// index of every write, and what a command needs to know is one number. A
	// batch of plain puts, the common one, needs to know nothing and skips the
	// map altogether.
	touched map[string]raft.Index
	inUse   bool
	// key is a buffer for Pebble keys.
	key []byte
}

// Apply applies entries to the store: all of them or, with an error, none. The
// entries must be contiguous and follow the last applied one exactly; anything
// else is refused, because it would skip an entry or apply one twice. A
// configuration is kept for the snapshots that will be taken; other entries that
// are no commands only move the applied record.
//
// The results are of type *outcome, nil for entries that are no commands, and
// mean something to this package's [Store] only.
//
// Once Apply has returned, the effects are visible to readers. They are durable
// when [State.FlushedIndex] has reached them; until then the Raft log is what
// keeps them.
func (s *State) Apply(entries []raft.Entry) ([]any, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.using.RUnlock()

	if err := s.checkContiguous(entries); err != nil {
		return nil, err
	}
	batch := s.db.NewBatch()
	defer batch.Close()
	results, err := s.execute(batch, entries)
	if err != nil {
		return nil, fmt.Errorf("kv: applying entries %d to %d: %w",
			entries[0].Index, entries[len(entries)-1].Index, err)
	}
	last := entries[len(entries)-1].ID()
	// The record of having applied these entries is in the batch with their
	// effects, so that no crash can come between the two.
	op := batch.SetDeferred(len(appliedKey), entryIDSize) // rule:apply.once thesis 3.8 the applied index and the effects are one write
	copy(op.Key, appliedKey)
	putEntryID(op.Value, op.Key, last)
	if err := errors.Join(op.Finish(), s.commit(batch), s.failure.err()); err != nil {
		return nil, fmt.Errorf("kv: applying entries up to %s: %w", last, err)
	}
	s.mu.Lock()
	s.applied = last
	s.mu.Unlock()
	return results, nil
}

func (s *State) commit(batch *pebble.Batch) error {
	s.committing.Lock()
	defer s.committing.Unlock()
	return batch.Commit(pebble.NoSync)
}

// checkContiguous refuses entries that do not continue the applied ones.
func (s *State) checkContiguous(entries []raft.Entry) error {
	previous := s.applied // only the applier, that is the caller, changes it
	for i := range entries {
		id := entries[i].ID()
		if id.Index != previous.Index+1 || id.Term < previous.Term {
			return fmt.Errorf("kv: cannot apply entry %s after entry %s", id, previous)
		}
		previous = id
	}
	return nil
}

// execute puts the effects of entries into the batch and returns their results.
// There are as many outcomes as entries and they share one allocation, because
// on a follower nobody will look at them.
func (s *State) execute(batch *pebble.Batch, entries []raft.Entry) ([]any, error) {
	s.batch.begin(entries)
	outcomes := make([]outcome, len(entries))
	results := make([]any, len(entries))
	for i := range entries {
		switch e := &entries[i]; e.Kind {
		case raft.EntryCommand:
			if err := s.executeOne(batch, e, &outcomes[i]); err != nil {
				return nil, err
			}
			results[i] = &outcomes[i]
		case raft.EntryConfiguration:
			record := encodeConfiguration(e.Index, e.Data) // rule:snap.config §7 the latest configuration is part of the state
			if err := batch.Set(configurationKey, record, nil); err != nil {
				return nil, err
			}
		}
	}
	return results, nil
}

// executeOne puts the effect of one command into the batch. An error means that
// the store cannot go on; a command that fails has an outcome that says so.
// Whatever the command's bytes are, the outcome depends on them and on the
// replicated state alone.
func (s *State) executeOne(batch *pebble.Batch, e *raft.Entry, o *outcome) error { // rule:apply.deterministic §2 no clock, no chance, no configuration
	c, err := decodeCommand(e.Data)
	if err != nil {
		o.code = outcomeNotUnderstood
		return nil
	}
	s.batch.key = storedKey(s.batch.key[:0], c.key)
	var current raft.Index
	if c.kind.reads() {
		if current, err = s.currentRevision(c.key); err != nil {
			return err
		}
	}
	if c.kind.compares() && current != c.expected {
		*o = outcome{code: outcomeConflict, revision: current}
		return nil
	}
	*o = outcome{code: outcomeApplied, revision: e.Index}
	switch c.kind {
	case commandPut, commandCompareAndSet:
		s.batch.note(c.key, e.Index)
		op := batch.SetDeferred(len(s.batch.key), valueHeader+len(c.value))
		copy(op.Key, s.batch.key)
		putValue(op.Value, op.Key, e.Index, c.value)
		return op.Finish()
	case commandDelete, commandCompareAndDelete:
		if current == 0 {
			return nil
		}
		o.existed = true
		s.batch.note(c.key, 0)
		return batch.Delete(s.batch.key, nil)
	}
	panic(fmt.Sprintf("kv: the decoder knows command kind %d and the state machine does not", c.kind))
}

// currentRevision returns the revision of a key as the previous command left
// it, zero if there is no such key. s.batch.key must hold its Pebble key.
func (s *State) currentRevision(key []byte) (raft.Index, error) {
	if revision, ok := s.batch.touched[string(key)]; ok {
		return revision, nil
	}
	record, closer, err := s.db.Get(s.batch.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, readError(err)
	}
	revision, _, err := openValue(s.batch.key, record)
	return revision, errors.Join(err, closer.Close())
}

// begin prepares for a batch. The map is needed only if some command after the
// first will ask what the batch has done so far.
func (b *batchScratch) begin(entries []raft.Entry) {
	clear(b.touched)
	b.inUse = slices.ContainsFunc(entries[1:], func(e raft.Entry) bool {
		return e.Kind == raft.EntryCommand && commandReads(e.Data)
	})
	if b.inUse && b.touched == nil {
		b.touched = make(map[string]raft.Index)
	}
}

// note records that the batch gives the key this revision.
func (b *batchScratch) note(key []byte, revision raft.Index) {
	if b.inUse {
		b.touched[string(key)] = revision
	}
}
