package rpc

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// TestALargeSnapshotArrivesOverBrokenConnectionsBesideRaft sends 64 MiB at full
// speed over connections of which two break in the middle, while Raft messages
// go back and forth.
func TestALargeSnapshotArrivesOverBrokenConnectionsBesideRaft(t *testing.T) {
	const size = 64 << 20
	d := newDirectory()
	receiver := &host{}
	var net cuttable
	leader := start(t, d, 1, &host{}, fullSpeed, net.config)
	follower := start(t, d, 2, receiver)
	sendUntil(t, leader, follower, 1) // so that the next connection is the snapshot's
	sendUntil(t, follower, leader, 1)
	breaks := []uint64{size / 3, size / 2}
	receiver.onChunk = func(_ context.Context, c node.Chunk) error {
		if len(breaks) > 0 && c.Offset >= breaks[0] {
			breaks = breaks[1:]
			net.cut()
		}
		return nil
	}

	over := make(chan struct{})
	var latencies []time.Duration
	var pinging sync.WaitGroup
	pinging.Go(func() {
		for id := uint64(2); ; id++ {
			select {
			case <-over:
				return
			default:
			}
			began := time.Now()
			leader.Send([]raft.Message{numbered(1, 2, id)})
			for !receiver.lastIs(id) {
				runtime.Gosched()
				if time.Since(began) > patience {
					t.Error("a Raft message did not get through beside the snapshot")
					return
				}
			}
			latencies = append(latencies, time.Since(began))
		}
	})

	g, o := newGenerated(size, node.ChunkSize), offerOf(1, 2, 5)
	began := time.Now()
	attempts := 1
	err := leader.SendSnapshot(t.Context(), o, g, nil)
	for ; errors.Is(err, ErrConnectionLost); attempts++ {
		err = leader.SendSnapshot(t.Context(), o, g, nil)
	}
	took := time.Since(began)
	close(over)
	pinging.Wait()
	if err != nil || !receiver.holds(o.ID, g) {
		t.Fatalf("after %d attempts: %v, arrived: %v", attempts, err, receiver.holds(o.ID, g))
	}
	if attempts != 3 || len(g.seeks) != 3 || g.seeks[1].Offset < size/3 || g.seeks[2].Offset < size/2 {
		t.Errorf("%d attempts began at %v, want three that go on where the last one ended", attempts, g.seeks)
	}
	if n := receiver.taken(); n != size/node.ChunkSize {
		t.Errorf("%d chunks were taken, of %d", n, size/node.ChunkSize)
	}
	if n := leader.Stats().Peers[2].Connections; n != 1 || len(leader.host.losses()) != 0 {
		t.Errorf("the connection for Raft messages was made %d times", n)
	}
	if len(latencies) < 10 {
		t.Errorf("%d Raft messages got through beside the snapshot", len(latencies))
	}
	slices.Sort(latencies)
	t.Logf("%d MiB in %v; meanwhile %d Raft messages one way: median %v, 99 %% %v, longest %v", size>>20, took,
		len(latencies), latencies[len(latencies)/2], latencies[len(latencies)*99/100], latencies[len(latencies)-1])
}

// lastIs reports whether the message that arrived last has an ID.
func (h *host) lastIs(id uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.received) > 0 && h.received[len(h.received)-1].Body.(*raft.ReadIndex).ID == id
}

// TestASnapshotCostsTheMemoryOfAFewChunks counts all that is allocated during a
// transfer, on both sides, whether or not it could be freed in between.
func TestASnapshotCostsTheMemoryOfAFewChunks(t *testing.T) {
	d := newDirectory()
	receiver := &host{}
	start(t, d, 2, receiver)
	a := start(t, d, 1, &host{}, fullSpeed)
	g, o := newGenerated(64<<20, node.ChunkSize), offerOf(1, 2, 5)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sendSnapshot(t, a, o, g)
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8*node.ChunkSize {
		t.Errorf("sending 64 MiB in chunks of %d KiB allocated %d KiB on both sides together, want a few chunks",
			node.ChunkSize>>10, grown>>10)
	} else {
		t.Logf("allocated %d KiB", grown>>10)
	}
	if !receiver.holds(o.ID, g) {
		t.Error("it did not arrive")
	}
}
