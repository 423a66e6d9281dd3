package logstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
	"balsa/raft/node"
)

// Options say whose store is opened and how it reports.
type Options struct {
	// NodeID is the node that the store belongs to. It is required; a store
	// that is opened as another node's is refused with a [WrongNodeError].
	NodeID raft.NodeID
	// Logger receives what an operator should know. Nil discards it.
	Logger *slog.Logger
	// Fatal is called, possibly by several goroutines, when the store has
	// failed while it was open; it must not return, because the node must not
	// go on. Nil logs the message, to standard error if there is no Logger, and
	// exits the process with status 1.
	Fatal func(message string)
	// LazyWitness lets the witness trail the log by up to a thousand entries
	// instead of syncing it with every Save. A loss that goes no further back than
	// that, and that no leader is there to notice, then goes unnoticed.
	LazyWitness bool
	// ForRecovery opens a store for [Store.Recover] and nothing else. Nothing is
	// changed before that, and it is no obstacle if the witness is missing or
	// unreadable, or entries are damaged.
	ForRecovery bool
	// FS replaces the operating system's file system, in tests.
	FS vfs.FS
}

// Store is the durable log, hard state and identity of one node. Its methods
// may be called by several goroutines.
type Store struct {
	dir    string
	log    *slog.Logger
	files  vfs.FS
	db     *pebble.DB
	lock   *pebble.Lock
	fs     io.Closer
	alarm  *alarm
	counts counters

	// witness stands beside the log and knows where it ended.
	witness *witness
	// damaged is where Recover cuts the log, in a store that is open for that.
	damaged raft.Index

	identity atomic.Pointer[Identity]

	// writing is held by whoever changes the store; it guards batch, which is
	// used again and again, and hard.
	writing sync.Mutex
	batch   *pebble.Batch
	hard    raft.HardState

	// reading is held shared by readers, and alone by what must not meet one:
	// Close, and the commit of a truncation or a reset. A compaction may meet
	// readers: see Entries.
	reading sync.RWMutex
	closed  bool
	// start is the entry just before the first stored one, last is the index of
	// the last one. Whoever holds reading can read every entry after start and
	// up to last, unless start moves on meanwhile.
	start atomic.Pointer[raft.EntryID]
	last  atomic.Uint64

	// flushed is the index of the last entry that is in a table file; that one and
	// those before it are not in memtables any more.
	flushed atomic.Uint64
	// wake wakes the reclaimer, stopReclaimer ends it.
	wake, stopReclaimer, reclaimerDone chan struct{}
}

var _ node.LogStore = (*Store)(nil)

// Open opens the store in the directory, or creates it there. The directory is
// locked until [Store.Close]; [ErrInUse] means that somebody else has locked it.
//
// After an error the directory is unlocked again, with one exception: if the
// disk failed or was full in the middle of opening, it may stay locked until
// the process ends.
func Open(dir string, opts Options) (*Store, error) {
	if opts.NodeID == raft.None {
		return nil, errors.New("a log store needs the id of its node")
	}
	log, lastWords := opts.Logger, opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
		lastWords = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	fatal := opts.Fatal
	if fatal == nil {
		fatal = func(message string) {
			lastWords.Error(message)
			os.Exit(1)
		}
	}

	s := &Store{
		dir: dir, log: log, alarm: newAlarm(dir),
		wake: make(chan struct{}, 1), stopReclaimer: make(chan struct{}), reclaimerDone: make(chan struct{}),
	}
	files, closer := watchDisk(opts.FS, log, s.alarm)
	s.files, s.fs = files, closer
	err := s.alarm.guard(func() error {
		var err error
		if s.lock, err = lockDirectory(dir, files); err != nil {
			return errors.Join(err, s.fs.Close())
		}
		o := pebbleOptions(files, s.lock, log, s.alarm)
		o.AddEventListener(pebble.EventListener{FlushEnd: s.noteFlush})
		if err = s.open(o, opts); err != nil {
			return errors.Join(err, s.lock.Close(), s.fs.Close())
		}
		return nil
	})
	if err == nil {
		err = s.alarm.opened(fatal)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the log store: %w", err)
	}
	go s.reclaimer()
	s.wakeReclaimer()
	return s, nil
}

