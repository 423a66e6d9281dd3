package simulated_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"balsa/kv"
	"balsa/kv/history"
)

// requestTimeout bounds a request, in virtual time. It is longer than an election.
const requestTimeout = 3 * time.Second

// client asks one thing at a time, of any server.
type client struct {
	w    *world
	id   int
	rng  *rand.Rand
	seen map[history.Text]uint64 // the last revision that it has seen of each key
	n    int                     // numbers its values
}

func (w *world) newClient(id int) *client {
	return &client{w: w, id: id, rng: w.source(), seen: map[history.Text]uint64{}}
}

// run asks until the clients are to stop.
func (c *client) run() {
	for {
		select {
		case <-c.w.clientsStop:
			return
		case <-time.After(time.Duration(c.rng.Int64N(int64(c.w.plan.think)))):
		}
		p := c.w.anyProcess(c.rng)
		if p == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
		began := time.Now()
		switch c.rng.IntN(8) {
		case 0:
			c.writeOnce(ctx, p)
		case 1:
			c.writeMuch(ctx, p)
		default:
			c.one(ctx, p)
		}
		cancel()
		if took := time.Since(began); took > requestTimeout+time.Second {
			c.w.violation("n%d took %v to answer a request that had %v", p.id, took, requestTimeout)
		}
	}
}

// value returns a value that nobody else writes.
func (c *client) value() string {
	c.n++
	return fmt.Sprintf("%d/%d", c.id, c.n)
}

// writeOnce writes a key that is written once. If that is acknowledged, the key
// must be there in the end, whatever else happens.
func (c *client) writeOnce(ctx context.Context, p *process) {
	value := c.value()
	key := "once/" + value
	result, err := p.store.Put(ctx, []byte(key), []byte(value))
	if err == nil && !p.dead.Load() {
		c.w.judge.acknowledge(key, value, result.Revision)
		c.w.seen.answered.Add(1)
	}
}

// writeMuch makes the state large, so that snapshots have several chunks.
func (c *client) writeMuch(ctx context.Context, p *process) {
	key := "much/" + strconv.Itoa(c.rng.IntN(12))
	value := strings.Repeat(c.value()+" ", c.rng.IntN(c.w.plan.much/6))
	if c.rng.IntN(5) == 0 {
		_, _ = p.store.Delete(ctx, []byte(key))
		return
	}
	_, _ = p.store.Put(ctx, []byte(key), []byte(value))
}

// one does one operation on one of the few keys that everybody uses, and records
// it.
func (c *client) one(ctx context.Context, p *process) {
	in := history.Input{Key: history.Text("k" + strconv.Itoa(c.rng.IntN(c.w.plan.keys)))}
	lease := false
	switch n := c.rng.IntN(20); {
	case n < 6:
		in.Kind, lease = history.Get, n < 3
	case n < 8:
		in.Kind = history.StaleGet
	case n < 13:
		in.Kind, in.Value = history.Put, history.Text(c.value())
	case n < 16:
		in.Kind, in.Value, in.Expected = history.CompareAndSet, history.Text(c.value()), c.seen[in.Key]
	case n < 18:
		in.Kind, in.Expected = history.CompareAndDelete, c.seen[in.Key]
	default:
		in.Kind = history.Delete
	}
	pending := c.w.recorder.Begin(c.id, uint64(p.id), in)
	out, err := c.ask(ctx, p, in, lease)
	if p.dead.Load() {
		return // whatever it said, nobody heard it
	}
	if err == nil {
		c.w.seen.answered.Add(1)
		c.seen[in.Key] = out.Revision
	}
	pending.End(out)
}

// ask calls the store and translates what comes back.
func (c *client) ask(ctx context.Context, p *process, in history.Input, lease bool) (history.Output, error) {
	key := []byte(in.Key)
	var result kv.Result
	var item kv.Item
	var found bool
	var err error
	switch {
	case in.Kind == history.Get && lease:
		item, found, err = c.w.bugs.read(p, p.store.LeaseGet)(ctx, key)
	case in.Kind == history.Get:
		item, found, err = c.w.bugs.read(p, p.store.LinearizableGet)(ctx, key)
	case in.Kind == history.StaleGet:
		item, found, err = p.store.Get(key)
	case in.Kind == history.Put:
		result, err = p.store.Put(ctx, key, []byte(in.Value))
	case in.Kind == history.Delete:
		result, err = p.store.Delete(ctx, key)
	case in.Kind == history.CompareAndSet:
		result, err = p.store.CompareAndSet(ctx, key, in.Expected, []byte(in.Value))
	case in.Kind == history.CompareAndDelete:
		result, err = p.store.CompareAndDelete(ctx, key, in.Expected)
	}
	if err != nil {
		return c.explain(p, in, err), err
	}
	out := history.Output{Outcome: history.OK, Found: result.Existed, Revision: result.Revision}
	if in.Kind == history.Get || in.Kind == history.StaleGet {
		out = history.Output{Outcome: history.OK, Found: found, Revision: item.Revision, Value: history.Text(item.Value)}
	}
	return out, nil
}

// explain translates an error, and reports those that the store does not promise.
func (c *client) explain(p *process, in history.Input, err error) history.Output {
	if conflict, ok := errors.AsType[*kv.ConflictError](err); ok {
		c.seen[in.Key] = conflict.Actual
		return history.Output{Outcome: history.Conflict, Revision: conflict.Actual}
	}
	switch {
	case errors.Is(err, kv.ErrOutcomeUnknown):
		return history.Output{Outcome: history.Unknown}
	case errors.Is(err, kv.ErrNoLeader), errors.Is(err, kv.ErrNoQuorum), errors.Is(err, kv.ErrBusy), errors.Is(err, kv.ErrStopped):
	case errors.Is(err, kv.ErrFailed) && p.struck.Load() != nil:
	default:
		if !p.dead.Load() {
			c.w.violation("n%d answers a %s with: %v", p.id, in.Kind, err)
		}
	}
	return history.Output{Outcome: history.Failed}
}
