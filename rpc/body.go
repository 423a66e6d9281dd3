package rpc

import (
	"encoding/binary"
	"fmt"
	"time"

	"balsa/raft"
)

// The argument and reply types of the net/rpc methods. net/rpc demands types
// that are exported or have no name; aliases of unnamed types are the latter,
// and keep the wire out of this package's exported names.
type (
	// batch is the argument of Raft.Deliver.
	batch = []raft.Message
	// acknowledgement is its reply. It has nothing to say, so that one value
	// can serve as the reply object of all calls, even those that time out.
	acknowledgement = struct{}
	// command is the argument of Commands.Execute.
	command = struct {
		// Timeout is how long the caller will wait. It travels as a duration,
		// because two nodes' clocks need not agree.
		Timeout time.Duration
		Payload []byte
	}
	// result is its reply.
	result = struct {
		Status  status
		Payload []byte
		// cost is how many bytes of the connection's gate the command holds,
		// on the server until the reply is written and on the client until it
		// is read. It does not travel.
		cost int
	}
	// note is the argument and the reply of Questions.Answer.
	note = []byte
)

// status says what became of a forwarded command. net/rpc carries errors as
// strings, which nobody can tell apart.
type status uint8

const (
	statusExecuted      status = 0
	statusReplyTooLarge status = 1
)

const (
	commandHeader = 8
	resultHeader  = 1
	batchHeader   = 4
	// leastMessage is a lower bound of an encoded message's size: kind, from,
	// to and term.
	leastMessage = 1 + 8 + 8 + 8
)

// cost is what a command takes of a gate.
func cost(payload []byte) int { return commandHeader + len(payload) }

// appendBody appends the encoded form of a method's argument or reply.
func appendBody(buf []byte, v any) []byte {
	switch v := v.(type) {
	case *batch:
		return appendBatch(buf, *v)
	case *acknowledgement:
		return buf
	case *command:
		buf = binary.LittleEndian.AppendUint64(buf, uint64(v.Timeout))
		return append(buf, v.Payload...)
	case *result:
		return append(append(buf, byte(v.Status)), v.Payload...)
	case *note:
		return append(buf, *v...)
	}
	panic(fmt.Sprintf("rpc: no encoding for %T", v))
}

// decodeBody is the inverse of appendBody. What it decodes aliases the body.
func decodeBody(body []byte, v any) (err error) {
	switch v := v.(type) {
	case *batch:
		*v, err = decodeBatch(body)
		return err
	case *acknowledgement:
		return nil
	case *command:
		if len(body) < commandHeader {
			return fmt.Errorf("%w: a command of %d bytes", errBadFrame, len(body))
		}
		v.Timeout = time.Duration(binary.LittleEndian.Uint64(body))
		v.Payload = body[commandHeader:]
		return nil
	case *result:
		if len(body) < resultHeader || status(body[0]) > statusReplyTooLarge {
			return fmt.Errorf("%w: a result without a known status", errBadFrame)
		}
		v.Status, v.Payload = status(body[0]), body[resultHeader:]
		return nil
	case *note:
		*v = body
		return nil
	}
	panic(fmt.Sprintf("rpc: no encoding for %T", v))
}

// appendBatch appends each message behind its length.
func appendBatch(buf []byte, messages batch) []byte {
	for i := range messages {
		start := len(buf)
		buf = append(buf, 0, 0, 0, 0)
		buf = messages[i].AppendTo(buf)
		binary.LittleEndian.PutUint32(buf[start:], uint32(len(buf)-start-batchHeader))
	}
	return buf
}

// decodeBatch reads the messages of a batch, whose entries alias body. It
// counts them before it allocates, and no message is so short that many of them
// would take much more memory than bytes.
func decodeBatch(body []byte) (batch, error) {
	count := 0
	for rest := body; len(rest) > 0; count++ {
		if len(rest) < batchHeader {
			return nil, fmt.Errorf("%w: %d bytes follow the last message", errBadFrame, len(rest))
		}
		size := int64(binary.LittleEndian.Uint32(rest))
		if rest = rest[batchHeader:]; size < leastMessage || size > int64(len(rest)) {
			return nil, fmt.Errorf("%w: a message of %d bytes where %d follow", errBadFrame, size, len(rest))
		}
		rest = rest[size:]
	}
	if count == 0 {
		return nil, fmt.Errorf("%w: a batch without messages", errBadFrame)
	}
	messages := make(batch, 0, count)
	for rest := body; len(rest) > 0; {
		size := binary.LittleEndian.Uint32(rest)
		end := batchHeader + int(size)
		m, err := raft.DecodeMessage(rest[batchHeader:end:end])
		if err != nil {
			return nil, err
		}
		messages, rest = append(messages, m), rest[end:]
	}
	return messages, nil
}
