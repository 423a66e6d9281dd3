package kv

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
	"balsa/raft/node"
)

// Contents returns what the state holds, and whether that is exactly as Install
// has left it. The record of an installation needs no write to become void: it
// names the entry that the snapshot ended with, and the state has gone on from
// there or not.
func (s *State) Contents() (held raft.Snapshot, installed bool, err error) {
	if err := s.enter(); err != nil {
		return raft.Snapshot{}, false, err
	}
	defer s.using.RUnlock()
	if applied, _ := s.Applied(); applied.Index == 0 {
		return raft.Snapshot{}, false, nil
	}
	if held, err = contents(s.db); err != nil {
		return raft.Snapshot{}, false, err
	}
	last, err := readEntryID(s.db, installedKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return held, false, nil
	}
	return held, last == held.Last, err
}

// Install replaces the whole state by a snapshot that was received and finished:
// keys, applied index, configuration and the record that Installed reads, all in
// one step that is on disk when Install returns. A crash leaves the old state,
// and the snapshot where it was received, or the new one. An error of the disk
// is fatal, as in Apply.
func (s *State) Install(from node.SnapshotSink) error {
	k, ok := from.(*sink)
	if !ok || k.r != s.receiver {
		return errors.New("kv: cannot install a snapshot that somebody else has received")
	}
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	if err := k.usable(); err != nil {
		return err
	}
	if !k.finished() {
		return errors.New("kv: cannot install a snapshot before it is finished")
	}
	last := k.snapshot.Last
	if last.Index <= s.applied.Index { // only the applier, that is the caller, changes it
		return fmt.Errorf("kv: cannot install a snapshot of entry %s over a state that has applied %s", last, s.applied)
	}
	if err := s.swap(k.paths(), last); err != nil {
		return fmt.Errorf("kv: installing a snapshot of entry %s: %w", last, err)
	}
	k.r.sink = nil
	k.r.remove()
	return nil
}

// swap puts tables in the place of everything that the store holds.
//
// The flush comes first because Pebble would do it anyhow, and wait for it
// without end on a disk that fails. Readers are kept out meanwhile: for a moment
// Pebble has taken the old tables away and has not made the new ones visible,
// and who looked in that moment would find no keys at all.
func (s *State) swap(tables []string, last raft.EntryID) error {
	if err := s.Flush(); err != nil {
		return err
	}
	s.using.Lock()
	defer s.using.Unlock()
	_, err := s.db.IngestAndExcise(context.Background(), tables, nil, nil, everything)
	if err != nil {
		s.failure.report(err)
	}
	if err := s.failure.err(); err != nil {
		return err
	}
	s.mu.Lock()
	s.applied = last
	s.mu.Unlock()
	return nil
}
