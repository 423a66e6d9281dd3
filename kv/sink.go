package kv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/raft/node"
)

const (
	// tableBytes is about how large a table becomes before the next one is begun,
	// in bytes: that much may have to be sent again after a restart.
	tableBytes = 32 << 20
	// spareBytes is how much room on the disk is left to the live store and the
	// log. The snapshot can wait for an operator; they cannot.
	spareBytes = 64 << 20
	// syncBytes is after how many bytes a table's data is sent on its way to the
	// disk. One large sync at the end would keep the log's small ones waiting.
	syncBytes = 512 << 10
)

// sink turns arriving chunks into tables that Pebble can take over as they are.
// Its methods hold the receiver's lock, and so do those who call the unexported
// ones.
type sink struct {
	r *receiver
	// progress is what has arrived, of which the disk may know less: position is
	// ahead of the tables while one is being written.
	progress
	size uint64
	// due are the records that say what the snapshot contains and have not
	// arrived yet, in ascending order.
	due [][]byte
	// complete says that the last chunk has arrived.
	complete bool
	table    *sstable.Writer
}

var _ node.SnapshotSink = (*sink)(nil)

// newSink returns a sink that goes on from p. The position of p must be covered
// by its tables.
func newSink(r *receiver, p progress, size uint64) *sink {
	k := &sink{r: r, progress: p, size: size}
	for _, key := range [][]byte{appliedKey, configurationKey} {
		if bytes.Compare(key, p.position.After) > 0 {
			k.due = append(k.due, key)
		}
	}
	return k
}

// damaged is the type of errDamaged, which is an [ErrCorrupt] to whoever asks.
// But it says something else: this server's own state is in order.
type damaged struct{}

func (damaged) Error() string {
	return "the arriving snapshot is damaged, or is not the one that was announced"
}

func (damaged) Unwrap() error { return ErrCorrupt }

// errDamaged is wrapped by what a sink says of data that cannot be right.
var errDamaged error = damaged{}

// usable reports why the sink can be used no more.
func (k *sink) usable() error {
	switch {
	case k.r.closed:
		return ErrStopped
	case k.r.sink != k:
		return fmt.Errorf("kv: another snapshot has taken its place: %w", node.ErrSnapshotRefused)
	}
	return nil
}

// Position returns the zero position again after an error of the disk.
func (k *sink) Position() node.Position {
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	return node.Position{Offset: k.position.Offset, After: bytes.Clone(k.position.After)}
}

// Write takes the next chunk. A chunk that is not at the position, or is
// damaged, changes nothing, and neither does too little room on the disk to go
// on. After an error of the disk all that was received is deleted, which also
// makes room, and the sink can begin again.
func (k *sink) Write(c node.Chunk) error {
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	if err := k.usable(); err != nil {
		return err
	}
	if c.Offset != k.position.Offset {
		return fmt.Errorf("kv: the chunk at %d of a snapshot arrives, the one at %d is due", c.Offset, k.position.Offset)
	}
	records, err := openChunk(c)
	if err != nil {
		return fmt.Errorf("kv: %w", err)
	}
	last, due, err := k.examine(records)
	if err == nil && last == nil && !c.Last {
		err = fmt.Errorf("%w: an empty chunk is not the last one", errDamaged)
	}
	if err != nil {
		return fmt.Errorf("kv: %w", err)
	}
	if last != nil {
		if err := k.store(records); err != nil {
			return err
		}
		k.position.After = bytes.Clone(last)
	}
	k.position.Offset += uint64(len(c.Data))
	k.due, k.complete = due, c.Last
	if k.table != nil && k.table.Raw().EstimatedSize() >= k.r.tableBytes {
		if err := k.finishTable(); err != nil {
			return k.fail(err)
		}
	}
	return nil
}

// examine checks a chunk without doing anything, and returns its last key, nil if
// it is empty, and the records that are due after it.
func (k *sink) examine(records chunkReader) (last []byte, due [][]byte, err error) {
	if k.complete && len(records.rest) > 0 {
		return nil, nil, fmt.Errorf("%w: a chunk follows the last one", errDamaged)
	}
	records.key = k.position.After
	for due = k.due; ; {
		key, record, err := records.next()
		if key == nil || err != nil {
			return last, due, err
		}
		if len(due) > 0 && bytes.Compare(key, due[0]) >= 0 {
			if err := k.confirm(due[0], key, record); err != nil {
				return nil, nil, err
			}
			due = due[1:]
		}
		last = key
	}
}

