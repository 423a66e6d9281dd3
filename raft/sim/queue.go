package sim

import (
	"fmt"
	"math/rand/v2"
)

// Time is virtual time. It advances from one event to the next and has nothing
// to do with the time of the machine that runs the simulation.
type Time int64

// Tick is the length of a tick of a clock that runs at the right speed.
const Tick Time = 1000

// String writes the time in ticks, with three decimals.
func (t Time) String() string { return fmt.Sprintf("%d.%03d", t/Tick, t%Tick) }

func ticks(n int) Time { return Time(n) * Tick }

// queue holds what will happen. Events happen in the order of their time, and
// in the order in which they were scheduled if their time is the same, so that
// a run is the same whenever it is repeated. What is done to the cluster from
// outside comes before what happens in it at the same time: so it makes no
// difference whether that is thought up on the way or was known from the start
// (see scenario.go).
type queue struct {
	now  Time
	seq  uint64
	heap []event
}

type event struct {
	at     Time
	inside bool // the cluster
	seq    uint64
	do     func()
}

func (e event) before(f event) bool {
	switch {
	case e.at != f.at:
		return e.at < f.at
	case e.inside != f.inside:
		return f.inside
	}
	return e.seq < f.seq
}

// at schedules something that happens in the cluster at a time, which must not lie
// in the past.
func (q *queue) at(t Time, do func()) { q.schedule(event{at: t, inside: true, do: do}) }

func (q *queue) schedule(e event) {
	if e.at < q.now {
		panic(fmt.Sprintf("sim: event scheduled for %s at %s", e.at, q.now))
	}
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !q.heap[i].before(q.heap[parent]) {
			break
		}
		q.heap[i], q.heap[parent] = q.heap[parent], q.heap[i]
		i = parent
	}
}

// next removes the earliest event, moves the clock to it and returns it. It
// returns false, and leaves everything as it is, if nothing is scheduled up to
// the deadline.
func (q *queue) next(deadline Time) (event, bool) {
	if len(q.heap) == 0 || q.heap[0].at > deadline {
		return event{}, false
	}
	first := q.heap[0]
	n := len(q.heap) - 1
	q.heap[0] = q.heap[n]
	q.heap[n] = event{}
	q.heap = q.heap[:n]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < n; child++ {
			if q.heap[child].before(q.heap[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
	q.now = first.at
	return first, true
}

// random is one stream of random numbers. Every part of the world has its own
// stream, all made from the seed, so that a change in how one part uses its
// numbers changes the others as little as possible.
type random struct{ *rand.Rand }

func newRandom(seed uint64, stream string) random {
	h := uint64(14695981039346656037)
	for _, b := range []byte(stream) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return random{rand.New(rand.NewPCG(seed, h))}
}

// coin returns true in half of the cases.
func (r random) coin() bool { return r.IntN(2) == 0 }

// chance returns true with probability p.
func (r random) chance(p float64) bool { return p > 0 && r.Float64() < p }

// between returns a uniformly random time in [lo, hi].
func (r random) between(lo, hi Time) Time {
	if hi <= lo {
		return lo
	}
	return lo + Time(r.Int64N(int64(hi-lo)+1))
}

// around returns a random time, in whole ticks and parts, whose mean is the
// given number of ticks.
func (r random) around(meanTicks int) Time { return r.between(1, 2*ticks(meanTicks)) }

// pick returns one of the values.
func pick[T any](r random, values ...T) T { return values[r.IntN(len(values))] }
