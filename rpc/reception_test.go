package rpc

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"balsa/raft/node"
)

// Trap 62.
func TestSnapshotsOfTwoLeadersDoNotMix(t *testing.T) {
	d := newDirectory()
	receiver := &host{}
	start(t, d, 3, receiver)
	leaders := []*testNode{start(t, d, 1, &host{}, fullSpeed), start(t, d, 2, &host{}, fullSpeed)}
	both := make(chan struct{})
	offers := 0
	receiver.onOffer = func(context.Context, node.SnapshotOffer) error {
		if offers++; offers == 2 {
			close(both)
		}
		return nil
	}
	var running sync.WaitGroup
	results := make([]error, len(leaders))
	for i, leader := range leaders {
		id := leader.config.Node
		running.Go(func() {
			g := newGenerated(4<<20, 1<<10)
			// Both have been accepted before either goes on.
			g.before = func(uint64) error {
				select {
				case <-both:
					return nil
				case <-time.After(patience):
					return errors.New("only one was offered")
				}
			}
			results[i] = leader.SendSnapshot(t.Context(), offerOf(id, 3, byte(id)), g, nil)
		})
	}
	running.Wait()
	if len(receiver.offers) != 2 {
		t.Fatalf("%d offers: %v", len(receiver.offers), results)
	}
	winner := int(receiver.offers[1].From) - 1
	if results[winner] != nil || !errors.Is(results[1-winner], node.ErrSnapshotRefused) {
		t.Errorf("the last one who offered gets %v, the other one %v", results[winner], results[1-winner])
	}
	if !receiver.holds(receiver.offers[1].ID, newGenerated(4<<20, 1<<10)) {
		t.Error("the snapshot did not arrive as it was sent")
	}
	if receiver.disturbed.Load() {
		t.Error("two methods of the receiver were called at the same time")
	}
}

// TestANewerConnectionTakesOverASnapshot has a chunk of the older connection
// being taken, and the next one read already, when the newer one offers.
func TestANewerConnectionTakesOverASnapshot(t *testing.T) {
	d := newDirectory()
	receiver := &host{}
	taking, release := make(chan struct{}), make(chan struct{})
	receiver.onChunk = func(_ context.Context, c node.Chunk) error {
		if c.Offset == 0 {
			close(taking)
			<-release
		}
		return nil
	}
	b := start(t, d, 2, receiver)
	o := offerOf(1, 2, 5)
	greeting := hello{class: classSnapshot, from: identityOf(1), to: 2}
	older := rawHello(t, b.addr, greeting)
	older.send(slices.Concat(
		mustFrame(t, frameOffer, 0, &o),
		mustFrame(t, frameChunk, 1, &piece{ID: o.ID, Chunk: node.Chunk{Offset: 0, Data: []byte("first")}}),
		mustFrame(t, frameChunk, 2, &piece{ID: o.ID, Chunk: node.Chunk{Offset: 5, Data: []byte("second")}}),
	))
	receive(t, "the first chunk is being taken", taking)
	newer := rawHello(t, b.addr, greeting) // from here on the older one is given up
	newer.send(mustFrame(t, frameOffer, 0, &o))
	close(release)

	r := newFrameReader(newer, 4<<10, frameLimits{frameVerdict: maxVerdict}, patience)
	f, err := r.next()
	if err != nil {
		t.Fatal(err)
	}
	v, err := decodeVerdict(f.body)
	if err != nil || v.Opinion != opinionWanted || v.Position.Offset != 5 {
		t.Errorf("the newer connection is told %+v, %v; want it to go on after the chunk that was being taken", v, err)
	}
	newer.send(mustFrame(t, frameChunk, 1, &piece{ID: o.ID, Chunk: node.Chunk{Offset: 5, Data: []byte("second")}}))
	f, err = r.next()
	if err != nil || opinion(f.body[0]) != opinionTaken {
		t.Errorf("its chunk: %v, %v", f, err)
	}
	if receiver.disturbed.Load() || receiver.taken() != 2 {
		t.Errorf("%d chunks were taken, want one of each connection; at the same time: %v", receiver.taken(), receiver.disturbed.Load())
	}
}

// TestAConnectionThatIsOverReachesTheReceiverNoMore calls the methods as if what
// they are called with had been read just before the end.
func TestAConnectionThatIsOverReachesTheReceiverNoMore(t *testing.T) {
	d := newDirectory()
	b := start(t, d, 2, &host{})
	o := offerOf(1, 2, 5)
	_, server := net.Pipe()
	in := newInbound(b.Transport, server, hello{class: classSnapshot, from: identityOf(1)})
	in.fail(errReplaced)
	for range 50 {
		if err := (&snapshotService{in: in}).Offer(&o, new(verdict)); !errors.Is(err, errReplaced) {
			t.Fatalf("an offer: %v", err)
		}
	}
	if len(b.host.offers) != 0 {
		t.Errorf("%d offers reached the receiver", len(b.host.offers))
	}
}

// TestAChunkIsAnsweredBeforeTheNextOneIsComplete keeps the sender's window from
// running empty on a slow network.
func TestAChunkIsAnsweredBeforeTheNextOneIsComplete(t *testing.T) {
	d := newDirectory()
	b := start(t, d, 2, &host{})
	o := offerOf(1, 2, 5)
	c := rawHello(t, b.addr, hello{class: classSnapshot, from: identityOf(1), to: 2})
	second := mustFrame(t, frameChunk, 2, &piece{ID: o.ID, Chunk: node.Chunk{Offset: 5, Data: []byte("second")}})
	const begun = frameHeader + 3
	c.send(slices.Concat(
		mustFrame(t, frameOffer, 0, &o),
		mustFrame(t, frameChunk, 1, &piece{ID: o.ID, Chunk: node.Chunk{Offset: 0, Data: []byte("first")}}),
		second[:begun],
	))
	r := newFrameReader(c, 4<<10, frameLimits{frameVerdict: maxVerdict}, patience)
	for sequence := range uint64(3) {
		if sequence == 2 {
			c.send(second[begun:])
		}
		if f, err := r.next(); err != nil || f.sequence != sequence {
			t.Fatalf("verdict %d: %+v, %v", sequence, f, err)
		}
	}
}

func TestReceivedChunksTakeTurnsInOneBuffer(t *testing.T) {
	var stream []byte
	sizes := []int{100, 3000, 200, firstStep + 1, 1 << 20, 5}
	for i, size := range sizes {
		content := note(make([]byte, size))
		stream = append(stream, mustFrame(t, frameQuestion, uint64(i), &content)...)
	}
	r := readerOf(slices.Concat(stream, stream))
	r.reuse = true
	var first *byte
	for i, size := range slices.Concat(sizes, sizes) {
		f, err := r.next()
		if err != nil || len(f.body) != size {
			t.Fatalf("frame %d has %d bytes, %v", i, len(f.body), err)
		}
		if i == len(sizes)-2 {
			first = &f.body[0]
		}
		if i >= len(sizes) && &f.body[0] != first {
			t.Errorf("frame %d, of %d bytes, has memory of its own", i, size)
		}
	}
}
