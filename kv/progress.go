package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"balsa/raft"
	"balsa/raft/node"
)

// progress is what a receiver must remember of a snapshot to go on with it after
// a restart: which one it is, which tables are complete, and what comes next.
type progress struct {
	id       node.SnapshotID
	snapshot raft.Snapshot
	// position is where the data of the next table begins.
	position node.Position
	// tables are the lengths of the complete tables, in bytes.
	tables []uint64
}

// is reports whether the offer is of the same snapshot.
func (p progress) is(offer node.SnapshotOffer) bool {
	return p.id == offer.ID && bytes.Equal(p.snapshot.AppendTo(nil), offer.Snapshot.AppendTo(nil))
}

// tableName returns the name of the i-th table, from 0. The snapshot's ID is in
// it, so that no table of one snapshot can be taken for another's.
func (p progress) tableName(i int) string { return fmt.Sprintf("%x-%06d.sst", p.id, i) }

const (
	progressVersion = 1
	// maxProgress bounds the encoded form, in bytes. It has room for the largest
	// configuration and for half a million tables.
	maxProgress = 8 << 20
)

// errProgress is what the decoder reports: the record does not count.
var errProgress = errors.New("kv: the record of how far a snapshot was received is damaged")

// encode returns the record in binary form, integers little-endian:
//
//	checksum     4   CRC-32C of all that follows
//	version      1
//	snapshot ID  16
//	offset       8
//	key size     2   the key is Position.After
//	tables       4   how many, and the length of each:
//	  length     8
//	key
//	description      whatever is left
func (p progress) encode() []byte {
	b := append(make([]byte, 4), progressVersion)
	b = append(b, p.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, p.position.Offset)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(p.position.After)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(p.tables)))
	for _, length := range p.tables {
		b = binary.LittleEndian.AppendUint64(b, length)
	}
	b = append(b, p.position.After...)
	b = p.snapshot.AppendTo(b)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	return b
}

// decodeProgress is the inverse of encode and accepts nothing that encode does
// not produce.
func decodeProgress(b []byte) (progress, error) {
	var p progress
	const fixed = 4 + 1 + len(p.id) + 8 + 2 + 4
	if len(b) < fixed || len(b) > maxProgress ||
		binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) || b[4] != progressVersion {
		return progress{}, errProgress
	}
	b = b[5+copy(p.id[:], b[5:]):]
	p.position.Offset = binary.LittleEndian.Uint64(b)
	keySize := int(binary.LittleEndian.Uint16(b[8:]))
	tables := uint64(binary.LittleEndian.Uint32(b[10:]))
	b = b[14:]
	if keySize == 0 || keySize > node.MaxPosition || tables == 0 || 8*tables+uint64(keySize) > uint64(len(b)) {
		return progress{}, errProgress
	}
	for ; tables > 0; tables-- {
		p.tables = append(p.tables, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	p.position.After = bytes.Clone(b[:keySize])
	var err error
	if p.snapshot, err = raft.DecodeSnapshot(b[keySize:]); err != nil {
		return progress{}, fmt.Errorf("%w (%w)", errProgress, err)
	}
	return p, nil
}
