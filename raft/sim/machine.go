package sim

import (
	"encoding/binary"
	"slices"
	"strconv"

	"balsa/raft"
)

// machine is the replicated state machine of a node. Like a store that writes its
// memory to the disk now and then, it keeps its newest state in memory only: a
// crash throws it back to what it flushed last, and the log is applied again
// from there. So the log may be compacted up to there, and no further.
type machine struct {
	state
	flushed state
}

// state is a few keys with their values, and what a state machine has to know
// about itself. A snapshot is a copy of it.
type state struct {
	applied raft.EntryID
	// chain is the hash of all entries that made the state, digest that of the
	// values alone.
	chain, digest uint64
	// values are the numbers of the operations that set the keys, or zero.
	values []uint64
	// configuration is the latest that was applied.
	configuration raft.IndexedConfiguration
	// installed is the snapshot that the state is exactly equal to, or nil.
	installed *raft.Snapshot
}

func newMachine(keys int) machine {
	m := machine{state: state{values: make([]uint64, max(1, keys))}}
	m.flush()
	return m
}

func (s *state) apply(e raft.Entry) {
	s.applied, s.installed = e.ID(), nil
	s.chain = chain(s.chain, e)
	switch e.Kind {
	case raft.EntryCommand:
		key, operation := decodeCommand(e.Data)
		s.digest ^= mix(uint64(key), s.values[key]) ^ mix(uint64(key), operation)
		s.values[key] = operation
	case raft.EntryConfiguration:
		// The core would have refused one that cannot be decoded.
		configuration, _ := raft.DecodeConfiguration(e.Data)
		s.configuration = raft.IndexedConfiguration{Index: e.Index, Configuration: configuration}
	}
}

func (s *state) clone() state {
	c := *s
	c.values = slices.Clone(s.values)
	return c
}

// snapshot says what the state contains.
func (s *state) snapshot() raft.Snapshot {
	return raft.Snapshot{Last: s.applied, Configuration: s.configuration}
}

func (m *machine) flush() { m.flushed = m.state.clone() }

// crash forgets what is not flushed.
func (m *machine) crash() { m.state = m.flushed.clone() }

// install replaces the state by the one of a snapshot, durably.
func (m *machine) install(s state, snapshot raft.Snapshot) {
	m.state = s.clone()
	m.installed = &snapshot
	m.flush()
}

// encodeCommand makes the command that sets a key to a value. No two commands
// are equal: the value is the number of the operation.
func encodeCommand(key int, operation uint64, padding int) []byte {
	command := make([]byte, 9+padding)
	command[0] = byte(key)
	binary.LittleEndian.PutUint64(command[1:], operation)
	return command
}

func decodeCommand(command []byte) (key int, operation uint64) {
	return int(command[0]), binary.LittleEndian.Uint64(command[1:])
}

func keyName(key int) string { return "k" + strconv.Itoa(key) }

// valueName is what a history calls a value.
func valueName(operation uint64) string {
	if operation == 0 {
		return ""
	}
	return "v" + strconv.FormatUint(operation, 10)
}
