// Package bench puts load on a cluster and measures what comes back.
//
// The load is a closed loop: each connection sends a request, waits for its
// answer, and sends the next one. So a server that slows down gets less to do,
// and latencies of an overloaded one look better than an open world would find
// them.
//
// The load generator shares the machine with the servers when a cluster runs
// on one machine. So it does as little as it can per request: a goroutine and a
// TCP connection of its own for each client, and no http.Client.
package bench

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Config says what to do. Everything but Requests must be set.
type Config struct {
	// Addresses are the host:port to connect to, in turn.
	Addresses []string
	// Connections is how many clients there are.
	Connections int
	// ValueSize is the length of the values that are written, in bytes.
	ValueSize int
	// Keys is how many different keys there are.
	Keys int
	// ReadRatio is which part of the requests are linearizable reads, 0 to 1.
	ReadRatio float64
	// Warmup is how long the load lasts before anything is measured.
	Warmup time.Duration
	// Duration is how long to measure. Requests, if it is not 0, ends that
	// sooner.
	Duration time.Duration
	Requests int64
	// Timeout bounds each request.
	Timeout time.Duration
	// Around, if set, is called at the beginning and at the end of the time
	// that is measured.
	Around func()
}

// Result is what a run has measured.
type Result struct {
	Connections int
	Elapsed     time.Duration
	Reads       Operations
	Writes      Operations
	// Errors counts the requests that failed, by kind: the last part of the
	// problem's type, or a word for what went wrong on the way.
	Errors map[string]int64
}

// Operations is how many requests of one kind were answered well, and how long
// they took.
type Operations struct {
	Count     int64
	Latencies *hdrhistogram.Histogram // in microseconds
}

// Done is how many requests were answered well.
func (r Result) Done() int64 { return r.Reads.Count + r.Writes.Count }

// Failed is how many requests were not.
func (r Result) Failed() int64 {
	var n int64
	for _, count := range r.Errors {
		n += count
	}
	return n
}

// phases of a run.
const (
	warming int32 = iota
	measuring
	over
)

// run is what the clients of one run share.
type run struct {
	cfg   Config
	phase atomic.Int32
	// begun and answered count the requests that are measured.
	begun, answered atomic.Int64
	// ended is closed when as many as wanted are answered.
	ended chan struct{}
	// filler is what values are cut from.
	filler []byte
}

// Run puts load on the cluster and returns what it measured. It fails if not a
// single request was answered well.
func Run(ctx context.Context, cfg Config) (Result, error) {
	r := &run{cfg: cfg, ended: make(chan struct{}), filler: newFiller(cfg.ValueSize)}
	clients := make([]*client, cfg.Connections)
	var working sync.WaitGroup
	for i := range clients {
		clients[i] = newClient(r, cfg.Addresses[i%len(cfg.Addresses)], uint64(i))
		working.Go(func() { clients[i].work(ctx) })
	}

	pause(ctx, cfg.Warmup, nil)
	if cfg.Around != nil {
		cfg.Around()
	}
	began := time.Now()
	r.phase.Store(measuring)
	pause(ctx, cfg.Duration, r.ended)
	r.phase.Store(over)
	elapsed := time.Since(began)
	if cfg.Around != nil {
		cfg.Around()
	}
	working.Wait()
	return r.result(clients, elapsed)
}

// pause waits until the time is up, the channel is closed or ctx ends.
func pause(ctx context.Context, d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
}

func (r *run) result(clients []*client, elapsed time.Duration) (Result, error) {
	result := Result{
		Connections: r.cfg.Connections, Elapsed: elapsed, Errors: map[string]int64{},
		Reads: Operations{Latencies: newHistogram()}, Writes: Operations{Latencies: newHistogram()},
	}
	var example error
	for _, c := range clients {
		result.Reads.add(c.reads)
		result.Writes.add(c.writes)
		for kind, n := range c.errors {
			result.Errors[kind] += n
		}
		if example == nil {
			example = c.firstError
		}
	}
	if result.Done() == 0 && example != nil {
		kinds := slices.Sorted(maps.Keys(result.Errors))
		return result, fmt.Errorf("no request was answered well (%v): %w", kinds, example)
	}
	return result, nil
}

func (o *Operations) add(h *hdrhistogram.Histogram) {
	o.Count += h.TotalCount()
	o.Latencies.Merge(h)
}

// maxLatency is the longest latency that is told apart from longer ones.
const maxLatency = time.Minute

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), 3)
}

// begin says whether a request that begins now is measured, and whether there
// should be one at all.
func (r *run) begin() (measured, wanted bool) {
	switch phase := r.phase.Load(); {
	case phase == warming:
		return false, true
	case phase == over:
		return false, false
	case r.cfg.Requests == 0:
		return true, true
	}
	wanted = r.begun.Add(1) <= r.cfg.Requests
	return wanted, wanted
}

// end says whether a measured request that was answered counts, and ends the run
// when as many as wanted were.
func (r *run) end() bool {
	if r.phase.Load() != measuring {
		return false // too late: the time was up
	}
	if r.answered.Add(1) == r.cfg.Requests {
		close(r.ended)
	}
	return true
}

// newFiller returns letters to cut values of the given length from, so that
// they differ without being made anew each time.
func newFiller(size int) []byte {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	filler := make([]byte, size+4096)
	for i := range filler {
		filler[i] = letters[rand.IntN(len(letters))]
	}
	return filler
}
