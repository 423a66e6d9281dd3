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
)

// neverLate is a connection whose deadlines nobody asks for.
type neverLate struct{}

func (neverLate) SetReadDeadline(time.Time) error { return nil }

func newBuffer(b []byte) *bufio.Reader { return bufio.NewReaderSize(bytes.NewReader(b), 4<<10) }

func readerOf(b []byte) *frameReader {
	return &frameReader{buf: newBuffer(b), conn: neverLate{}, maxBody: MaxMessage, stall: time.Second}
}

// TestFrameBytes keeps the wire format as it is.
func TestFrameBytes(t *testing.T) {
	for _, tt := range []struct {
		name    string
		kind    frameKind
		content any
		want    string
	}{
		{"deliver", frameDeliver, &batch{numbered(2, 1, 5)}, "2e000000243eb28901030000000000000021000000050200000000000000010000000000000001000000000000000500000000000000"},
		{"delivered", frameDelivered, &acknowledgement{}, "09000000ab35308d020300000000000000"},
		{"execute", frameExecute, &command{Timeout: time.Second, Payload: []byte("put")}, "1400000007e0522d03030000000000000000ca9a3b00000000707574"},
		{"executed", frameExecuted, &result{Status: statusReplyTooLarge, Payload: []byte("ok")}, "0c000000f30e3268040300000000000000016f6b"},
		{"question", frameQuestion, &note{'?'}, "0a000000f587b97c0503000000000000003f"},
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
		r := newFrameReader(there, p, p.maxRequest, time.Second)
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
