package logstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"balsa/raft"
)

// The keys of the store, and what is under them:
//
//	c<index>     the configuration in the entry of that index, once more
//	e<index>     the encoded entry of that index
//	m/format     the version of this layout
//	m/hardstate  currentTerm and votedFor, in one record
//	m/identity   node, instance and cluster
//	m/start      the entry just before the first stored one
//
// Indexes are 8 bytes big-endian, so that the order of the keys is the order of
// the log. An entry is stored in the form in which the leader encoded it and in
// which it came over the wire; its checksum is part of that form. Entries at or
// before m/start are no part of the log any more: what there is of them waits for
// its space to be freed. The records under m/ are written when the store is
// created and are never absent after that.
//
// Configurations are stored twice because a server needs all of them when it
// starts, and must not have to search a long log for the few it holds. And the
// one in force where the log begins outlives its entry: after a compaction, or
// the installation of a snapshot, it is the only one at or below m/start.
const (
	entryPrefix         = 'e'
	configurationPrefix = 'c'
)

var (
	formatKey    = []byte("m/format")
	hardStateKey = []byte("m/hardstate")
	identityKey  = []byte("m/identity")
	startKey     = []byte("m/start")
)

// formatVersion is the version of the layout above. A program opens only stores
// of the version that it knows. Version 1 stored the entry of a configuration
// under c<index>; version 2 had no witness.
const formatVersion = 3

// indexKeySize is the length of a key that ends in an index.
const indexKeySize = 1 + 8

// putIndexKey writes the key of an index into dst, which has indexKeySize
// bytes.
func putIndexKey(dst []byte, prefix byte, i raft.Index) {
	dst[0] = prefix
	binary.BigEndian.PutUint64(dst[1:], uint64(i))
}

func indexKey(prefix byte, i raft.Index) []byte {
	key := make([]byte, indexKeySize)
	putIndexKey(key, prefix, i)
	return key
}

// prefixEnd is the first key after all keys with that prefix.
func prefixEnd(prefix byte) []byte { return []byte{prefix + 1} }

// indexOf returns the index in a key that indexKey made.
func indexOf(key []byte) (raft.Index, error) {
	if len(key) != indexKeySize {
		return 0, fmt.Errorf("%w: key %q is not an index", raft.ErrCorrupt, key)
	}
	return raft.Index(binary.BigEndian.Uint64(key[1:])), nil
}

// decodeEntryAt decodes the value stored for index i. Beyond the checksum, it
// notices an entry that is sound but in another's place.
func decodeEntryAt(i raft.Index, value []byte) (raft.Entry, error) {
	e, rest, err := raft.DecodeEntry(value)
	switch {
	case err != nil:
		return raft.Entry{}, err
	case e.Index != i:
		return raft.Entry{}, fmt.Errorf("%w: entry %d is stored in its place", raft.ErrCorrupt, e.Index)
	case len(rest) > 0:
		return raft.Entry{}, fmt.Errorf("%w: %d bytes follow the entry", raft.ErrCorrupt, len(rest))
	}
	return e, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksumSize is what sealRecord puts before a payload.
const checksumSize = 4

// sealRecord returns the value to store under key: a checksum of key and
// payload, then the payload. With the key in it, a record that turns up under
// another's key is noticed as well.
func sealRecord(key, payload []byte) []byte {
	value := make([]byte, checksumSize, checksumSize+len(payload))
	binary.LittleEndian.PutUint32(value, recordChecksum(key, payload))
	return append(value, payload...)
}

// openRecord returns a copy of the payload that sealRecord was given.
func openRecord(key, value []byte) ([]byte, error) {
	if len(value) < checksumSize {
		return nil, fmt.Errorf("%w: record of %d bytes", raft.ErrCorrupt, len(value))
	}
	payload := value[checksumSize:]
	if recordChecksum(key, payload) != binary.LittleEndian.Uint32(value) {
		return nil, fmt.Errorf("%w: record checksum does not match", raft.ErrCorrupt)
	}
	return bytes.Clone(payload), nil
}

func recordChecksum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}

func encodeFormat(version uint32) []byte {
	return binary.LittleEndian.AppendUint32(nil, version)
}

func decodeFormat(payload []byte) (uint32, error) {
	if len(payload) != 4 {
		return 0, wrongLength(payload, 4)
	}
	return binary.LittleEndian.Uint32(payload), nil
}

func encodeHardState(hs raft.HardState) []byte {
	b := encodePair(uint64(hs.CurrentTerm), uint64(hs.VotedFor))
	if hs.Promised {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeHardState(payload []byte) (raft.HardState, error) {
	const length = 8 + 8 + 1
	if len(payload) != length || payload[length-1] > 1 {
		return raft.HardState{}, wrongLength(payload, length)
	}
	term, vote, err := decodePair(payload[:length-1])
	return raft.HardState{
		CurrentTerm: raft.Term(term), VotedFor: raft.NodeID(vote), Promised: payload[length-1] == 1,
	}, err
}

func encodeEntryID(id raft.EntryID) []byte {
	return encodePair(uint64(id.Term), uint64(id.Index))
}

func decodeEntryID(payload []byte) (raft.EntryID, error) {
	term, index, err := decodePair(payload)
	return raft.EntryID{Term: raft.Term(term), Index: raft.Index(index)}, err
}

func encodePair(a, b uint64) []byte {
	payload := binary.LittleEndian.AppendUint64(make([]byte, 0, 16), a)
	return binary.LittleEndian.AppendUint64(payload, b)
}

func decodePair(payload []byte) (a, b uint64, err error) {
	if len(payload) != 16 {
		return 0, 0, wrongLength(payload, 16)
	}
	return binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint64(payload[8:]), nil
}

func encodeIdentity(id Identity) []byte {
	payload := binary.LittleEndian.AppendUint64(make([]byte, 0, 40), uint64(id.NodeID))
	payload = append(payload, id.InstanceID[:]...)
	return append(payload, id.ClusterID[:]...)
}

func decodeIdentity(payload []byte) (Identity, error) {
	if len(payload) != 40 {
		return Identity{}, wrongLength(payload, 40)
	}
	return Identity{
		NodeID:     raft.NodeID(binary.LittleEndian.Uint64(payload)),
		InstanceID: raft.InstanceID(payload[8:24]),
		ClusterID:  [16]byte(payload[24:40]),
	}, nil
}

func wrongLength(payload []byte, want int) error {
	return fmt.Errorf("%w: record of %d bytes, want %d", raft.ErrCorrupt, len(payload), want)
}
