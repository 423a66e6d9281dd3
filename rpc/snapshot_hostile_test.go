package rpc

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"testing"

	"balsa/raft/node"
)

// TestAnOffsetThatLiesIsForTheReceiverToRefuse, and costs nobody else anything.
func TestAnOffsetThatLiesIsForTheReceiverToRefuse(t *testing.T) {
	victim, stillFine := healthyPair(t)
	for _, offset := range []uint64{1, 4096, 1<<64 - 1, 1<<64 - 50} {
		o := offerOf(3, 1, byte(offset))
		c := rawHello(t, victim.addr, hello{class: classSnapshot, from: identityOf(3), to: 1})
		lie := &piece{ID: o.ID, Chunk: node.Chunk{Offset: offset, Data: make([]byte, 100)}}
		honest := &piece{ID: o.ID, Chunk: node.Chunk{Data: make([]byte, 100), Last: true}}
		c.send(slices.Concat(mustFrame(t, frameOffer, 0, &o), mustFrame(t, frameChunk, 1, lie),
			mustFrame(t, frameChunk, 2, honest), mustFrame(t, frameFinish, 3, &o.ID)))
		r := newFrameReader(c, 4<<10, frameLimits{frameVerdict: maxVerdict}, patience)
		for sequence, want := range []opinion{opinionWanted, opinionFailed, opinionFailed, opinionFailed} {
			f, err := r.next()
			if err != nil || f.sequence != uint64(sequence) || opinion(f.body[0]) != want {
				t.Fatalf("offset %d: verdict %d is %+v, %v; want %d", offset, sequence, f, err, want)
			}
		}
		stillFine()
	}
	if n := victim.host.taken(); n != 0 || len(victim.host.finished) != 0 {
		t.Errorf("%d chunks were taken", n)
	}
}

func TestAHostileReceiverCannotConfuseTheSenderOfASnapshot(t *testing.T) {
	o := offerOf(1, 3, 5)
	wanted := &verdict{Opinion: opinionWanted}
	for _, tt := range []struct {
		name   string
		answer func(sequence uint64) []byte
		want   error
	}{
		{"garbage", func(uint64) []byte { return bytes.Repeat([]byte{0xa5}, 4096) }, errBadFrame},
		{"a huge verdict", func(s uint64) []byte { return rawFrame(frameVerdict, s, make([]byte, maxVerdict+1)) }, errBadFrame},
		{"an empty verdict", func(s uint64) []byte { return rawFrame(frameVerdict, s, nil) }, errBadFrame},
		{"an unknown verdict", func(s uint64) []byte { return rawFrame(frameVerdict, s, []byte{9}) }, errBadFrame},
		{"a position cut short", func(s uint64) []byte { return rawFrame(frameVerdict, s, []byte{1, 2, 3}) }, errBadFrame},
		{"an offer that is taken like a chunk", func(s uint64) []byte { return rawFrame(frameVerdict, s, []byte{0}) }, errBadFrame},
		{"a chunk that is wanted like an offer", func(s uint64) []byte { return mustFrame(t, frameVerdict, s, wanted) }, errBadFrame},
		{"the answer to another call", func(s uint64) []byte { return mustFrame(t, frameVerdict, s+100, wanted) }, errBadFrame},
		{"the answer of another class", func(s uint64) []byte { return rawFrame(frameDelivered, s, nil) }, errBadFrame},
		{"half an answer", func(s uint64) []byte { return mustFrame(t, frameVerdict, s, wanted)[:12] }, ErrConnectionLost},
		{"silence", func(uint64) []byte { return nil }, errStalled},
		{"a refusal", func(uint64) []byte {
			return mustFrame(t, frameRefusal, 0, &Refusal{Code: Removed, Sentence: "n1 was removed"})
		}, Removed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirectory()
			d.set(3, rawServer(t, identityOf(3), func(nc net.Conn) {
				p, _ := protocolOf(classSnapshot)
				r := newFrameReader(nc, p.buffer, p.requests(), patience)
				for {
					f, err := r.next()
					if err != nil {
						return
					}
					nc.Write(tt.answer(f.sequence))
				}
			}))
			a := start(t, d, 1, &host{}, quick, fullSpeed)
			err := a.SendSnapshot(t.Context(), o, newGenerated(100_000, 1000), nil)
			if !errors.Is(err, ErrConnectionLost) || !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}
