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
// balsa node. Apply and Install are for one goroutine, the applier; the other
// methods may be called by any at any time, and return [ErrStopped] after Close.
type State struct {
	dir      string
	identity Identity
	db       *pebble.DB
	failure  *failure
	receiver *receiver
	// chunkBytes is what the data of a chunk should not exceed.
	chunkBytes int

	// using is held shared while db is in use. It is held exclusively to close
	// it, because Pebble panics when it is used after Close, and to install a
	// snapshot: see swap.
	using  sync.RWMutex
	closed bool

	// committing is held while a batch is on its way into the store, and while a
	// memtable is closed to be flushed: see flush.
	committing sync.Mutex

	mu      sync.Mutex
	applied raft.EntryID
	// sources are the pictures that somebody has taken and not closed yet.
	sources map[*source]struct{}

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
	s, err := openStore(dir, opts)
	if err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		s.db.Close() // whatever it says, the first error is the one to know
		return nil, fmt.Errorf("kv: cannot open the state store in %s: %w", dir, err)
	}
	s.receiver.tidy(s.applied.Index)
	return s, nil
}

// openStore opens the store and does not look into it.
func openStore(dir string, opts Options) (*State, error) {
	if opts.Fatal == nil {
		opts.Fatal = exit(opts.Logger)
	}
	logger := opts.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &State{
		dir: dir, identity: opts.Identity, failure: newFailure(opts.Fatal),
		chunkBytes: node.ChunkSize, sources: make(map[*source]struct{}),
	}
	po := pebbleOptions(opts, logger, s.failure)
	s.receiver = newReceiver(dir, opts.Identity, po, logger)
	var err error
	if s.db, err = pebble.Open(dir, po); err != nil {
		return nil, fmt.Errorf("kv: cannot open the state store in %s: %w", dir, readError(err))
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
	// Pebble would otherwise queue a snapshot behind its memtables, and rely on
	// the write-ahead log, which there is not, to remember it after a crash.
	po.Experimental.DisableIngestAsFlushable = func() bool { return true }
	return po
}

// load checks whose store this is and how far it has come, and makes a new one
// ours.
func (s *State) load() error {
	found, err := readIdentity(s.db)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return s.create()
	case err != nil:
		return err
	}
	if found != s.identity {
		return fmt.Errorf("%w: it holds the state of %s, and this is %s; check --data-dir and --id",
			ErrWrongIdentity, found, s.identity)
	}
	s.applied, err = readEntryID(s.db, appliedKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil // created, and nothing applied since
	}
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
// [pebble.ErrNotFound]. What it reads from is the store or a picture of it.
func read(from pebble.Reader, key []byte) ([]byte, error) {
	record, closer, err := from.Get(key)
	if err != nil {
		return nil, readError(err)
	}
	record = slices.Clone(record)
	return record, closer.Close()
}

func readIdentity(from pebble.Reader) (Identity, error) {
	record, err := read(from, identityKey)
	if err != nil {
		return Identity{}, err
	}
	return decodeIdentity(record)
}

func readEntryID(from pebble.Reader, key []byte) (raft.EntryID, error) {
	record, err := read(from, key)
	if err != nil {
		return raft.EntryID{}, err
	}
	return openEntryID(key, record)
}

// contents says what the state there contains, in the state's own words: what
// is counted beside it could be a moment older or newer.
func contents(from pebble.Reader) (raft.Snapshot, error) {
	last, err := readEntryID(from, appliedKey)
	if err != nil {
		return raft.Snapshot{}, err
	}
	record, err := read(from, configurationKey)
	if err != nil {
		return raft.Snapshot{}, err
	}
	configuration, err := openConfiguration(record)
	return raft.Snapshot{Last: last, Configuration: configuration}, err
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
//
// It closes the memtable between two batches, never in the middle of one.
// Pebble writes a batch into the memtable first and makes it visible after that,
// and of the versions of a key a flush keeps the newest only. Example: "a" is 1
// and visible, 2 is written and not visible yet, and the memtable is flushed. It
// keeps 2, and until 2 is made visible readers find what an older file has of
// "a", or nothing. A memtable that is full is no danger: then it is the applier
// that closes it, whose batches are all visible.
func (s *State) flush() error {
	s.committing.Lock()
	flushed, err := s.db.AsyncFlush()
	s.committing.Unlock()
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
		flushed, err = openEntryID(appliedKey, iter.Value())
	}
	return flushed.Index, errors.Join(err, readError(iter.Close()))
}

// Close flushes and closes the store. Snapshots that were taken of it, or are
// being received, end with it. Calling it again does nothing.
func (s *State) Close() error {
	s.receiver.close()
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
	for source := range s.sources {
		err = errors.Join(err, source.picture.Close())
	}
	if err := errors.Join(err, s.db.Close()); err != nil {
		return fmt.Errorf("kv: closing the state store in %s: %w", s.dir, err)
	}
	return nil
}
