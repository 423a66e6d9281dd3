package kv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"balsa/raft"
)

// MaxKey is the length of the longest key, in bytes. The shortest has one byte.
const MaxKey = 4096

// commandKind is the first byte of an encoded command, and its version: a kind
// whose layout or meaning must change gets a new number, and no number is ever
// used again. A new kind may be proposed only once every member of the cluster
// runs a program that knows it, because one that does not skips it.
type commandKind uint8

const (
	commandPut              commandKind = 1
	commandDelete           commandKind = 2
	commandCompareAndSet    commandKind = 3
	commandCompareAndDelete commandKind = 4
)

// command is what a client asks of the replicated state.
type command struct {
	kind commandKind
	key  []byte
	// expected is the revision that the key must have for a comparing command
	// to take effect; zero means that the key must not exist.
	expected raft.Index
	// value is what a put or compare-and-set writes.
	value []byte
}

// errNotUnderstood is what the decoder reports. It stays inside the package: an
// applied command of that sort has an outcome, not an error.
var errNotUnderstood = errors.New("kv: command not understood")

// compares reports whether commands of this kind carry an expected revision.
func (k commandKind) compares() bool {
	return k == commandCompareAndSet || k == commandCompareAndDelete
}

// sets reports whether commands of this kind carry a value.
func (k commandKind) sets() bool { return k == commandPut || k == commandCompareAndSet }

// reads reports whether the outcome of a command of this kind depends on what
// the key held before.
func (k commandKind) reads() bool { return k != commandPut }

// commandOverhead is what the encoding of a command adds to its key and value,
// in bytes, at most.
const commandOverhead = 1 + 2 + 8

// encode returns the command's one binary form, integers little-endian:
//
//	kind      1
//	key size  2
//	key
//	expected  8   only for the kinds that compare
//	value         whatever is left, only for the kinds that set
func (c command) encode() []byte {
	b := make([]byte, 0, commandOverhead+len(c.key)+len(c.value))
	b = append(b, byte(c.kind))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(c.key)))
	b = append(b, c.key...)
	if c.kind.compares() {
		b = binary.LittleEndian.AppendUint64(b, uint64(c.expected))
	}
	return append(b, c.value...)
}

// decodeCommand is the inverse of encode. Key and value alias b. It accepts
// exactly what encode can produce from a key of legal length, and allocates
// nothing on success. Its limits are constants and not settings: every replica
// must come to the same verdict on the same bytes.
func decodeCommand(b []byte) (command, error) {
	if len(b) < 3 {
		return command{}, fmt.Errorf("%w: %d bytes", errNotUnderstood, len(b))
	}
	c := command{kind: commandKind(b[0])}
	if c.kind < commandPut || c.kind > commandCompareAndDelete {
		return command{}, fmt.Errorf("%w: kind %d", errNotUnderstood, c.kind)
	}
	size := int(binary.LittleEndian.Uint16(b[1:]))
	rest := b[3:]
	if size == 0 || size > MaxKey || size > len(rest) {
		return command{}, fmt.Errorf("%w: key of %d bytes in %d", errNotUnderstood, size, len(rest))
	}
	c.key, rest = rest[:size:size], rest[size:]
	if c.kind.compares() {
		if len(rest) < 8 {
			return command{}, fmt.Errorf("%w: the expected revision is cut short", errNotUnderstood)
		}
		c.expected, rest = raft.Index(binary.LittleEndian.Uint64(rest)), rest[8:]
	}
	if c.kind.sets() {
		c.value = rest
	} else if len(rest) > 0 {
		return command{}, fmt.Errorf("%w: %d bytes follow it", errNotUnderstood, len(rest))
	}
	return c, nil
}

// commandReads reports whether applying the encoded command needs to know what
// earlier commands did. It looks at the kind only: a command that turns out to
// be malformed does nothing in either case.
func commandReads(encoded []byte) bool {
	return len(encoded) > 0 && commandKind(encoded[0]).reads()
}
