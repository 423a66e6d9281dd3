package kv

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/cockroachdb/pebble/v2"

	"balsa/raft"
)

// The first byte of a Pebble key says what the rest of it is. What is this
// server's alone comes before everything that is replicated. Other kinds of
// replicated state take letters of their own, and travel in snapshots without
// anything more to be done.
const (
	prefixLocal = 'L' // followed by a name
	prefixKey   = 'k' // followed by a user key, so that user keys keep their order
	prefixMeta  = 'm' // followed by a name
)

var (
	identityKey      = []byte("Lidentity")
	installedKey     = []byte("Linstalled")
	appliedKey       = []byte("mapplied")
	configurationKey = []byte("mconfiguration")
)

var (
	// everything is the range of all keys in the store.
	everything = pebble.KeyRange{Start: []byte{0}, End: []byte{0xff}}
	// replicated is the range of the keys that are the same on every replica.
	replicated = pebble.KeyRange{Start: []byte{prefixLocal + 1}, End: []byte{0xff}}
)

// storedKey appends the Pebble key of a user key to buf.
func storedKey(buf, key []byte) []byte {
	buf = append(buf, prefixKey)
	return append(buf, key...)
}

// Every value in the store is a sealed record: a CRC-32C and a payload. The
// checksum covers the Pebble key as well, so that a record which turns up under
// another key is as damaged as one with a flipped bit. Pebble has checksums of
// its own; this one goes all the way from Apply to the reader, through every
// cache and buffer between the two.
const sealSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal writes the checksum of the payload that follows it in record.
func seal(key, record []byte) {
	binary.LittleEndian.PutUint32(record, checksum(key, record[sealSize:]))
}

// unseal returns the payload of a record, which it aliases, or an error that
// wraps [ErrCorrupt].
func unseal(key, record []byte) ([]byte, error) {
	if len(record) < sealSize || binary.LittleEndian.Uint32(record) != checksum(key, record[sealSize:]) {
		return nil, fmt.Errorf("%w (the checksum of record %q does not match)", ErrCorrupt, key)
	}
	return record[sealSize:], nil
}

func checksum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}

// The payload of a user key is its revision and its value.
const (
	revisionSize = 8
	valueHeader  = sealSize + revisionSize
)

// putValue fills record, which is valueHeader+len(value) long.
func putValue(record, key []byte, revision raft.Index, value []byte) {
	binary.LittleEndian.PutUint64(record[sealSize:], uint64(revision))
	copy(record[valueHeader:], value)
	seal(key, record)
}

// openValue returns the revision and the value of a record, which it aliases.
func openValue(key, record []byte) (raft.Index, []byte, error) {
	payload, err := unseal(key, record)
	if err != nil {
		return 0, nil, err
	}
	if len(payload) < revisionSize {
		return 0, nil, fmt.Errorf("%w (record %q is cut short)", ErrCorrupt, key)
	}
	return raft.Index(binary.LittleEndian.Uint64(payload)), payload[revisionSize:], nil
}

// entryIDSize is the length of the applied record, and of the installed one:
// term and index of an entry.
const entryIDSize = sealSize + 8 + 8

// putEntryID fills record, which is entryIDSize long.
func putEntryID(record, key []byte, id raft.EntryID) {
	binary.LittleEndian.PutUint64(record[sealSize:], uint64(id.Term))
	binary.LittleEndian.PutUint64(record[sealSize+8:], uint64(id.Index))
	seal(key, record)
}

func openEntryID(key, record []byte) (raft.EntryID, error) {
	payload, err := unseal(key, record)
	if err != nil {
		return raft.EntryID{}, err
	}
	if len(payload) != entryIDSize-sealSize {
		return raft.EntryID{}, fmt.Errorf("%w (record %q has %d bytes)", ErrCorrupt, key, len(record))
	}
	return raft.EntryID{
		Term:  raft.Term(binary.LittleEndian.Uint64(payload)),
		Index: raft.Index(binary.LittleEndian.Uint64(payload[8:])),
	}, nil
}

// encodeConfiguration returns the record of the latest configuration: like a
// user key, it has the index of the entry that wrote it, and that entry's data.
func encodeConfiguration(index raft.Index, data []byte) []byte {
	record := make([]byte, valueHeader+len(data))
	putValue(record, configurationKey, index, data)
	return record
}

func openConfiguration(record []byte) (raft.IndexedConfiguration, error) {
	index, data, err := openValue(configurationKey, record)
	if err != nil {
		return raft.IndexedConfiguration{}, err
	}
	c, err := raft.DecodeConfiguration(data)
	if err != nil {
		return raft.IndexedConfiguration{}, fmt.Errorf("%w (%w)", ErrCorrupt, err)
	}
	return raft.IndexedConfiguration{Index: index, Configuration: c}, nil
}

// Identity says whose state a store holds.
type Identity struct {
	// Cluster is the identity of the cluster, minted when it was founded.
	Cluster [16]byte
	// Node is the server's own ID, never [raft.None].
	Node raft.NodeID
}

func (id Identity) String() string { return fmt.Sprintf("node %s of cluster %x", id.Node, id.Cluster) }

// identityVersion is the version of the layout of the whole store.
const identityVersion = 2

func encodeIdentity(id Identity) []byte {
	record := make([]byte, sealSize, sealSize+1+len(id.Cluster)+8)
	record = append(record, identityVersion)
	record = append(record, id.Cluster[:]...)
	record = binary.LittleEndian.AppendUint64(record, uint64(id.Node))
	seal(identityKey, record)
	return record
}

func decodeIdentity(record []byte) (Identity, error) {
	var id Identity
	payload, err := unseal(identityKey, record)
	if err != nil {
		return id, err
	}
	if len(payload) == 0 || payload[0] != identityVersion {
		return id, fmt.Errorf("%w: it was written by another version of this program", ErrWrongIdentity)
	}
	if len(payload) != 1+len(id.Cluster)+8 {
		return id, fmt.Errorf("%w (the identity record has %d bytes)", ErrCorrupt, len(payload))
	}
	n := copy(id.Cluster[:], payload[1:])
	id.Node = raft.NodeID(binary.LittleEndian.Uint64(payload[1+n:]))
	return id, nil
}