// lockDirectory creates the directory if need be, and locks it.
func lockDirectory(dir string, files vfs.FS) (*pebble.Lock, error) {
	if err := makeDirectory(dir, files); err != nil {
		return nil, fmt.Errorf("creating %q: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, files)
	if err == nil {
		return lock, nil
	}
	// The lock file could not be created, or the system cannot lock files. Any
	// other failure means that the lock is taken: by another process if there
	// is an error number, by this one if there is none.
	_, noFile := errors.AsType[*fs.PathError](err)
	errno, ok := errors.AsType[syscall.Errno](err)
	if noFile || ok && errno != syscall.EAGAIN && errno != syscall.EACCES {
		return nil, fmt.Errorf("locking %q: %w", dir, err)
	}
	return nil, fmt.Errorf("%q: %w", dir, ErrInUse)
}

// makeDirectory creates a directory that does not exist yet, and its parents. A
// new directory is in its parent's hands: until that one is synced, a power
// failure can take it away with all that was synced inside it.
func makeDirectory(dir string, files vfs.FS) error {
	if _, err := files.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := files.PathDir(dir)
	if err := makeDirectory(parent, files); err != nil {
		return err
	}
	if err := files.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	d, err := files.OpenDir(parent)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// open opens Pebble and reads what the store holds, or creates it. The caller
// holds the lock on the directory.
func (s *Store) open(o *pebble.Options, opts Options) error {
	var err error
	if s.db, err = pebble.Open(s.dir, o); err != nil {
		return s.openError(err)
	}
	s.batch = s.db.NewBatch(pebble.WithMaxRetainedSizeBytes(maxBatch))
	if err = s.load(opts); err != nil {
		if s.witness != nil {
			err = errors.Join(err, s.witness.abandon())
		}
		return errors.Join(err, s.batch.Close(), s.db.Close())
	}
	return nil
}

// openError describes why Pebble did not open. Pebble keeps where in which
// write-ahead log the damage is out of the text of its errors.
func (s *Store) openError(err error) error {
	if !pebble.IsCorruptionError(err) {
		return fmt.Errorf("%q: %w", s.dir, err)
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		if d, ok := cause.(interface{ ErrorDetail() string }); ok {
			return s.readError(0, fmt.Errorf("%w (%s)", err, d.ErrorDetail()))
		}
	}
	return s.readError(0, err)
}

// load reads everything that the store keeps in memory, or creates the store if
// there is nothing to read.
func (s *Store) load(o Options) error {
	format, found, err := readRecord(s, formatKey, decodeFormat)
	if err != nil {
		return err
	}
	if !found {
		return s.create(o)
	}
	if format != formatVersion {
		return &FormatError{Dir: s.dir, Stored: format, Known: formatVersion}
	}
	id, err := mustReadRecord(s, identityKey, decodeIdentity)
	if err != nil {
		return err
	}
	if id.NodeID != o.NodeID {
		return &WrongNodeError{Dir: s.dir, Stored: id.NodeID, Given: o.NodeID}
	}
	s.identity.Store(&id)
	if s.hard, err = mustReadRecord(s, hardStateKey, decodeHardState); err != nil {
		return err
	}
	start, err := mustReadRecord(s, startKey, decodeEntryID)
	if err != nil {
		return err
	}
	s.start.Store(&start)
	if err := s.meetWitness(o); err != nil {
		return err
	}
	if err := s.findEnd(); err != nil {
		return err
	}
	return s.reconcile(o)
}

// create makes an empty store of a new instance. Without a format record there
// must be no other record: a creation that a crash interrupted leaves none.
//
// The witness comes first. So a log without a witness has lost it, however young
// the log is, and an empty directory beside a witness that has seen anything has
// lost its log.
func (s *Store) create(o Options) error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return s.readError(0, err)
	}
	empty := !it.First()
	if err := it.Close(); err != nil {
		return s.readError(0, err)
	}
	if !empty {
		return s.readError(0, fmt.Errorf("%w: there is data, but no record %q", raft.ErrCorrupt, formatKey))
	}

	id := Identity{NodeID: o.NodeID, InstanceID: newInstanceID()}
	if err := s.createWitness(id, o); err != nil {
		return err
	}
	s.stageRecord(formatKey, encodeFormat(formatVersion))
	s.stageRecord(identityKey, encodeIdentity(id))
	s.stageRecord(hardStateKey, encodeHardState(raft.HardState{}))
	s.stageRecord(startKey, encodeEntryID(raft.EntryID{}))
	if err := s.commit(pebble.Sync); err != nil {
		return err
	}
	// The first write-ahead log of a new database is made before its format is
	// raised, so damage in the middle of it would pass for its end. A flush
	// makes Pebble begin another one, and moves the identity out of reach.
	if err := s.db.Flush(); err != nil {
		return fmt.Errorf("%q: %w", s.dir, err)
	}
	s.identity.Store(&id)
	s.start.Store(&raft.EntryID{})
	return nil
}

// findEnd finds the last entry and checks that the first one is where it must
// be. What is stored from before the start of the log is none of it.
func (s *Store) findEnd() error {
	start := s.start.Load().Index
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: indexKey(entryPrefix, start+1), UpperBound: prefixEnd(entryPrefix),
	})
	if err != nil {
		return s.readError(0, err)
	}
	defer it.Close()

	s.last.Store(uint64(start))
	if it.First() {
		first, err := indexOf(it.Key())
		if err == nil && first != start+1 {
			err = fmt.Errorf("%w: the log begins with entry %d", raft.ErrCorrupt, first)
		}
		if err != nil {
			return s.readError(start+1, err)
		}
	}
	if it.Last() {
		last, err := indexOf(it.Key())
		if err != nil {
			return s.readError(0, err)
		}
		s.last.Store(uint64(last))
	}
	if err := it.Error(); err != nil {
		return s.readError(0, err)
	}
	// Pebble flushes what it finds in the write-ahead log when it opens.
	s.flushed.Store(s.last.Load())
	if s.damaged != 0 {
		s.last.Store(min(s.last.Load(), uint64(s.damaged)-1))
	}
	return nil
}

