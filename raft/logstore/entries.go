package logstore

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// Entries returns the stored entries from index first on: at least one, and then
// as many as fit into maxBytes of encoded size, none beyond last. The result is
// shorter than asked for if the log ends earlier, and empty if the log does not
// hold even the first one: who asks from outside the log writer's goroutine may
// come after a truncation or a compaction, which is no damage. Damage is a
// [CorruptError].
//
// The entries share memory with each other and with nothing else. To keep one
// for long is to keep them all.
func (s *Store) Entries(first, last raft.Index, maxBytes int) ([]raft.Entry, error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	stored := raft.Index(s.last.Load())
	if first <= s.start.Load().Index || first > stored || first > last {
		return nil, nil
	}
	entries, err := s.readEntries(first, min(last, stored), maxBytes)
	if err != nil && first <= s.start.Load().Index {
		// It was removed in the meantime: only after start has moved on does the
		// reclaimer free the space.
		return nil, nil
	}
	return entries, s.noteDamage(err)
}

// readEntries reads entries that are known to be stored. The caller holds reading
// or writing. If the reclaimer removes some of them before they can be read, the
// first one is among those, and is reported as missing.
func (s *Store) readEntries(first, last raft.Index, maxBytes int) ([]raft.Entry, error) {
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: indexKey(entryPrefix, first), UpperBound: indexKey(entryPrefix, last+1),
	})
	if err != nil {
		return nil, s.readError(first, err)
	}
	defer it.Close()

	r := run{next: first, last: last, budget: maxBytes}
	for ok := it.First(); ok; ok = it.Next() {
		if i, err := indexOf(it.Key()); err != nil || i != r.next {
			return nil, s.readError(r.next, errMissing)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, s.readError(r.next, err)
		}
		if len(r.entries) > 0 && len(value) > r.budget {
			return r.entries, nil
		}
		if err := r.add(value); err != nil {
			return nil, s.readError(r.next, err)
		}
		if r.next > last {
			// To go on would be to read what was not asked for, and to fail if
			// that is damaged.
			return r.entries, nil
		}
	}
	if err := it.Error(); err != nil {
		return nil, s.readError(r.next, err)
	}
	return nil, s.readError(r.next, errMissing)
}

var errMissing = fmt.Errorf("%w: the entry is missing", raft.ErrCorrupt)

// run is a run of entries that is being read.
type run struct {
	entries []raft.Entry
	// next is the index to be read next, last the last one that is wanted.
	next, last raft.Index
	// budget is how many bytes of further entries may be added.
	budget int
	// arena holds the entries' bytes, which the iterator lends only until it
	// moves on.
	arena []byte
}

// add appends the entry stored as value.
func (r *run) add(value []byte) error {
	size := len(value)
	if cap(r.arena)-len(r.arena) < size {
		r.grow(size)
	}
	start := len(r.arena)
	r.arena = append(r.arena, value...)
	e, err := decodeEntryAt(r.next, r.arena[start:])
	if err != nil {
		return err
	}
	if n := len(r.entries); n > 0 && e.Term < r.entries[n-1].Term {
		return fmt.Errorf("%w: term %d follows term %d", raft.ErrCorrupt, e.Term, r.entries[n-1].Term)
	}
	r.entries = append(r.entries, e)
	r.budget -= size
	r.next++
	return nil
}

// grow begins a new arena, for an entry of size bytes and as many of the
// following ones as are wanted and fit into the budget, supposing that they are
// as large. In most logs they are, and one arena is enough.
func (r *run) grow(size int) {
	count := 1
	if size < r.budget {
		count = r.budget / size
	}
	count = int(min(raft.Index(count), r.last-r.next+1))
	r.arena = make([]byte, 0, count*size)
	if r.entries == nil {
		r.entries = make([]raft.Entry, 0, count)
	}
}
