package rpc

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// neverLate is a connection whose deadlines nobody asks for.
type neverLate struct{}

func (neverLate) SetReadDeadline(time.Time) error { return nil }

func newBuffer(b []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(b), 4<<10) }

// anyFrame lets every kind of frame through.
var anyFrame = func() frameLimits {
	limits := make(frameLimits)
	for kind := range 256 {
		limits[frameKind(kind)] = MaxMessage
	}
	return limits
}()

func readerOf(b []byte) *frameReader {
	return &frameReader{buf: newBuffer(b), conn: neverLate{}, limits: anyFrame, stall: time.Second}
}

// TestFrameBytes keeps the wire format as it is.
func TestFrameBytes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		kind    frameKind
		content any
		want    string
	}{
		{"deliver", frameDeliver, &batch{numbered(2, 1, 5)}, "2f000000fff393330103000000000000002200000005020000000000000001000000000000000100000000000000000500000000000000"},
		{"delivered", frameDelivered, &acknowledgement{}, "09000000ab35308d020300000000000000"},
		{"execute", frameExecute, &command{Timeout: time.Second, Payload: []byte("put")}, "1400000007e0522d03030000000000000000ca9a3b00000000707574"},
		{"executed", frameExecuted, &result{Status: statusReplyTooLarge, Payload: []byte("ok")}, "0c000000f30e3268040300000000000000016f6b"},
		{"question", frameQuestion, &note{'?'}, "0a000000f587b97c0503000000000000003f"},
		{"offer", frameOffer, &node.SnapshotOffer{
			ID: node.SnapshotID{0x1d}, From: 2, To: 1, Term: 4, Size: 0x100,
			Snapshot: raft.Snapshot{Last: raft.EntryID{Term: 3, Index: 9}, Configuration: raft.IndexedConfiguration{Index: 8,
				Configuration: raft.Configuration{Members: []raft.Member{{ID: 1, Address: "a", Votes: true}}}}},
		}, "720000009baaabbd0703000000000000001d0000000000000000000000000000000200000000000000010000000000000004000000000000000001000000000000030000000000000009000000000000000800000000000000010100010000000000000000000000000000000000000000000000010100610000"},
		{"chunk", frameChunk, &piece{ID: node.SnapshotID{0x1d}, Chunk: node.Chunk{Offset: 0x200, Data: []byte("data"), Last: true}}, "260000002dc0038e0803000000000000001d00000000000000000000000000000000020000000000000164617461"},
		{"finish", frameFinish, &node.SnapshotID{0x1d}, "19000000eac938270903000000000000001d000000000000000000000000000000"},
		{"taken", frameVerdict, &verdict{Opinion: opinionTaken}, "0a000000f796e82f0a030000000000000000"},
		{"wanted", frameVerdict, &verdict{Opinion: opinionWanted, Position: node.Position{Offset: 0x200, After: []byte("key")}}, "1500000078ef28670a03000000000000000100020000000000006b6579"},
		{"refused", frameVerdict, &verdict{Opinion: opinionRefused, Text: "busy"}, "0e00000049e6bf780a03000000000000000262757379"},
		{"failed", frameVerdict, &verdict{Opinion: opinionFailed, Text: "full"}, "0e00000019909fc60a03000000000000000366756c6c"},
		{"refusal", frameRefusal, &Refusal{Code: Removed, Sentence: "no"}, "0c000000b29603d30b03000000000000000b6e6f"},
	} {
		if got := hex.EncodeToString(mustFrame(t, tt.kind, 3, tt.content)); got != tt.want {
			t.Errorf("%s is\n%s, was\n%s", tt.name, got, tt.want)
		}
	}
}

func TestFramesComeOutAsTheyWentIn(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 4<<10 - frameHeader, 4 << 10, firstStep, firstStep + 1, 3 << 20}
	for i, size := range sizes {
		content := note(bytes.Repeat([]byte{byte(i)}, size))
		stream = append(stream, mustFrame(t, frameQuestion, uint64(i), &content)...)
	}
	r := readerOf(stream)
	for i, size := range sizes {
		f, err := r.next()
		if err != nil || f.kind != frameQuestion || f.sequence != uint64(i) || !bytes.Equal(f.body, bytes.Repeat([]byte{byte(i)}, size)) {
			t.Fatalf("frame %d of %d bytes came out as kind %d, sequence %d, %d bytes, %v", i, size, f.kind, f.sequence, len(f.body), err)
		}
	}
	if _, err := r.next(); err != io.EOF {
		t.Errorf("after the last frame: %v, want io.EOF", err)
	}
}