// readRecord reads the record under key. It reports whether there is one.
func readRecord[T any](s *Store, key []byte, decode func([]byte) (T, error)) (record T, found bool, err error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return record, false, nil
	}
	if err != nil {
		return record, false, s.readError(0, err)
	}
	defer closer.Close()
	payload, err := openRecord(key, value)
	if err == nil {
		record, err = decode(payload)
	}
	if err != nil {
		return record, false, s.readError(0, fmt.Errorf("record %q: %w", key, err))
	}
	return record, true, nil
}

// mustReadRecord reads a record that every store has.
func mustReadRecord[T any](s *Store, key []byte, decode func([]byte) (T, error)) (T, error) {
	record, found, err := readRecord(s, key, decode)
	if err == nil && !found {
		err = s.readError(0, fmt.Errorf("%w: record %q is missing", raft.ErrCorrupt, key))
	}
	return record, err
}

// Close closes the store and unlocks the directory. It waits for calls that are
// under way; later ones return [ErrClosed]. A store that has failed is left as
// it is, locked, for the end of the process to clean up; Close then returns
// what failed.
func (s *Store) Close() error {
	if err := s.end(); err != nil {
		return err
	}
	close(s.stopReclaimer)
	return s.alarm.guard(func() error {
		<-s.reclaimerDone
		return errors.Join(s.witness.close(), s.batch.Close(), s.db.Close(), s.lock.Close(), s.fs.Close())
	})
}

// end waits for calls that are under way and lets no more of them begin. It
// returns why the store cannot be closed.
func (s *Store) end() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.closed = true
	return s.alarm.err()
}
