package gossip

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A stateWorld is a few servers whose states spread over a network that loses,
// repeats, delays and reorders whatever it is given. It drives the tables
// directly, without memberlist, so that thousands of steps take no time, and it
// checks after every step what must hold of the copies at any time.
type stateWorld struct {
	t     *testing.T
	rng   *rand.Rand
	nodes []*stateNode
	// flying are the messages under way, sent all that there ever were.
	flying, sent []flyingMessage
	// history holds every state that an owner was ever in, by name and stamp.
	history map[string]map[stamp]map[string]string
	cut     func(a, b *stateNode) bool
	lossy   bool
}

type stateNode struct {
	id    uint64
	view  *view
	meta  meta
	start uint64 // counts its starts
	// seen is the greatest stamp that the node's copies had in this life.
	seen map[string]stamp
}

type flyingMessage struct {
	from, to *stateNode
	bytes    []byte
	exchange bool
}

func newStateWorld(t *testing.T, seed uint64, size int) *stateWorld {
	w := &stateWorld{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), lossy: true,
		history: make(map[string]map[stamp]map[string]string),
		cut:     func(a, b *stateNode) bool { return false },
	}
	for id := range size {
		w.nodes = append(w.nodes, &stateNode{id: uint64(id + 1)})
	}
	for _, n := range w.nodes {
		w.restart(n)
	}
	return w
}

func (n *stateNode) name() string { return fmt.Sprintf("n%d", n.id) }

func (n *stateNode) addr() string { return fmt.Sprintf("10.0.0.%d:7000", n.id) }

// restart gives a node a new life. Now and then its restart counter is lost.
func (w *stateWorld) restart(n *stateNode) {
	n.start++
	generation := n.start
	if w.rng.IntN(2) == 0 {
		generation = 0
	}
	n.meta = meta{id: n.id, instance: UUID{byte(n.id)}, rpcAddr: n.addr()}
	for i := range n.meta.run {
		n.meta.run[i] = byte(w.rng.Uint32())
	}
	n.view = newView(n.name(), n.meta, generation, 4)
	n.seen = make(map[string]stamp)
	w.meet()
}

// meet lets everybody see, as memberlist would after a while, whom it can reach.
func (w *stateWorld) meet() {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			switch {
			case b.view == nil:
			case a.view == nil || w.cut(a, b):
				b.view.gone(a.name())
			default:
				r := b.view.members[a.name()]
				if r == nil || !r.alive || r.run != a.meta.run {
					b.view.present(a.name(), a.addr(), a.meta.encode())
				}
			}
		}
	}
}

// step makes one thing happen.
func (w *stateWorld) step() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	other := w.nodes[w.rng.IntN(len(w.nodes))]
	switch dice := w.rng.IntN(100); {
	case dice < 15:
		w.write(n)
	case dice < 45:
		if b := n.view.news(200 + w.rng.IntN(1000)); b != nil {
			w.send(flyingMessage{from: n, to: other, bytes: b})
		}
	case dice < 50:
		w.send(flyingMessage{from: n, to: other, bytes: n.view.localState(), exchange: true})
	case dice < 55:
		n.view.compareWith(other.name())
		w.runErrands(n)
	case dice < 90:
		w.deliver()
	case dice < 94: // somebody repeats what was said a long time ago
		if len(w.sent) > 0 {
			w.flying = append(w.flying, w.sent[w.rng.IntN(len(w.sent))])
		}
	case dice < 98:
		w.pass(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
	case dice < 99 && w.rng.IntN(4) == 0:
		w.pass(tombstoneGrace)
	case w.rng.IntN(4) == 0:
		w.restart(n)
	}
	w.observe()
}

func (w *stateWorld) write(n *stateNode) {
	key := fmt.Sprintf("k/%d", w.rng.IntN(12))
	value := fmt.Sprint(w.rng.IntN(1000))
	if w.rng.IntN(10) == 0 {
		value = string(slices.Repeat([]byte("x"), MaxValue)) // two of them exceed a packet
	}
	switch w.rng.IntN(4) {
	case 0:
		n.view.write(change{key: key, deleted: true})
	case 1:
		n.view.write(change{key: key, value: value, ttl: time.Duration(1 + w.rng.Int64N(int64(time.Minute)))})
	default:
		n.view.write(change{key: key, value: value}, change{key: "k/pair", value: value})
	}
}

func (w *stateWorld) send(m flyingMessage) {
	w.sent = append(w.sent, m)
	for copies := w.rng.IntN(3); copies > 0; copies-- {
		w.flying = append(w.flying, m) // none of them: it is lost
	}
	if !w.lossy {
		w.flying = append(w.flying, m)
	}
}

// deliver brings any one message to its receiver, and lets that one answer.
func (w *stateWorld) deliver() {
	if len(w.flying) == 0 {
		return
	}
	i := w.rng.IntN(len(w.flying))
	m := w.flying[i]
	w.flying = slices.Delete(w.flying, i, i+1)
	if m.from == m.to || w.cut(m.from, m.to) {
		return
	}
	if m.exchange {
		m.to.view.mergeRemoteState(m.bytes)
	} else {
		m.to.view.receive(m.bytes)
	}
	w.runErrands(m.to)
}

