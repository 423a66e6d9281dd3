package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// EntryKind says who an entry is for.
type EntryKind uint8

const (
	// EntryCommand carries a command for the state machine.
	EntryCommand EntryKind = iota + 1
	// EntryNoop does nothing. A leader appends one when its term starts, so
	// that there is an entry of its own term to commit (§8, thesis 6.4).
	EntryNoop
	// EntryConfiguration carries an encoded [Configuration]. It takes effect
	// on each server when it is appended there, not when it commits
	// (thesis 4.1).
	EntryConfiguration
)

func (k EntryKind) String() string {
	switch k {
	case EntryCommand:
		return "command"
	case EntryNoop:
		return "no-op"
	case EntryConfiguration:
		return "configuration"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Entry is one position of the replicated log. It is immutable once made, and
// is encoded exactly once, by the leader that appends it: the same bytes go to
// the leader's disk, over the wire and to each follower's disk.
type Entry struct {
	Index Index
	Term  Term
	Kind  EntryKind
	// Data is the command or configuration. It aliases the encoded form; nobody
	// may write to it.
	Data []byte

	encoded []byte
}

// EntryOverhead is the number of bytes that an entry's encoding adds to its
// Data.
const EntryOverhead = 4 + 4 + 1 + 8 + 8

// MaxEntryData bounds the Data of one entry, in bytes. A decoder refuses a
// longer one before it looks at anything else.
const MaxEntryData = 16 << 20

// ErrCorrupt is wrapped by every error of a decoder in this package: the bytes
// are not what an encoder of this package wrote.
var ErrCorrupt = errors.New("raft: corrupt encoding")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewEntry makes an entry and encodes it. The data is copied.
func NewEntry(id EntryID, kind EntryKind, data []byte) Entry {
	e, _ := encodeEntry(make([]byte, 0, EntryOverhead+len(data)), id, kind, data)
	return e
}

// encodeEntry appends the encoding of an entry to buf, which must have room for
// it, and returns the entry, whose bytes live in buf, and the longer buf.
//
// The layout, all integers little-endian:
//
//	0   checksum  4   CRC-32C of everything that follows
//	4   length    4   of the data
//	8   kind      1
//	9   term      8
//	17  index     8
//	25  data
func encodeEntry(buf []byte, id EntryID, kind EntryKind, data []byte) (Entry, []byte) {
	start := len(buf)
	buf = binary.LittleEndian.AppendUint32(buf, 0)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(data)))
	buf = append(buf, byte(kind))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(id.Term))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(id.Index))
	buf = append(buf, data...)
	// The full slice expression keeps a later append to buf from growing into
	// this entry's bytes.
	encoded := buf[start:len(buf):len(buf)]
	binary.LittleEndian.PutUint32(encoded, crc32.Checksum(encoded[4:], castagnoli))
	return Entry{
		Index: id.Index, Term: id.Term, Kind: kind,
		Data: encoded[EntryOverhead:], encoded: encoded,
	}, buf
}

// ID returns the entry's identity.
func (e Entry) ID() EntryID { return EntryID{Term: e.Term, Index: e.Index} }

// Encoded returns the entry's one binary form, for a log store to keep and a
// transport to send. The caller must not change it.
func (e Entry) Encoded() []byte { return e.encoded }

// Size is the length of the encoded form, in bytes.
func (e Entry) Size() int { return len(e.encoded) }

// DecodeEntry reads one entry from the front of b and returns what follows it.
// The entry aliases b: whoever calls must leave b alone from then on. An entry
// that is cut short, too long, of an unknown kind, or whose checksum does not
// match gives an error that wraps [ErrCorrupt].
func DecodeEntry(b []byte) (Entry, []byte, error) {
	if len(b) < EntryOverhead {
		return Entry{}, nil, fmt.Errorf("%w: entry header needs %d bytes, have %d", ErrCorrupt, EntryOverhead, len(b))
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if length > MaxEntryData {
		return Entry{}, nil, fmt.Errorf("%w: entry of %d bytes is over the limit of %d", ErrCorrupt, length, MaxEntryData)
	}
	size := EntryOverhead + int(length)
	if len(b) < size {
		return Entry{}, nil, fmt.Errorf("%w: entry needs %d bytes, have %d", ErrCorrupt, size, len(b))
	}
	encoded := b[:size:size]
	if crc32.Checksum(encoded[4:], castagnoli) != binary.LittleEndian.Uint32(encoded) {
		return Entry{}, nil, fmt.Errorf("%w: entry checksum does not match", ErrCorrupt)
	}
	e := Entry{
		Kind:    EntryKind(b[8]),
		Term:    Term(binary.LittleEndian.Uint64(b[9:])),
		Index:   Index(binary.LittleEndian.Uint64(b[17:])),
		Data:    encoded[EntryOverhead:],
		encoded: encoded,
	}
	if e.Kind < EntryCommand || e.Kind > EntryConfiguration {
		return Entry{}, nil, fmt.Errorf("%w: unknown entry %s at index %d", ErrCorrupt, e.Kind, e.Index)
	}
	if e.Index == 0 || e.Term == 0 {
		return Entry{}, nil, fmt.Errorf("%w: entry with index %d, term %d", ErrCorrupt, e.Index, e.Term)
	}
	return e, b[size:], nil
}

// entriesSize is the encoded size of a run of entries, in bytes.
func entriesSize(entries []Entry) int {
	n := 0
	for i := range entries {
		n += entries[i].Size()
	}
	return n
}
