package logstore

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

type counters struct {
	syncs, entries, bytes atomic.Uint64
}

// Stats counts what a store has done since it was opened.
type Stats struct {
	// Syncs is the number of synced commits: one for each Save that changed
	// anything.
	Syncs uint64
	// WitnessSyncs is the number of synced writes to the witness.
	WitnessSyncs uint64
	// Entries is the number of entries that were given to Save.
	Entries uint64
	// Bytes is what was written to the write-ahead log, without its framing.
	Bytes uint64
}

// Stats returns the counters of the store.
func (s *Store) Stats() Stats {
	return Stats{
		Syncs:        s.counts.syncs.Load(),
		WitnessSyncs: s.witness.syncs.Load(),
		Entries:      s.counts.entries.Load(),
		Bytes:        s.counts.bytes.Load(),
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

// Size estimates how many bytes the entries from first to last take on disk; what
// is not stored counts for nothing. It reads no entry, only the indexes of a few
// files.
//
// It knows what is in table files, to about a block at either end and a few per
// cent. Entries that were saved since Pebble last flushed are not among that: up
// to two memtables of them. But Open flushes all that it finds, so what Size says
// before the first Save is complete, and whoever counts from there knows the size
// of the log at any time.
func (s *Store) Size(first, last raft.Index) (uint64, error) {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed {
		return 0, ErrClosed
	}
	first = max(first, s.start.Load().Index+1)
	last = min(last, raft.Index(s.last.Load()))
	if first > last {
		return 0, nil
	}
	size, err := s.db.EstimateDiskUsage(indexKey(entryPrefix, first), indexKey(entryPrefix, last+1))
	return size, s.readError(0, err)
}