func TestAFrameThatBreaksOffIsNotTheEnd(t *testing.T) {
	whole := mustFrame(t, frameQuestion, 1, &note{1, 2, 3})
	for n := 1; n < len(whole); n++ {
		if _, err := readerOf(whole[:n]).next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	whole := mustFrame(t, frameDeliver, 1, &batch{appendEntries(1, 2, 2, 10)})
	for bit := range 8 * len(whole) {
		b := slices.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := readerOf(b).next(); err == nil {
			t.Errorf("bit %d was flipped and nobody noticed", bit)
		}
	}
}

func TestAConnectionMayBeSilentBetweenFramesButNotWithinOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		p, _ := protocolOf(classQuestion)
		r := newFrameReader(there, p.buffer, p.requests(), time.Second)
		frame := mustFrame(t, frameQuestion, 1, &note{1, 2, 3})
		go func() {
			for range 3 {
				// In two halves, so that the deadline for the rest of a frame
				// is set and has to be taken back.
				here.Write(frame[:5])
				time.Sleep(900 * time.Millisecond)
				here.Write(frame[5:])
				time.Sleep(time.Hour)
			}
			here.Write(frame[:len(frame)-1])
		}()
		for i := range 3 {
			if _, err := r.next(); err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
		began := time.Now()
		if _, err := r.next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a frame that stops before its end: %v", err)
		}
		if waited := time.Since(began) - time.Hour; waited != time.Second {
			t.Errorf("waited %v for the rest of a frame, want 1s", waited)
		}
	})
}

func TestAFrameOverTheLimitIsNotWritten(t *testing.T) {
	before := []byte("what was there")
	got, err := appendFrame(before, frameQuestion, 1, 3, &note{1, 2, 3, 4})
	if !errors.Is(err, ErrTooLarge) || string(got) != "what was there" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzFrame(f *testing.F) {
	messages := batch{numbered(1, 2, 3), appendEntries(1, 2, 2, 5)}
	for _, content := range []struct {
		kind  frameKind
		value any
	}{
		{frameDeliver, &messages},
		{frameDelivered, &acknowledgement{}},
		{frameExecute, &command{Timeout: time.Second, Payload: []byte("x")}},
		{frameExecuted, &result{Payload: []byte("x")}},
		{frameChunk, &piece{Chunk: node.Chunk{Data: []byte("x")}}},
	} {
		b, _ := appendFrame(nil, content.kind, 9, MaxMessage, content.value)
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, consumed := readerOf(b), 0
		for {
			f, err := r.next()
			if err != nil {
				return
			}
			size := frameHeader + len(f.body)
			if there := b[consumed : consumed+size]; !bytes.Equal(rawFrame(f.kind, f.sequence, f.body), there) {
				t.Errorf("%x was read as %+v", there, f)
			}
			consumed += size
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add(appendBatch(nil, batch{numbered(1, 2, 3)}))
	f.Add(appendBatch(nil, batch{appendEntries(1, 2, 2, 5), numbered(1, 2, 3)}))
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages, err := decodeBatch(b)
		if err != nil {
			if !errors.Is(err, errBadFrame) && !errors.Is(err, raft.ErrCorrupt) {
				t.Errorf("nobody can tell what this error is: %v", err)
			}
			return
		}
		if cap(messages) > len(b)/(batchHeader+leastMessage) {
			t.Errorf("room for %d messages was made for %d bytes", cap(messages), len(b))
		}
		again, err := decodeBatch(appendBatch(nil, messages))
		if err != nil || !reflect.DeepEqual(again, messages) {
			t.Errorf("%v was written as %v, %v", messages, again, err)
		}
	})
}

// FuzzSnapshotBodies reads the same bytes as every kind of body that belongs to
// snapshots. Each has one form only: what is read must be written as it was.
func FuzzSnapshotBodies(f *testing.F) {
	o := offerOf(1, 2, 3)
	for _, content := range []any{
		&o, &o.ID,
		&piece{ID: o.ID, Chunk: node.Chunk{Offset: 5, Data: []byte("data"), Last: true}},
		&verdict{Opinion: opinionWanted, Position: node.Position{Offset: 5, After: []byte("key")}},
		&verdict{Opinion: opinionRefused, Text: "busy"},
	} {
		f.Add(appendBody(nil, content))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, content := range []any{new(offer), new(piece), new(finish), new(verdict)} {
			err := decodeBody(b, content)
			if err != nil {
				if !errors.Is(err, errBadFrame) && !errors.Is(err, raft.ErrCorrupt) {
					t.Errorf("nobody can tell what this error is: %v", err)
				}
				continue
			}
			if v, ok := content.(*verdict); ok && v.Text != string(b[1:]) && v.Opinion >= opinionRefused {
				continue // it was made printable
			}
			if again := appendBody(nil, content); !bytes.Equal(again, b) {
				t.Errorf("%x was read as %+v and is written as %x", b, content, again)
			}
		}
	})
}
