package rpc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"balsa/raft"
)

// The hard limits of what travels, in bytes. Both sides check them: the sender
// before it sends, the receiver before it allocates.
const (
	// MaxMessage bounds the frame that carries Raft messages, and so any single
	// message in it. The longest possible entry fits twice.
	MaxMessage = 2*raft.MaxEntryData + 64<<10
	// MaxCommand bounds a forwarded command, and the reply to one. A longer
	// command could not become an entry.
	MaxCommand = raft.MaxEntryData
	// MaxQuestion bounds the questions of [Transport.Ask] and their answers.
	MaxQuestion = 64 << 10

	// maxOffer bounds the offer of a snapshot. The largest configuration that
	// Raft lets into one has about 300 KiB.
	maxOffer = 512 << 10
)

// frameKind is the first byte of a frame's content. The numbers are part of the
// wire format.
type frameKind uint8

const (
	frameDeliver   frameKind = 1
	frameDelivered frameKind = 2
	frameExecute   frameKind = 3
	frameExecuted  frameKind = 4
	frameQuestion  frameKind = 5
	frameAnswer    frameKind = 6
	frameOffer     frameKind = 7
	frameChunk     frameKind = 8
	frameFinish    frameKind = 9
	frameVerdict   frameKind = 10
	// frameRefusal is the last frame of a connection that goes on no longer: see
	// dismiss.go. Either side may send it, on connections of every class.
	frameRefusal frameKind = 11
)

// A frame is laid out like this, all integers little-endian:
//
//	0   length    4   of kind, sequence number and body
//	4   checksum  4   CRC-32C of kind, sequence number and body
//	8   kind      1
//	9   sequence  8   net/rpc's number of the call
//	17  body
type frame struct {
	kind     frameKind
	sequence uint64
	body     []byte
}

const (
	frameHeader = 17
	// frameFixed is the part of the header that length and checksum cover.
	frameFixed = 9
)

// appendFrame appends a frame around the encoded form of a method's argument or
// reply. If that turns out longer than limit, buf is returned as it was.
func appendFrame(buf []byte, kind frameKind, sequence uint64, limit int, content any) ([]byte, error) {
	start := len(buf)
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0, byte(kind))
	buf = binary.LittleEndian.AppendUint64(buf, sequence)
	buf = appendBody(buf, content)
	if size := len(buf) - start - frameHeader; size > limit {
		return buf[:start], fmt.Errorf("%w: %d bytes, at most %d are possible", ErrTooLarge, size, limit)
	}
	covered := buf[start+frameHeader-frameFixed:]
	binary.LittleEndian.PutUint32(buf[start:], uint32(len(covered)))
	binary.LittleEndian.PutUint32(buf[start+4:], crc32.Checksum(covered, castagnoli))
	return buf, nil
}

// errBadFrame is wrapped by what a frameReader says about bytes that no healthy
// peer sends.
var errBadFrame = errors.New("bad frame")

// deadliner is the part of a connection that bounds reading in time.
type deadliner interface{ SetReadDeadline(time.Time) error }

// frameLimits are the kinds of frame that may arrive on a connection, each with
// the length of the longest possible body, in bytes.
type frameLimits map[frameKind]int

// frameReader reads frames from a connection.
type frameReader struct {
	buf    *bufio.Reader
	conn   deadliner
	limits frameLimits
	// idle is how long the connection may be silent between two frames; zero
	// means for ever.
	idle time.Duration
	// stall is how long the next part of a frame may take to arrive, once the
	// frame has begun.
	stall time.Duration
	// armed says that the connection has a read deadline.
	armed bool
	// reuse says that nobody looks at a frame's body any more when the next one
	// is read, and kept is the memory that all of them take turns in.
	reuse bool
	kept  []byte
}

func newFrameReader(nc net.Conn, buffer int, limits frameLimits, stall time.Duration) *frameReader {
	return &frameReader{buf: bufio.NewReaderSize(nc, buffer), conn: nc, limits: limits, stall: stall}
}

// next reads one frame, whose body is a slice of its own that nobody else
// writes to, unless the reader is told to reuse it. It returns io.EOF if the
// peer closed the connection between two frames.
func (r *frameReader) next() (frame, error) {
	r.disarm()
	if r.idle > 0 {
		r.arm(r.idle)
	}
	if _, err := r.buf.Peek(1); err != nil {
		return frame{}, err
	}
	if r.buf.Buffered() < frameHeader {
		r.arm(r.stall)
	}
	head, err := r.buf.Peek(frameHeader)
	if err != nil {
		return frame{}, unfinished(err)
	}
	f := frame{kind: frameKind(head[8]), sequence: binary.LittleEndian.Uint64(head[9:])}
	limit, known := r.limits[f.kind]
	if !known {
		return frame{}, fmt.Errorf("%w: its kind is %d, which has no place on this connection", errBadFrame, f.kind)
	}
	length := int64(binary.LittleEndian.Uint32(head))
	if length < frameFixed || length-frameFixed > int64(limit) {
		return frame{}, fmt.Errorf("%w: it claims %d bytes, at most %d are possible", errBadFrame, length-frameFixed, limit)
	}
	want := binary.LittleEndian.Uint32(head[4:])
	sum := crc32.Checksum(head[frameHeader-frameFixed:], castagnoli)
	r.buf.Discard(frameHeader)
	if f.body, err = r.body(int(length - frameFixed)); err != nil {
		return frame{}, unfinished(err)
	}
	if crc32.Update(sum, castagnoli, f.body) != want {
		return frame{}, fmt.Errorf("%w: its checksum does not match", errBadFrame)
	}
	return f, nil
}

const (
	// firstStep is how much memory the claim of a length is worth.
	firstStep = 256 << 10
	// readStep is how much must arrive within one stall timeout.
	readStep = 1 << 20
)

// body reads n bytes. Memory grows with what has arrived: a peer that claims
// the largest possible length and sends nothing costs firstStep bytes. The
// simpler make([]byte, n) would let it have 32 MiB for a header.
func (r *frameReader) body(n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	body := r.kept[:min(n, cap(r.kept))]
	if len(body) < min(n, firstStep) {
		body = make([]byte, min(n, firstStep))
	}
	for filled := 0; filled < n; {
		if filled == len(body) {
			grown := make([]byte, min(n, 2*filled))
			copy(grown, body)
			body = grown
		}
		step := body[filled:min(len(body), filled+readStep)]
		if r.buf.Buffered() < len(step) {
			r.arm(r.stall)
		}
		read, err := io.ReadFull(r.buf, step)
		if err != nil {
			return nil, err
		}
		filled += read
	}
	if r.reuse {
		r.kept = body
	}
	return body, nil
}

func (r *frameReader) arm(d time.Duration) {
	r.conn.SetReadDeadline(time.Now().Add(d))
	r.armed = true
}

func (r *frameReader) disarm() {
	if r.armed {
		r.conn.SetReadDeadline(time.Time{})
		r.armed = false
	}
}

// buffered reports whether the next frame's header is here already, so that
// reading it will not block.
func (r *frameReader) buffered() bool { return r.buf.Buffered() >= frameHeader }

// unfinished says that a frame broke off.
func unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("a frame broke off: %w", err)
}
