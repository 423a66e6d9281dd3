package kv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft"
	"balsa/raft/node"
)

// receiver keeps a snapshot that is on its way in a directory of its own inside
// the state's: there it is on the same file system, so that its tables can be
// linked into the store, and Pebble leaves it alone. Nothing in that directory
// means anything but the tables that the progress record lists.
type receiver struct {
	fs       vfs.FS
	parent   string
	dir      string
	identity Identity
	writer   sstable.WriterOptions
	reader   sstable.ReaderOptions
	// tableBytes is how large a table becomes before the next one is begun.
	tableBytes uint64
	log        *slog.Logger

	mu     sync.Mutex
	closed bool
	// sink is the snapshot that is being received, or has been and is not
	// installed yet.
	sink *sink
	// left is what an earlier run of this server has received, until somebody
	// offers a snapshot.
	left *progress
}

const (
	receivedDir  = "received"
	progressFile = "progress"
	progressNew  = "progress.new"
)

// newReceiver returns the receiver of the store that is opened with these
// options. Tables are made as Pebble makes its own ones for the lowest level,
// which is where they will lie.
func newReceiver(dir string, identity Identity, store *pebble.Options, logger *slog.Logger) *receiver {
	po := store.Clone()
	if po.FS == nil {
		po.FS = vfs.Default
	}
	po.EnsureDefaults()
	const lowestLevel = len(po.Levels) - 1
	return &receiver{
		fs: po.FS, parent: dir, dir: po.FS.PathJoin(dir, receivedDir), identity: identity, log: logger,
		writer:     po.MakeWriterOptions(lowestLevel, formatVersion.MaxTableFormat()),
		reader:     po.MakeReaderOptions(),
		tableBytes: tableBytes,
	}
}

// Receive prepares to receive a snapshot. If it is the one that was being
// received when the connection broke, the same sink goes on. If it is the one
// that was being received when this server stopped, the tables that were
// complete are read and checked, and a sink goes on after them. Otherwise
// whatever is there is deleted.
func (s *State) Receive(offer node.SnapshotOffer) (node.SnapshotSink, error) {
	if err := s.failure.err(); err != nil {
		return nil, err
	}
	k, err := s.receiver.receive(offer)
	if err != nil {
		return nil, fmt.Errorf("kv: cannot receive a snapshot: %w", err)
	}
	return k, nil
}

func (r *receiver) receive(offer node.SnapshotOffer) (*sink, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrStopped
	}
	if r.sink != nil && r.sink.is(offer) {
		return r.sink, nil
	}
	left := r.left
	r.left = nil
	if left != nil && left.is(offer) {
		err := r.check(*left)
		if err == nil {
			r.sink = newSink(r, *left, offer.Size)
			return r.sink, nil
		}
		r.log.Warn("what was received of a snapshot is damaged: beginning again", "error", err)
	}
	if r.sink != nil {
		r.sink.abandonTable()
		r.sink = nil
	}
	if err := r.clear(); err != nil {
		return nil, err
	}
	r.sink = newSink(r, progress{id: offer.ID, snapshot: offer.Snapshot}, offer.Size)
	return r.sink, nil
}

// clear makes the directory a new and empty one. That it is so is on disk before
// the first table is begun: otherwise a crash could bring an old progress record
// back, beside new tables.
func (r *receiver) clear() error {
	return errors.Join(r.fs.RemoveAll(r.dir), r.fs.MkdirAll(r.dir, 0o700), r.syncDir(r.parent))
}

// remove deletes what was received, because it has been installed or is of no
// use. What cannot be deleted now is garbage, and clear or tidy will try again.
func (r *receiver) remove() {
	if err := r.fs.RemoveAll(r.dir); err != nil {
		r.log.Warn("cannot delete the rest of a snapshot", "directory", r.dir, "error", err)
	}
}

// tidy looks at what an earlier run has left in the directory, and keeps only
// what can still be of use: the complete tables of a snapshot of entries that
// have not been applied.
func (r *receiver) tidy(applied raft.Index) {
	names, err := r.fs.List(r.dir)
	if err != nil || len(names) == 0 {
		return
	}
	p, err := r.readProgress()
	if err != nil || p.snapshot.Last.Index <= applied {
		r.remove()
		return
	}
	keep := []string{progressFile}
	for i := range p.tables {
		keep = append(keep, p.tableName(i))
	}
	for _, name := range names {
		if !slices.Contains(keep, name) {
			err = errors.Join(err, r.fs.RemoveAll(r.path(name)))
		}
	}
	if err != nil {
		r.log.Warn("cannot delete what does not belong to a snapshot", "directory", r.dir, "error", err)
	}
	r.left = &p
}

// close ends the sink. What it has received so far stays for the next run.
func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	if r.sink == nil || r.sink.table == nil {
		return
	}
	if err := r.sink.finishTable(); err != nil {
		r.log.Warn("what was received of a snapshot is lost", "error", r.sink.fail(err))
	}
}

func (r *receiver) path(name string) string { return r.fs.PathJoin(r.dir, name) }

// writeProgress replaces the progress record: after a crash there is either the
// old one or the new one. It also makes the names of the tables durable.
func (r *receiver) writeProgress(p progress) error {
	if err := r.writeFile(r.path(progressNew), p.encode()); err != nil {
		return err
	}
	return errors.Join(r.fs.Rename(r.path(progressNew), r.path(progressFile)), r.syncDir(r.dir))
}

func (r *receiver) writeFile(path string, data []byte) error {
	f, err := r.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func (r *receiver) syncDir(path string) error {
	dir, err := r.fs.OpenDir(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readProgress returns the progress record, if it is intact and the tables that
// it lists are there.
func (r *receiver) readProgress() (progress, error) {
	f, err := r.fs.Open(r.path(progressFile))
	if err != nil {
		return progress{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxProgress+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return progress{}, err
	}
	p, err := decodeProgress(data)
	if err != nil {
		return progress{}, err
	}
	for i, length := range p.tables {
		info, err := r.fs.Stat(r.path(p.tableName(i)))
		if err != nil {
			return progress{}, err
		}
		if uint64(info.Size()) != length {
			return progress{}, fmt.Errorf("%w: %s has %d bytes, not %d", errProgress, info.Name(), info.Size(), length)
		}
	}
	return p, nil
}

// check reads the tables of an earlier run and compares the checksums of their
// blocks: they have been out of this program's sight.
func (r *receiver) check(p progress) error {
	for i := range p.tables {
		if err := r.checkTable(r.path(p.tableName(i))); err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) checkTable(path string) error {
	f, err := r.fs.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	table, err := sstable.NewReader(context.Background(), readable, r.reader)
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(table.ValidateBlockChecksums(), table.Close())
}