// confirm checks a record that says what the snapshot contains against what was
// announced: the label is not believed until the contents agree.
func (k *sink) confirm(want, key, record []byte) error {
	if !bytes.Equal(key, want) {
		return fmt.Errorf("%w: it has no record %q", errDamaged, want)
	}
	if bytes.Equal(key, appliedKey) {
		if id, err := openEntryID(key, record); err != nil || id != k.snapshot.Last {
			return fmt.Errorf("%w: it is one of entry %s, and %s was announced", errDamaged, id, k.snapshot.Last)
		}
		return nil
	}
	c, err := openConfiguration(record)
	announced := k.snapshot.Configuration
	if err != nil || c.Index != announced.Index ||
		!bytes.Equal(c.Configuration.Encode(), announced.Configuration.Encode()) {
		return fmt.Errorf("%w: its configuration is that of entry %d, %s, and not that of entry %d, %s",
			errDamaged, c.Index, c.Configuration, announced.Index, announced.Configuration)
	}
	return nil
}

// store puts the records of an examined chunk into a table.
func (k *sink) store(records chunkReader) error {
	if err := k.beginTable(); err != nil {
		return err
	}
	for {
		key, record, err := records.next()
		if err == nil && key == nil {
			return nil
		}
		if err := errors.Join(err, k.table.Set(key, record)); err != nil {
			return k.fail(err)
		}
	}
}

// beginTable makes a table to write to, if there is none. The first one begins
// with what is this server's own and not its leader's.
func (k *sink) beginTable() error {
	if k.table != nil {
		return nil
	}
	if err := k.checkRoom(); err != nil {
		return err
	}
	f, err := k.r.fs.Create(k.r.path(k.tableName(len(k.tables))), vfs.WriteCategoryUnspecified)
	if err != nil {
		return k.fail(err)
	}
	f = vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: syncBytes})
	k.table = sstable.NewWriter(objstorageprovider.NewFileWritable(f), k.r.writer)
	if len(k.tables) > 0 {
		return nil
	}
	installed := make([]byte, entryIDSize)
	putEntryID(installed, installedKey, k.snapshot.Last)
	if err := errors.Join(
		k.table.Set(identityKey, encodeIdentity(k.r.identity)),
		k.table.Set(installedKey, installed),
	); err != nil {
		return k.fail(err)
	}
	return nil
}

// checkRoom refuses to begin a table that would leave too little room on the
// disk. A file system that cannot say how much there is, is not asked.
func (k *sink) checkRoom() error {
	usage, err := k.r.fs.GetDiskUsage(k.r.dir)
	if want := spareBytes + min(k.size, k.r.tableBytes); err == nil && usage.AvailBytes < want {
		return fmt.Errorf("kv: cannot go on receiving a snapshot: %w: %d MiB are free on the disk of %s, want %d",
			syscall.ENOSPC, usage.AvailBytes>>20, k.r.dir, want>>20)
	}
	return nil
}

// finishTable makes the table that is being written, and the record of it,
// durable.
func (k *sink) finishTable() error {
	table := k.table
	k.table = nil
	if err := table.Close(); err != nil {
		return err
	}
	metadata, err := table.Metadata()
	if err != nil {
		return err
	}
	k.tables = append(k.tables, metadata.Size)
	return k.r.writeProgress(k.progress)
}

// abandonTable lets go of the table that is being written; its file is to be
// deleted next.
func (k *sink) abandonTable() {
	if k.table != nil {
		k.table.Close() // nobody needs what it could not write
		k.table = nil
	}
}

// fail deletes everything, so that the sink begins again, and returns the cause
// in more words.
func (k *sink) fail(cause error) error {
	k.abandonTable()
	err := k.r.clear() // the cause says what is wrong; Receive will try again
	*k = *newSink(k.r, progress{id: k.id, snapshot: k.snapshot}, k.size)
	return fmt.Errorf("kv: receiving a snapshot into %s, which begins again: %w", k.r.dir, errors.Join(cause, err))
}

// Finish returns when the whole snapshot is on disk. It fails with an error that
// wraps [ErrCorrupt] if it does not contain what was announced.
func (k *sink) Finish() error {
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	if err := k.usable(); err != nil {
		return err
	}
	if !k.complete {
		return fmt.Errorf("kv: the snapshot is not complete: the chunk at %d is missing", k.position.Offset)
	}
	if len(k.due) > 0 {
		return k.fail(fmt.Errorf("%w: it has no record %q", errDamaged, k.due[0]))
	}
	if k.table != nil {
		if err := k.finishTable(); err != nil {
			return k.fail(err)
		}
	}
	return nil
}

// finished reports that Finish has succeeded.
func (k *sink) finished() bool { return k.complete && k.table == nil && len(k.due) == 0 }

// paths returns the paths of the tables.
func (k *sink) paths() []string {
	var paths []string
	for i := range k.tables {
		paths = append(paths, k.r.path(k.tableName(i)))
	}
	return slices.Clip(paths)
}

// Discard deletes what was received. Calling it again, or after another snapshot
// has taken its place, does nothing.
func (k *sink) Discard() error {
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	if k.usable() != nil {
		return nil
	}
	k.abandonTable()
	k.r.sink = nil
	return k.r.fs.RemoveAll(k.r.dir)
}
