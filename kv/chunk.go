package kv

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"balsa/raft/node"
)

// A chunk of a snapshot is a run of records, keys ascending, in this form,
// integers little-endian:
//
//	checksum  4   CRC-32C of the chunk's offset and of all that follows
//	records, each:
//	  key size     2
//	  record size  4
//	  key
//	  record
//
// The offset is part of the checksum, so that a chunk which turns up at another
// place is as damaged as one with a flipped bit.
const (
	chunkHeader  = 4
	recordHeader = 2 + 4
)

// beginChunk returns an empty chunk that uses the memory of buf.
func beginChunk(buf []byte) []byte { return append(buf[:0], make([]byte, chunkHeader)...) }

func appendRecord(chunk, key, record []byte) []byte {
	chunk = binary.LittleEndian.AppendUint16(chunk, uint16(len(key)))
	chunk = binary.LittleEndian.AppendUint32(chunk, uint32(len(record)))
	chunk = append(chunk, key...)
	return append(chunk, record...)
}

// sealChunk writes the checksum of a chunk that goes out at the given offset.
func sealChunk(chunk []byte, offset uint64) {
	binary.LittleEndian.PutUint32(chunk, chunkChecksum(chunk, offset))
}

func chunkChecksum(chunk []byte, offset uint64) uint32 {
	sum := crc32.Checksum(binary.LittleEndian.AppendUint64(nil, offset), castagnoli)
	return crc32.Update(sum, castagnoli, chunk[chunkHeader:])
}

// openChunk checks a chunk and returns what its records are read from.
func openChunk(c node.Chunk) (chunkReader, error) {
	if len(c.Data) < chunkHeader || len(c.Data) > node.MaxChunk {
		return chunkReader{}, fmt.Errorf("%w: chunk of %d bytes", errDamaged, len(c.Data))
	}
	if binary.LittleEndian.Uint32(c.Data) != chunkChecksum(c.Data, c.Offset) {
		return chunkReader{}, fmt.Errorf("%w: the checksum of the chunk at %d does not match", errDamaged, c.Offset)
	}
	return chunkReader{rest: c.Data[chunkHeader:]}, nil
}

// chunkReader takes a chunk apart. It accepts exactly what appendRecord makes of
// keys that snapshots may hold, in ascending order.
type chunkReader struct {
	rest []byte
	key  []byte
}

// next returns the next record and its key, which alias the chunk, or nil
// after the last one.
func (r *chunkReader) next() (key, record []byte, err error) {
	if len(r.rest) == 0 {
		return nil, nil, nil
	}
	if len(r.rest) < recordHeader {
		return nil, nil, fmt.Errorf("%w: a record is cut short", errDamaged)
	}
	keySize := int(binary.LittleEndian.Uint16(r.rest))
	recordSize := uint64(binary.LittleEndian.Uint32(r.rest[2:]))
	rest := r.rest[recordHeader:]
	if uint64(keySize)+recordSize > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: a record is cut short", errDamaged)
	}
	key, rest = rest[:keySize:keySize], rest[keySize:]
	record, rest = rest[:recordSize:recordSize], rest[recordSize:]
	switch {
	case keySize > node.MaxPosition || bytes.Compare(key, replicated.Start) < 0 || bytes.Compare(key, replicated.End) >= 0:
		return nil, nil, fmt.Errorf("%w: key %.80q does not belong into it", errDamaged, key)
	case r.key != nil && bytes.Compare(key, r.key) <= 0:
		return nil, nil, fmt.Errorf("%w: key %.80q follows %.80q", errDamaged, key, r.key)
	}
	if _, err := unseal(key, record); err != nil {
		return nil, nil, fmt.Errorf("%w: the checksum of record %.80q does not match", errDamaged, key)
	}
	r.key, r.rest = key, rest
	return key, record, nil
}
