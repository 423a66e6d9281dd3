package rpc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"balsa/raft"
	"balsa/raft/node"
)

// tally is a Handler that counts, and signals when it has counted enough.
type tally struct {
	node.SnapshotReceiver
	messages, entries, target atomic.Int64
	done                      chan struct{}
}

func newTally(target int) *tally {
	c := &tally{done: make(chan struct{}, 1)}
	c.target.Store(int64(target))
	return c
}

func (c *tally) Deliver(messages []raft.Message) {
	for i := range messages {
		if ae, ok := messages[i].Body.(*raft.AppendEntries); ok {
			c.entries.Add(int64(len(ae.Entries)))
		}
	}
	if c.messages.Add(int64(len(messages))) >= c.target.Load() {
		signal(c.done)
	}
}

func (c *tally) Execute(_ context.Context, command []byte) []byte { return command }
func (c *tally) Answer(Identity, []byte) []byte                   { return nil }

func benchmarkPair(b *testing.B, h Handler) *testNode {
	b.Helper()
	d := newDirectory()
	start(b, d, 2, &host{}, func(c *Config) { c.Handler = h })
	return start(b, d, 1, &host{}, func(c *Config) { c.Limits.QueueMessages, c.Limits.QueueBytes = 1<<20, 1<<30 })
}

// benchmarkDeliver sends one message after the other without waiting, as a
// leader under load does, and keeps the queue from overflowing.
func benchmarkDeliver(b *testing.B, m raft.Message) {
	c := newTally(1)
	a := benchmarkPair(b, c)
	a.Send([]raft.Message{m})
	<-c.done // connected
	const ahead = 1 << 12
	b.SetBytes(int64(m.Size()))
	b.ReportAllocs()
	calls, sent := a.Stats().Peers[2].CallsSent, int64(1)
	one := []raft.Message{m}
	for b.Loop() {
		a.Send(one)
		if sent++; sent%ahead == 0 {
			c.target.Store(sent - ahead/2)
			for c.messages.Load() < sent-ahead/2 {
				<-c.done
			}
		}
	}
	c.target.Store(sent)
	for c.messages.Load() < sent {
		<-c.done
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "msgs/s")
	b.ReportMetric(float64(sent)/float64(a.Stats().Peers[2].CallsSent-calls), "msgs/call")
	if d := a.Stats().Peers[2].MessagesDropped; d > 0 {
		b.Fatalf("%d messages were dropped", d)
	}
}

func BenchmarkDeliverSmall(b *testing.B) {
	benchmarkDeliver(b, raft.Message{From: 1, To: 2, Term: 1, Body: &raft.AppendEntriesReply{Success: true, MatchIndex: 9}})
}

func BenchmarkDeliverAppendEntries64x128(b *testing.B) {
	benchmarkDeliver(b, appendEntries(1, 2, 64, 128))
}

func BenchmarkDeliverAppendEntries1x64KiB(b *testing.B) {
	benchmarkDeliver(b, appendEntries(1, 2, 1, 64<<10))
}

// BenchmarkDeliverOneAtATime waits for each message to arrive: one way, with all
// queues empty.
func BenchmarkDeliverOneAtATime(b *testing.B) {
	for _, entries := range []int{0, 1, 64} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			c := newTally(0)
			a := benchmarkPair(b, c)
			one := []raft.Message{appendEntries(1, 2, entries, 128)}
			b.ReportAllocs()
			for b.Loop() {
				a.Send(one)
				<-c.done
			}
		})
	}
}

// BenchmarkRoundTrip is an AppendEntries and its reply: two messages on two
// connections, and their acknowledgements.
func BenchmarkRoundTrip(b *testing.B) {
	d := newDirectory()
	var follower *testNode
	answered := make(chan struct{}, 1)
	reply := []raft.Message{{From: 2, To: 1, Term: 1, Body: &raft.AppendEntriesReply{Success: true}}}
	ready := make(chan struct{})
	follower = start(b, d, 2, &host{}, func(c *Config) {
		c.Handler = handlerFunc{deliver: func([]raft.Message) { <-ready; follower.Send(reply) }}
	})
	close(ready)
	leader := start(b, d, 1, &host{}, func(c *Config) {
		c.Handler = handlerFunc{deliver: func([]raft.Message) { signal(answered) }}
	})
	one := []raft.Message{appendEntries(1, 2, 1, 128)}
	b.ReportAllocs()
	for b.Loop() {
		leader.Send(one)
		<-answered
	}
}

// handlerFunc is a Handler for Raft messages only.
type handlerFunc struct {
	Handler
	deliver func([]raft.Message)
}

func (f handlerFunc) Deliver(m []raft.Message) { f.deliver(m) }

// BenchmarkForward forwards 128-byte commands from many goroutines.
func BenchmarkForward(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			a := benchmarkPair(b, newTally(0))
			command := make([]byte, 128)
			b.ReportAllocs()
			work := make(chan struct{}, callers)
			var running sync.WaitGroup
			for range callers {
				running.Go(func() {
					for range work {
						if _, _, err := a.Forward(context.Background(), 2, command); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			running.Wait()
		})
	}
}

// BenchmarkEncode and BenchmarkDecode are the codec alone.
func BenchmarkEncode(b *testing.B) {
	messages := batch{appendEntries(1, 2, 64, 128)}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = appendFrame(buf[:0], frameDeliver, 1, MaxMessage, &messages)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode(b *testing.B) {
	body := appendBatch(nil, batch{appendEntries(1, 2, 64, 128)})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeBatch(body); err != nil {
			b.Fatal(err)
		}
	}
}
