package rpc

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"balsa/raft"
	"balsa/raft/node"
)

// endless is a snapshot that costs nothing to make, of as many chunks as wanted.
type endless struct {
	generated
	more func() bool
}

func (e *endless) Next() (node.Chunk, error) {
	c := node.Chunk{Offset: e.offset, Data: e.buf, Last: !e.more()}
	e.offset += uint64(len(c.Data))
	return c, nil
}

// drain is a receiver that takes a while for each chunk, as a disk does.
type drain struct {
	Handler
	took      time.Duration
	delivered chan struct{}
}

func (d *drain) Deliver([]raft.Message) { d.delivered <- struct{}{} }

func (d *drain) OfferSnapshot(context.Context, node.SnapshotOffer) (node.Position, error) {
	return node.Position{}, nil
}

func (d *drain) SnapshotChunk(context.Context, node.SnapshotID, node.Chunk) error {
	if d.took > 0 {
		<-time.After(d.took)
	}
	return nil
}

func (d *drain) FinishSnapshot(context.Context, node.SnapshotID) error { return nil }

// BenchmarkSnapshot sends one snapshot of b.N chunks.
func BenchmarkSnapshot(b *testing.B) {
	for _, took := range []time.Duration{0, time.Millisecond} {
		b.Run(fmt.Sprintf("disk=%v", took), func(b *testing.B) {
			d := newDirectory()
			start(b, d, 2, &host{}, func(c *Config) { c.Handler = &drain{took: took} })
			a := start(b, d, 1, &host{}, fullSpeed)
			source := &endless{generated: *newGenerated(0, node.ChunkSize), more: b.Loop}
			b.SetBytes(node.ChunkSize)
			b.ReportAllocs()
			if err := a.SendSnapshot(b.Context(), offerOf(1, 2, 5), source, nil); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkDeliverBesideASnapshot measures how long a Raft message takes one way
// while a snapshot travels at different rates, or none at all.
func BenchmarkDeliverBesideASnapshot(b *testing.B) {
	for _, rate := range []int64{0, 32 << 20, 64 << 20, 128 << 20, -1} {
		b.Run(fmt.Sprintf("MiB/s=%d", rate>>20), func(b *testing.B) {
			d := newDirectory()
			receiver := &drain{delivered: make(chan struct{})}
			start(b, d, 2, &host{}, func(c *Config) { c.Handler = receiver })
			a := start(b, d, 1, &host{}, func(c *Config) { c.SnapshotRate = rate })
			ctx, cancel := context.WithCancel(b.Context())
			var sending sync.WaitGroup
			if rate != 0 {
				source := &endless{generated: *newGenerated(0, node.ChunkSize), more: func() bool { return true }}
				sending.Go(func() { a.SendSnapshot(ctx, offerOf(1, 2, 5), source, nil) })
			}
			one := []raft.Message{appendEntries(1, 2, 1, 128)}
			a.Send(one)
			<-receiver.delivered
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				a.Send(one)
				<-receiver.delivered
				took = append(took, time.Since(began))
			}
			cancel()
			sending.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-µs")
		})
	}
}
