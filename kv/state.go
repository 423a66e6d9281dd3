package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
	"balsa/raft/node"
)

// Options configure a [State]. Only Identity must be set.
type Options struct {
	// Identity is whose state this is. A directory that holds another one's is
	// refused.
	Identity Identity
	// FS is the file system; nil means the machine's own.
	FS vfs.FS
	// Logger receives what Pebble has to say; nil discards it.
	Logger *slog.Logger
	// Fatal is called, once, when the disk has failed: a write, a sync, a flush
	// or a compaction returned an error. The process must end soon after that,
	// because Pebble goes on trying, and Fatal must not call the State, whose
	// locks may be held. Nil means to log the error, or to print it if there is
	// no Logger, and to exit with status 1.
	Fatal func(error)
	// CacheBytes bounds the block cache, which includes the memtables. Zero
	// means 64 MiB.
	CacheBytes int64
	// MemTableBytes is the size of one memtable. Up to three of them wait to be
	// flushed, and what waits is what must be applied again after a crash. Zero
	// means 8 MiB: then at most about 65,000 writes of 128 bytes wait, or
	// 250,000 of the smallest ones, and a second is enough to repeat them.
	MemTableBytes int
}

const (
	defaultCacheBytes    = 64 << 20
	defaultMemTableBytes = 8 << 20
	// memTables is how many memtables may wait for a slow disk before Apply
	// waits too. One that fills and one that is flushed are the normal case.
	memTables = 3
	// bloomBitsPerKey gives about one false positive in a hundred. The filters
	// spare a comparing command on a new key the search through every level.
	bloomBitsPerKey = 10
)

// formatVersion is Pebble's newest format, by name: the default is the oldest,
// and a number that moved with the library would make downgrades impossible
// without anybody having decided so.
const formatVersion = pebble.FormatValueSeparation

// State is the replicated state of one server: the [node.StateMachine] of a
// balsa node. Apply is for one goroutine, the applier; the other methods may be
// called by any at any time, and return [ErrStopped] after Close.
type State struct {
	dir      string
	identity Identity
	db       *pebble.DB
	failure  *failure

	// using is held shared while db is in use and exclusively to close it:
	// Pebble panics when it is used after Close.
	using  sync.RWMutex
	closed bool

	mu      sync.Mutex
	applied raft.EntryID

	// batch is scratch space of the applier.
	batch batchScratch
}

var _ node.StateMachine = (*State)(nil)

// OpenState opens the state store in dir, and creates it if there is none. It
// fails with an error that wraps [ErrWrongIdentity] if dir holds something
// else, and [ErrCorrupt] if what it holds is damaged. It takes no longer for a
// large store than for a small one.
func OpenState(dir string, opts Options) (*State, error) {
	if opts.Identity.Node == raft.None || opts.Identity.Cluster == [16]byte{} {
		return nil, fmt.Errorf("kv: cannot open the state store in %s: whose it is has not been said", dir)
	}
	if opts.Fatal == nil {
		opts.Fatal = exit(opts.Logger)
	}
	logger := opts.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &State{dir: dir, identity: opts.Identity, failure: newFailure(opts.Fatal)}

	var err error
	if s.db, err = pebble.Open(dir, pebbleOptions(opts, logger, s.failure)); err != nil {
		return nil, fmt.Errorf("kv: cannot open the state store in %s: %w", dir, readError(err))
	}
	if err := s.load(); err != nil {
		s.db.Close() // whatever it says, the first error is the one to know
		return nil, fmt.Errorf("kv: cannot open the state store in %s: %w", dir, err)
	}
	return s, nil
}

func pebbleOptions(opts Options, logger *slog.Logger, f *failure) *pebble.Options {
	po := &pebble.Options{
		FS:                          opts.FS,
		FormatMajorVersion:          formatVersion,
		DisableWAL:                  true,
		CacheSize:                   defaultCacheBytes,
		MemTableSize:                defaultMemTableBytes,
		MemTableStopWritesThreshold: memTables,
		Logger:                      pebbleLogger{log: logger, failure: f},
		EventListener:               eventListener(f, logger),
	}
	if opts.CacheBytes > 0 {
		po.CacheSize = opts.CacheBytes
	}
	if opts.MemTableBytes > 0 {
		po.MemTableSize = uint64(opts.MemTableBytes)
	}
	for i := range po.Levels {
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
	}
	return po
}

