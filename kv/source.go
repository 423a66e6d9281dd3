package kv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
	"balsa/raft/node"
)

// Snapshot returns a picture of the replicated state as of the last entry that
// was applied. It costs a flush and no copy: the picture holds on to the files
// that make it up, and with them to their space on the disk, until it is closed.
// It fails if nothing has been applied yet.
func (s *State) Snapshot() (node.SnapshotSource, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.using.RUnlock()
	src, err := s.takePicture()
	if err != nil {
		return nil, fmt.Errorf("kv: cannot take a snapshot: %w", err)
	}
	s.mu.Lock()
	s.sources[src] = struct{}{}
	s.mu.Unlock()
	return src, nil
}

// takePicture flushes first: only what is in files can be kept as files. For the
// sake of what is in memory Pebble would have to keep every version of every key
// until the next flush.
//
// A plain Pebble snapshot would not do. It remembers a moment, not files, and
// when a snapshot from the leader is installed here, the files of that moment
// are gone.
func (s *State) takePicture() (*source, error) {
	if err := s.flush(); err != nil {
		return nil, err
	}
	size, err := s.estimateSize()
	if err != nil {
		return nil, readError(err)
	}
	picture := s.db.NewEventuallyFileOnlySnapshot([]pebble.KeyRange{replicated})
	snapshot, err := contents(picture)
	if errors.Is(err, pebble.ErrNotFound) {
		err = errors.New("no configuration has been applied yet")
	}
	if err != nil {
		return nil, errors.Join(err, picture.Close())
	}
	return &source{state: s, picture: picture, snapshot: snapshot, size: size}, nil
}

// estimateSize adds up what is in the files. Versions that a compaction has not
// dropped yet count, what was applied since the flush does not.
func (s *State) estimateSize() (uint64, error) {
	levels, err := s.db.SSTables(pebble.WithProperties())
	if err != nil {
		return 0, err
	}
	var size uint64
	for _, level := range levels {
		for _, table := range level {
			size += table.Properties.RawKeySize + table.Properties.RawValueSize
		}
	}
	return size, nil
}

// source is a picture of the state that is read chunk by chunk. It keeps nothing
// open between chunks: an iterator would keep memtables in memory for as long as
// a slow receiver takes.
type source struct {
	state    *State
	picture  *pebble.EventuallyFileOnlySnapshot
	snapshot raft.Snapshot
	size     uint64
	closed   bool

	// offset and after say where the next chunk begins, as in node.Position.
	offset uint64
	after  []byte
	chunk  []byte
}

var _ node.SnapshotSource = (*source)(nil)

func (src *source) Snapshot() raft.Snapshot { return src.snapshot }

func (src *source) Size() uint64 { return src.size }

// Seek makes Next go on after the key that the position names. The cuts between
// chunks depend on where the one before ended and on nothing else, so the
// offsets that follow are the ones that they would have been.
func (src *source) Seek(p node.Position) error {
	if (p.Offset == 0) != (len(p.After) == 0) || len(p.After) > node.MaxPosition ||
		p.Offset > 0 && bytes.Compare(p.After, replicated.Start) < 0 {
		return fmt.Errorf("kv: a snapshot has no position %d after key %.80q", p.Offset, p.After)
	}
	src.offset = p.Offset
	src.after = append(src.after[:0], p.After...)
	return nil
}

// Next returns the next chunk; after the last one, an empty one that says so. It
// fails with [ErrStopped] after the state was closed, and [ErrCorrupt] if it
// meets damage: what is damaged here must not be sent.
func (src *source) Next() (node.Chunk, error) {
	if err := src.state.enter(); err != nil {
		return node.Chunk{}, err
	}
	defer src.state.using.RUnlock()
	if src.closed {
		return node.Chunk{}, errors.New("kv: the snapshot was closed")
	}
	last, err := src.fill()
	if err != nil {
		return node.Chunk{}, fmt.Errorf("kv: reading the snapshot: %w", err)
	}
	sealChunk(src.chunk, src.offset)
	c := node.Chunk{Offset: src.offset, Data: src.chunk, Last: last}
	src.offset += uint64(len(src.chunk))
	return c, nil
}

// fill puts records into the chunk until the next one would make it too large,
// and reports whether none is left.
func (src *source) fill() (last bool, err error) {
	options := pebble.IterOptions{LowerBound: replicated.Start, UpperBound: replicated.End}
	if len(src.after) > 0 {
		options.LowerBound = slices.Concat(src.after, []byte{0})
	}
	iter, err := src.picture.NewIter(&options)
	if err != nil {
		return false, readError(err)
	}
	src.chunk = beginChunk(src.chunk)
	more := iter.First()
	for ; more && err == nil; more = iter.Next() {
		key := iter.Key()
		record, readErr := iter.ValueAndErr()
		if len(src.chunk) > chunkHeader && len(src.chunk)+recordHeader+len(key)+len(record) > src.state.chunkBytes {
			break
		}
		_, err = unseal(key, record)
		err = errors.Join(readError(readErr), err)
		src.chunk = appendRecord(src.chunk, key, record)
		src.after = append(src.after[:0], key...)
	}
	return !more, errors.Join(err, readError(iter.Close()))
}

// Close lets go of the picture's files. Calling it again does nothing.
func (src *source) Close() error {
	s := src.state
	s.using.RLock()
	defer s.using.RUnlock()
	src.closed = true
	if s.closed {
		return nil // and the picture with it
	}
	s.mu.Lock()
	_, open := s.sources[src]
	delete(s.sources, src)
	s.mu.Unlock()
	if !open {
		return nil
	}
	return src.picture.Close()
}
