package linearizability_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"balsa/api/client"
	"balsa/kv/history"
)

// workload is clients that write and read a few keys on every node.
type workload struct {
	c        *cluster
	recorder *history.Recorder
	keys     int
	timeout  time.Duration // of one operation

	underWay  atomic.Int64 // operations begun and not ended
	succeeded atomic.Int64
	values    atomic.Int64 // numbers the values, so that each is written once
	gaps      gaps
}

// gaps measures how long no write succeeded.
type gaps struct {
	mu   sync.Mutex
	last time.Time
	max  time.Duration
}

func (g *gaps) wrote() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !g.last.IsZero() {
		g.max = max(g.max, now.Sub(g.last))
	}
	g.last = now
}

func (g *gaps) restart() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last, g.max = time.Now(), 0
}

// longest includes the gap that is going on.
func (g *gaps) longest() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return max(g.max, time.Since(g.last))
}

// run lets clients work, that many on each node, until ctx ends.
func (w *workload) run(ctx context.Context, clientsPerNode int, seed uint64) {
	var wg sync.WaitGroup
	for i := range clientsPerNode * len(w.c.nodes) {
		node := w.c.nodes[i%len(w.c.nodes)]
		worker := &worker{
			workload: w, id: i, node: uint64(node.id), client: node.client,
			rng: rand.New(rand.NewPCG(seed, uint64(i))), seen: map[history.Text]uint64{},
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				worker.one(ctx)
			}
		})
	}
	wg.Wait()
}

// worker is one client. It asks one thing at a time.
type worker struct {
	*workload
	id     int
	node   uint64
	client *client.Client
	rng    *rand.Rand
	seen   map[history.Text]uint64 // the last revision it saw of each key
}

// one does one operation and records it.
func (w *worker) one(ctx context.Context) {
	in := w.choose()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.timeout)
	defer cancel()
	w.underWay.Add(1)
	defer w.underWay.Add(-1)

	pending := w.recorder.Begin(w.id, w.node, in)
	out, heard := w.ask(ctx, in)
	if heard {
		pending.End(out)
	}
	switch out.Outcome {
	case history.OK, history.Conflict:
		w.succeeded.Add(1)
		w.seen[in.Key] = out.Revision
		if in.Kind != history.Get && out.Outcome == history.OK {
			w.gaps.wrote()
		}
	case history.Failed:
		// The node is down, or nobody leads. Asking again at once would fill the
		// recording with refusals.
		pause(ctx, 20*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (w *worker) choose() history.Input {
	key := history.Text("k" + strconv.Itoa(w.rng.IntN(w.keys)))
	value := history.Text(fmt.Sprintf("v%d", w.values.Add(1)))
	switch n := w.rng.IntN(10); {
	case n < 4:
		return history.Input{Kind: history.Get, Key: key}
	case n < 7:
		return history.Input{Kind: history.Put, Key: key, Value: value}
	case n < 9:
		return history.Input{Kind: history.CompareAndSet, Key: key, Value: value, Expected: w.seen[key]}
	default:
		return history.Input{Kind: history.Delete, Key: key}
	}
}

// ask sends the operation and translates what came back. It reports false if
// nobody can tell what a write has done.
func (w *worker) ask(ctx context.Context, in history.Input) (history.Output, bool) {
	key := []byte(in.Key)
	var out history.Output
	var err error
	switch in.Kind {
	case history.Get:
		var item client.Item
		item, err = w.client.Get(ctx, key)
		out = history.Output{Outcome: history.OK, Found: true, Value: history.Text(item.Value), Revision: item.Revision}
	case history.Put:
		out.Revision, err = w.client.Put(ctx, key, []byte(in.Value))
		out.Outcome = history.OK
	case history.CompareAndSet:
		out.Revision, err = w.client.CompareAndSet(ctx, key, in.Expected, []byte(in.Value))
		out.Outcome = history.OK
	case history.Delete:
		out.Revision, err = w.client.Delete(ctx, key)
		out.Outcome, out.Found = history.OK, true
	}
	switch {
	case err == nil:
		return out, true
	case isNotFound(err) && in.Kind == history.Get:
		return history.Output{Outcome: history.OK}, true
	case errors.Is(err, client.ErrConflict):
		if actual, known := actualRevision(err); known {
			return history.Output{Outcome: history.Conflict, Revision: actual}, true
		}
		return history.Output{Outcome: history.Failed}, true
	case errors.Is(err, client.ErrOutcomeUnknown):
		return history.Output{Outcome: history.Unknown}, false
	default:
		// Among them a deletion of what is not there, which changes nothing.
		return history.Output{Outcome: history.Failed}, true
	}
}

func isNotFound(err error) bool { return errors.Is(err, client.ErrNotFound) }

// actualRevision is the one that the key had when a comparison failed.
func actualRevision(err error) (revision uint64, known bool) {
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Problem == nil || e.Problem.Revision == nil {
		return 0, false
	}
	return *e.Problem.Revision, true
}