func (w *stateWorld) runErrands(n *stateNode) {
	for {
		select {
		case e := <-n.view.errands:
			if e.exchange {
				continue // the test decides who is in which table
			}
			b := n.view.compose(e)
			to := w.nodes[slices.IndexFunc(w.nodes, func(n *stateNode) bool { return n.name() == e.to })]
			if b != nil {
				w.send(flyingMessage{from: n, to: to, bytes: b})
			}
		default:
			return
		}
	}
}

func (w *stateWorld) pass(d time.Duration) {
	pass(d)
	for _, n := range w.nodes {
		n.view.age()
	}
}

// observe checks the invariants of all copies.
func (w *stateWorld) observe() {
	w.t.Helper()
	for _, n := range w.nodes {
		own := n.view.replicas[n.name()]
		states := w.history[n.name()]
		if states == nil {
			states = make(map[stamp]map[string]string)
			w.history[n.name()] = states
		}
		if states[own.stamp] == nil {
			states[own.stamp] = contents(own)
		}
	}
	for _, n := range w.nodes {
		for name, r := range n.view.replicas {
			last := n.seen[name]
			if n.view.members[name] == nil {
				// It is shown to nobody, kept for a minute, and not remembered.
				delete(n.seen, name)
				continue
			}
			if r.stamp == last {
				continue // and was checked before
			}
			checkReplica(w.t, r)
			if r.stamp.compare(last) < 0 {
				w.t.Fatalf("%s went back from %+v to %+v in its copy of %s", n.name(), last, r.stamp, name)
			}
			n.seen[name] = r.stamp
			if was, ok := w.history[name][r.stamp]; !ok || !reflect.DeepEqual(was, contents(r)) {
				w.t.Fatalf("the copy of %s at %s was never the state of its owner\ncopy:  %+v %v\nowner: %v",
					name, n.name(), r.stamp, contents(r), was)
			}
		}
	}
}

// checkReplica checks what holds of every copy for itself.
func checkReplica(t *testing.T, r *replica) {
	t.Helper()
	versions := make(map[uint64]bool)
	for key, e := range r.entries {
		if e.version == 0 || e.version > r.version || versions[e.version] {
			t.Fatalf("%s has version %d in a state of stamp %+v", key, e.version, r.stamp)
		}
		if !e.deleted.IsZero() && e.version <= r.collected {
			t.Fatalf("the tombstone of %s should have been forgotten: %+v, stamp %+v", key, e, r.stamp)
		}
		versions[e.version] = true
	}
	if err := checkSize(r.entries); err != nil || r.collected > r.version {
		t.Fatalf("stamp %+v, %v", r.stamp, err)
	}
}

// contents tells what a copy holds, without what depends on when it came.
func contents(r *replica) map[string]string {
	all := make(map[string]string)
	for key, e := range r.entries {
		all[key] = fmt.Sprintf("%s %v %v @%d", e.value, !e.deleted.IsZero(), !e.expires.IsZero(), e.version)
	}
	return all
}

// settle lets the servers compare their copies over a network that loses nothing
// any more, and fails if they do not come to agree.
func (w *stateWorld) settle() {
	w.t.Helper()
	w.lossy = false
	w.cut = func(a, b *stateNode) bool { return false }
	w.meet()
	w.pass(time.Minute) // all times to live are over
	for range 10 {
		w.pass(2 * askInterval)
		for _, a := range w.nodes {
			for _, b := range w.nodes {
				a.view.compareWith(b.name())
				w.runErrands(a)
			}
		}
		for len(w.flying) > 0 {
			w.deliver()
			w.observe()
		}
	}
	for _, n := range w.nodes {
		if got := len(n.view.replicas); got != len(w.nodes) {
			w.t.Fatalf("%s holds %d states", n.name(), got)
		}
		for _, owner := range w.nodes {
			mine, theirs := n.view.replicas[owner.name()], owner.view.replicas[owner.name()]
			if mine.stamp != theirs.stamp || !maps.Equal(contents(mine), contents(theirs)) {
				w.t.Fatalf("%s and its copy at %s still differ:\n%+v %v\n%+v %v", owner.name(), n.name(),
					theirs.stamp, contents(theirs), mine.stamp, contents(mine))
			}
		}
	}
}

func TestCopiesAreOnceTrueNeverGoBackAndConverge(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			w := newStateWorld(t, seed, 5)
			for range 1500 {
				w.step()
			}
			w.settle()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestCopiesConvergeAfterAPartitionThatOutlastsEveryGrace(t *testing.T) {
	for _, length := range []time.Duration{time.Minute, 2 * tombstoneGrace, 2 * stateGrace} {
		for seed := range uint64(10) {
			synctest.Test(t, func(t *testing.T) {
				w := newStateWorld(t, seed, 5)
				for range 500 {
					w.step()
				}
				w.cut = func(a, b *stateNode) bool { return (a.id <= 2) != (b.id <= 2) }
				w.meet()
				for range 500 {
					w.step()
				}
				w.pass(length)
				for range 100 {
					w.step()
				}
				w.settle()
			})
			if t.Failed() {
				t.Fatalf("seed %d, %v", seed, length)
			}
		}
	}
}
