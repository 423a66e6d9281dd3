package logstore

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// reclaimBytes is how much must be dead in the table files before it is worth
// freeing: one file. Freeing holds up a Save for about as long as a sync.
const reclaimBytes = tableSize

// wakeReclaimer makes the reclaimer look whether there is something to free. It
// may be called by Pebble, and does not block.
func (s *Store) wakeReclaimer() {
	select {
	case s.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// reclaimer frees the space of what is before the start of the log, until the
// store is closed or has failed.
func (s *Store) reclaimer() {
	defer close(s.reclaimerDone)
	for {
		select {
		case <-s.stopReclaimer:
			return
		case <-s.wake:
		}
		if err := s.reclaim(reclaimBytes); err != nil {
			s.alarm.raise(err)
			return
		}
	}
}

// reclaim frees the space of what is before the start of the log, if that is at
// least so many bytes. The entries are not deleted one by one or by a range
// tombstone, which would have Pebble read and merge them all once more in order
// to leave them out, and to write what is left again. They are excised: table
// files that hold nothing else are removed, and one that also holds entries of
// the log keeps them.
func (s *Store) reclaim(least uint64) error {
	start, ok := s.committedStart()
	if !ok {
		return nil
	}
	// What is in memtables takes no space that could be freed, and to excise it
	// would be to flush it.
	end := min(start, raft.Index(s.flushed.Load())) + 1
	dead := pebble.KeyRange{Start: indexKey(entryPrefix, 0), End: indexKey(entryPrefix, end)}
	size, err := s.db.EstimateDiskUsage(dead.Start, dead.End)
	if err != nil {
		return s.readError(0, err)
	}
	if size < least {
		return nil
	}
	// Excising is durable at once. If the start of the log were not, a crash could
	// leave a log whose first entries are missing.
	err = s.db.LogData(nil, pebble.Sync)
	if err == nil {
		err = s.alarm.err()
	}
	if err == nil {
		err = s.db.Excise(context.Background(), dead)
	}
	if err != nil {
		return s.readError(0, fmt.Errorf("freeing the space of compacted entries: %w", err))
	}
	return nil
}

// committedStart returns the index of the entry before the first one, if the
// store is still usable. It waits for a commit that is under way, which may be
// about to move it.
func (s *Store) committedStart() (raft.Index, bool) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.start.Load().Index, s.usable() == nil
}

// noteFlush takes note of how far the log is in table files. Pebble calls it at
// the end of a flush.
func (s *Store) noteFlush(info pebble.FlushInfo) {
	for _, table := range info.Output {
		if key := table.Largest.UserKey; len(key) == indexKeySize && key[0] == entryPrefix {
			i, _ := indexOf(key)
			s.flushed.Store(uint64(i))
		}
	}
	s.wakeReclaimer()
}
