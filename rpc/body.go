package rpc

import (
	"encoding/binary"
	"fmt"
	"time"

	"balsa/raft"
	"balsa/raft/node"
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
	// offer is the argument of Snapshots.Offer.
	offer = node.SnapshotOffer
	// piece is the argument of Snapshots.Chunk.
	piece = struct {
		ID    node.SnapshotID
		Chunk node.Chunk
	}
	// finish is the argument of Snapshots.Finish.
	finish = node.SnapshotID
	// verdict is the reply to all three.
	verdict = struct {
		Opinion opinion
		// Position is where an offered snapshot is to begin.
		Position node.Position
		// Text says why the receiver does not want the snapshot, or what went
		// wrong.
		Text string
	}
)

// status says what became of a forwarded command. net/rpc carries errors as
// strings, which nobody can tell apart.
type status uint8

const (
	statusExecuted      status = 0
	statusReplyTooLarge status = 1
)

// opinion is what the receiver of a snapshot thinks of what has arrived.
type opinion uint8

const (
	// opinionTaken: a chunk, or all of the snapshot, has been taken.
	opinionTaken opinion = 0
	// opinionWanted: the snapshot is wanted from the verdict's position on.
	opinionWanted opinion = 1
	// opinionRefused is node.ErrSnapshotRefused.
	opinionRefused opinion = 2
	// opinionFailed is any other error of the receiver.
	opinionFailed opinion = 3
)

const (
	commandHeader  = 8
	resultHeader   = 1
	batchHeader    = 4
	snapshotIDSize = 16
	// offerHeader is ID, from, to, term and size.
	offerHeader = snapshotIDSize + 4*8
	// pieceHeader is ID, offset and whether it is the last one.
	pieceHeader = snapshotIDSize + 8 + 1
	// maxVerdict is an opinion and the longest position, which is longer than
	// the longest text.
	maxVerdict = 1 + 8 + node.MaxPosition
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
	case *offer:
		return appendOffer(buf, v)
	case *piece:
		buf = append(buf, v.ID[:]...)
		buf = binary.LittleEndian.AppendUint64(buf, v.Chunk.Offset)
		return append(append(buf, flag(v.Chunk.Last)), v.Chunk.Data...)
	case *finish:
		return append(buf, v[:]...)
	case *verdict:
		return appendVerdict(buf, v)
	case *Refusal:
		return appendRefusal(buf, v)
	}
	panic(fmt.Sprintf("rpc: no encoding for %T", v))
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
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
	case *offer:
		*v, err = decodeOffer(body)
		return err
	case *piece:
		if len(body) < pieceHeader || body[pieceHeader-1] > 1 {
			return fmt.Errorf("%w: a chunk without a proper head", errBadFrame)
		}
		v.ID = node.SnapshotID(body)
		v.Chunk.Offset = binary.LittleEndian.Uint64(body[snapshotIDSize:])
		v.Chunk.Last = body[pieceHeader-1] == 1
		v.Chunk.Data = body[pieceHeader:]
		return nil
	case *finish:
		if len(body) != snapshotIDSize {
			return fmt.Errorf("%w: the ID of a snapshot has %d bytes", errBadFrame, len(body))
		}
		*v = finish(body)
		return nil
	case *verdict:
		*v, err = decodeVerdict(body)
		return err
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

// appendOffer appends the offer of a snapshot, its description last.
func appendOffer(buf []byte, o *offer) []byte {
	buf = append(buf, o.ID[:]...)
	for _, n := range []uint64{uint64(o.From), uint64(o.To), uint64(o.Term), o.Size} {
		buf = binary.LittleEndian.AppendUint64(buf, n)
	}
	return o.Snapshot.AppendTo(buf)
}

func decodeOffer(body []byte) (offer, error) {
	if len(body) < offerHeader {
		return offer{}, fmt.Errorf("%w: the offer of a snapshot has %d bytes", errBadFrame, len(body))
	}
	number := func(i int) uint64 { return binary.LittleEndian.Uint64(body[snapshotIDSize+8*i:]) }
	o := offer{
		ID:   node.SnapshotID(body),
		From: raft.NodeID(number(0)),
		To:   raft.NodeID(number(1)),
		Term: raft.Term(number(2)),
		Size: number(3),
	}
	var err error
	o.Snapshot, err = raft.DecodeSnapshot(body[offerHeader:])
	return o, err
}

// appendVerdict appends what belongs to the verdict's opinion.
func appendVerdict(buf []byte, v *verdict) []byte {
	buf = append(buf, byte(v.Opinion))
	switch v.Opinion {
	case opinionWanted:
		buf = binary.LittleEndian.AppendUint64(buf, v.Position.Offset)
		buf = append(buf, v.Position.After...)
	case opinionRefused, opinionFailed:
		buf = append(buf, clip(v.Text)...)
	}
	return buf
}

func decodeVerdict(body []byte) (v verdict, err error) {
	if len(body) == 0 {
		return v, fmt.Errorf("%w: an empty verdict", errBadFrame)
	}
	v.Opinion = opinion(body[0])
	rest := body[1:]
	switch {
	case v.Opinion == opinionWanted && len(rest) >= 8:
		v.Position = node.Position{Offset: binary.LittleEndian.Uint64(rest), After: rest[8:]}
	case (v.Opinion == opinionRefused || v.Opinion == opinionFailed) && len(rest) <= maxSentence:
		v.Text = printable(rest)
	case v.Opinion == opinionTaken && len(rest) == 0:
	default:
		return verdict{}, fmt.Errorf("%w: a verdict of kind %d with %d bytes", errBadFrame, v.Opinion, len(rest))
	}
	return v, nil
}
