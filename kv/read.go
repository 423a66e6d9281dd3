package kv

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Item is what a read found.
type Item struct {
	// Value is the caller's own copy. It may be empty, which is not the same as
	// there being no such key.
	Value []byte
	// Revision is the index of the entry that wrote the key last, zero if there
	// is no such key.
	Revision uint64
	// Applied says how fresh the answer is, also when there is no such key: it
	// reflects every entry up to this index, and perhaps some after it. It is
	// never below Revision.
	Applied uint64
}

// Get reads a key from this server's own state, which may be behind the
// leader's. The result says whether there is such a key. Damage that the read
// comes upon is reported as [ErrCorrupt]; a damaged value is never returned.
//
// The applied index is read before the value, not after: entries that are
// applied between the two can only make the answer fresher than it claims to
// be. That takes no snapshot and no lock that would keep the applier waiting.
func (s *State) Get(key []byte) (Item, bool, error) {
	if err := s.enter(); err != nil {
		return Item{}, false, err
	}
	defer s.using.RUnlock()
	applied, _ := s.Applied()
	item := Item{Applied: uint64(applied.Index)}

	stored := storedKey(make([]byte, 0, 1+len(key)), key)
	record, closer, err := s.db.Get(stored)
	if errors.Is(err, pebble.ErrNotFound) {
		return item, false, nil
	}
	if err != nil {
		return Item{}, false, readError(err)
	}
	revision, value, err := openValue(stored, record)
	item.Value = slices.Clone(value)
	if err := errors.Join(err, closer.Close()); err != nil {
		return Item{}, false, err
	}
	item.Revision = uint64(revision)
	// A value that was applied after the index was read proves that the state
	// holds at least the batch that wrote it.
	item.Applied = max(item.Applied, item.Revision)
	return item, true, nil
}