// load checks whose store this is and how far it has come, and makes a new one
// ours.
func (s *State) load() error {
	record, err := s.read(identityKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return s.create()
	case err != nil:
		return err
	}
	found, err := decodeIdentity(record)
	if err != nil {
		return err
	}
	if found != s.identity {
		return fmt.Errorf("%w: it holds the state of %s, and this is %s; check --data-dir and --id",
			ErrWrongIdentity, found, s.identity)
	}

	record, err = s.read(appliedKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil // created, and nothing applied since
	}
	if err != nil {
		return err
	}
	s.applied, err = openApplied(record)
	return err
}

// create writes the identity into an empty store and flushes it, which also
// makes the store's files in their final form. A crash before the flush leaves
// an empty store, which the next start will find and make ours again.
func (s *State) create() error {
	empty, err := s.isEmpty()
	if err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("%w: it is a Pebble store without an identity; check --data-dir", ErrWrongIdentity)
	}
	if err := s.db.Set(identityKey, encodeIdentity(s.identity), pebble.NoSync); err != nil {
		return err
	}
	return s.flush()
}

func (s *State) isEmpty() (bool, error) {
	iter, err := s.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	found := iter.First()
	return !found, iter.Close()
}

// read returns a copy of the record under a Pebble key, or
// [pebble.ErrNotFound].
func (s *State) read(key []byte) ([]byte, error) {
	record, closer, err := s.db.Get(key)
	if err != nil {
		return nil, readError(err)
	}
	record = slices.Clone(record)
	return record, closer.Close()
}

// readError puts damage that Pebble has noticed into this package's words.
func readError(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w (%w)", ErrCorrupt, err)
	}
	return err
}

// enter begins the use of the store. Unless it fails, s.using.RUnlock must
// follow.
func (s *State) enter() error {
	s.using.RLock()
	err := s.failure.err()
	if s.closed {
		err = ErrStopped
	}
	if err != nil {
		s.using.RUnlock()
	}
	return err
}

// Applied returns the last entry whose effect the store holds. After an
// orderly Close that is the last entry applied; after a crash it is the last
// one that had been flushed, and the node applies those after it again.
func (s *State) Applied() (raft.EntryID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applied, nil
}

// Flush returns when everything applied before the call is on disk.
func (s *State) Flush() error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.using.RUnlock()
	return s.flush()
}

// flush does not use Pebble's own waiting Flush: that one never returns from a
// disk that fails.
func (s *State) flush() error {
	flushed, err := s.db.AsyncFlush()
	if err != nil {
		return err
	}
	select {
	case <-flushed:
		return s.failure.err()
	case <-s.failure.failed:
		return s.failure.err()
	}
}

// FlushedIndex returns an index up to which every entry's effect is certainly
// on disk: the log may be compacted up to there, but no further. Zero means
// that nothing is.
//
// It asks the disk and not a counter. The applied record that Pebble finds when
// it leaves the memtables out is the one of the last batch that was flushed and
// synced, and since the effects are in the same batch, so are they.
func (s *State) FlushedIndex() (raft.Index, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.using.RUnlock()
	iter, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound:                appliedKey,
		UpperBound:                append(slices.Clone(appliedKey), 0),
		OnlyReadGuaranteedDurable: true,
	})
	if err != nil {
		return 0, readError(err)
	}
	var flushed raft.EntryID
	if iter.First() {
		flushed, err = openApplied(iter.Value())
	}
	return flushed.Index, errors.Join(err, readError(iter.Close()))
}

// Close flushes and closes the store. Calling it again does nothing.
func (s *State) Close() error {
	s.using.Lock()
	defer s.using.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.failure.err()
	if err == nil {
		err = s.flush()
	}
	if err := errors.Join(err, s.db.Close()); err != nil {
		return fmt.Errorf("kv: closing the state store in %s: %w", s.dir, err)
	}
	return nil
}

// Installed is a placeholder.
func (s *State) Installed() (*raft.Snapshot, error) { return nil, nil }

// Snapshot is a placeholder.
func (s *State) Snapshot() (node.SnapshotSource, error) { return nil, errors.New("not built") }

// Receive is a placeholder.
func (s *State) Receive(node.SnapshotOffer) (node.SnapshotSink, error) {
	return nil, errors.New("not built")
}

// Install is a placeholder.
func (s *State) Install(node.SnapshotSink) error { return errors.New("not built") }
