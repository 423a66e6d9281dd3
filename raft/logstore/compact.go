package logstore

import (
	"cmp"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// Compact removes the entries up to and including the given one, whose effect
// the state machine has on disk (§7). What the log must still know of them it
// keeps: the identity of the last one, which the next AppendEntries is checked
// against, and the configuration that is in force there. It does nothing if the
// log begins after that entry already.
//
// All that Compact does is to move the start of the log, which takes no longer
// for many entries than for few: nothing before it is ever read again, and its
// space is freed later, see reclaim. Compact does not wait for the disk: until the
// next Save has written something, a crash may bring back all of the entries, but
// never only some.
//
// Compact panics if the log does not hold the entry: who asks for that has mixed
// up two logs, or compacts what was never stored.
func (s *Store) Compact(last raft.EntryID) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	start := *s.start.Load()
	if last.Index < start.Index || last == start {
		return nil
	}
	held, err := s.holds(last)
	if err != nil {
		return s.noteDamage(err)
	}
	if !held {
		panic(fmt.Sprintf("logstore: compaction up to %s, which is not in the log %d to %d", last, start.Index+1, s.last.Load()))
	}
	oldest, inForce, err := s.configurationsUpTo(last.Index)
	if err != nil {
		return err
	}

	s.batch.Reset()
	s.stageRecord(startKey, encodeEntryID(last))
	if oldest < inForce {
		s.stageRangeDeletion(configurationPrefix, oldest, inForce)
	}
	if err := s.commit(pebble.NoSync); err != nil {
		return err
	}
	s.start.Store(&last)
	s.wakeReclaimer()
	return nil
}

// holds reports whether the log holds an entry with this index and term, or
// begins right after it. The caller holds writing.
func (s *Store) holds(id raft.EntryID) (bool, error) {
	start := *s.start.Load()
	if id.Index <= start.Index || id.Index > raft.Index(s.last.Load()) {
		return id == start, nil
	}
	e, err := s.readEntries(id.Index, id.Index, 0)
	if err != nil {
		return false, err
	}
	return e[0].Term == id.Term, nil
}

// configurationsUpTo returns the indexes of the oldest stored configuration and
// of the one that is in force at index i.
func (s *Store) configurationsUpTo(i raft.Index) (oldest, inForce raft.Index, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{configurationPrefix}, UpperBound: indexKey(configurationPrefix, i+1),
	})
	if err != nil {
		return 0, 0, s.readError(0, err)
	}
	defer it.Close()
	if it.First() {
		oldest, err = indexOf(it.Key())
	}
	if err == nil && it.Last() {
		inForce, err = indexOf(it.Key())
	}
	if err = cmp.Or(err, it.Error()); err == nil && inForce == 0 {
		err = fmt.Errorf("%w: no configuration is stored for entry %d or before", raft.ErrCorrupt, i)
	}
	return oldest, inForce, s.readError(0, err)
}
