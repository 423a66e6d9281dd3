package sim

import (
	"encoding/binary"
	"maps"
	"strconv"

	"balsa/raft"
)

// machine is the replicated state machine of a node: a few keys with their
// values, and a hash of all that was applied. Like a store that writes its
// memory to the disk now and then, it keeps its newest state in memory only: a
// crash throws it back to what it flushed last, and the log is applied again
// from there.
type machine struct {
	state
	flushed state
}

type state struct {
	applied raft.EntryID
	chain   uint64
	values  map[string]string
}

func newMachine() machine {
	m := machine{state: state{values: map[string]string{}}}
	m.flush()
	return m
}

func (m *machine) apply(e raft.Entry) {
	m.applied = e.ID()
	m.chain = chain(m.chain, e)
	if e.Kind == raft.EntryCommand {
		key, value := decodeCommand(e.Data)
		m.values[key] = value
	}
}

func (m *machine) flush() {
	m.flushed = m.state
	m.flushed.values = maps.Clone(m.values)
}

// crash forgets what is not flushed.
func (m *machine) crash() {
	m.state = m.flushed
	m.values = maps.Clone(m.flushed.values)
}

// encodeCommand makes the command that sets a key to a value. No two commands
// are equal: the value is the number of the operation.
func encodeCommand(key int, operation uint64, padding int) []byte {
	command := make([]byte, 9+padding)
	command[0] = byte(key)
	binary.LittleEndian.PutUint64(command[1:], operation)
	return command
}

func decodeCommand(command []byte) (key, value string) {
	return keyName(int(command[0])), valueName(binary.LittleEndian.Uint64(command[1:]))
}

func keyName(key int) string            { return "k" + strconv.Itoa(key) }
func valueName(operation uint64) string { return "v" + strconv.FormatUint(operation, 10) }
