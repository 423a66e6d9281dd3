package founding

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"balsa/gossip"
)

// scenario says how many servers there are and what may happen to them.
type scenario struct {
	servers, expect int
	crashes         bool
	wipes           bool // a crashed server may lose its disk
}

// TestNoScheduleFoundsTwoClustersThatShareAServer lets servers live through
// random histories: each sees the others come and go at random, as gossip may
// show them; questions and answers are lost or late; servers crash at any point,
// also while they write the founding, and come back, sometimes at another
// address. After that the invariants of the package comment must hold.
//
// Trap 52.
func TestNoScheduleFoundsTwoClustersThatShareAServer(t *testing.T) {
	const seeds = uint64(200)
	for _, sc := range []scenario{
		{servers: 3, expect: 3},
		{servers: 3, expect: 3, crashes: true},
		{servers: 3, expect: 3, crashes: true, wipes: true},
		{servers: 4, expect: 3},
		{servers: 4, expect: 3, crashes: true},
		{servers: 5, expect: 3},
		{servers: 5, expect: 3, crashes: true, wipes: true},
		{servers: 5, expect: 5, crashes: true},
		{servers: 6, expect: 2, crashes: true},
	} {
		t.Run(fmt.Sprintf("%+v", sc), func(t *testing.T) {
			plans, completed := 0, 0
			for seed := range seeds {
				synctest.Test(t, func(t *testing.T) {
					h := newHistory(t, sc, seed)
					h.live(60)
					plans += len(h.check())
					if sc.servers == sc.expect && !sc.wipes {
						h.recover()
						h.check()
						wantFounded(t, h.world, h.world.all()...)
						completed++
					}
				})
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
			// A test in which nothing is ever founded would prove nothing.
			if plans == 0 {
				t.Errorf("no plan was founded in %d histories", seeds)
			}
			t.Logf("%d plans in %d histories, %d completed after recovery", plans, seeds, completed)
		})
	}
}

// history is one random run of a world.
type history struct {
	*world
	scenario scenario
	rng      *rand.Rand
	// all plans that were ever written, by cluster id, and the lives of servers
	// whose disks are gone
	written map[gossip.UUID]Plan
	wiped   []server
}

func newHistory(t *testing.T, sc scenario, seed uint64) *history {
	h := &history{world: newWorld(t), scenario: sc, rng: rand.New(rand.NewPCG(seed, 1)), written: make(map[gossip.UUID]Plan)}
	for id := range uint64(sc.servers) {
		h.add(id+1, sc.expect)
	}
	// Each link has its own source, so that a run depends on the seed and not
	// on the order in which goroutines draw.
	sources := make(map[[2]uint64]*rand.Rand)
	var mu sync.Mutex
	source := func(from, to uint64) *rand.Rand {
		key := [2]uint64{from, to}
		if sources[key] == nil {
			sources[key] = rand.New(rand.NewPCG(seed, 2+from<<8+to))
		}
		return sources[key]
	}
	h.link = func(from, to uint64) (there, back time.Duration, lost, answerLost bool) {
		mu.Lock()
		defer mu.Unlock()
		r := source(from, to)
		// Now and then so late that the asker has given up.
		return upTo(r, 300*time.Millisecond), upTo(r, 2*time.Second), r.IntN(10) == 0, r.IntN(10) == 0
	}
	h.write = func(ctx context.Context, id uint64) error {
		mu.Lock()
		r := source(id, id)
		takes, survives := upTo(r, 400*time.Millisecond), r.IntN(2) == 0
		mu.Unlock()
		if err := sleep(ctx, takes); err != nil && !survives {
			return err
		}
		return nil // even if the crash came before anybody heard of the success
	}
	return h
}

// upTo draws a duration below max.
func upTo(r *rand.Rand, max time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(max)))
}

// live lets steps random things happen, and time pass between them.
func (h *history) live(steps int) {
	servers := h.all()
	for _, s := range servers {
		h.start(s)
	}
	for range steps {
		s := servers[h.rng.IntN(len(servers))]
		other := servers[h.rng.IntN(len(servers))]
		switch what := h.rng.IntN(20); {
		case what < 3:
			h.show([]*server{s}, servers...)
		case what < 7:
			h.gather()
		case what < 13:
			h.show([]*server{s}, other)
		case what < 16 && other != s:
			s.view.lose(other.id)
		case what < 18 && h.scenario.crashes:
			h.end(s)
			if h.rng.IntN(4) == 0 {
				s.addr = fmt.Sprintf("10.0.%d.%d:21000", h.rng.IntN(200), s.id)
			}
			h.start(s)
		case what < 19 && h.scenario.wipes:
			h.end(s)
			h.wiped = append(h.wiped, server{id: s.id, instance: s.instance, plan: s.plan, lives: s.lives})
			h.wipe(s)
			h.start(s)
		}
		pass(upTo(h.rng, 400*time.Millisecond))
	}
}

// gather makes as many servers as found a cluster see each other, most of them
// without seeing anybody else.
func (h *history) gather() {
	servers := h.all()
	h.rng.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	some, others := servers[:h.scenario.expect], servers[h.scenario.expect:]
	h.show(some, some...)
	for _, s := range some {
		for _, other := range others {
			if h.rng.IntN(8) > 0 {
				s.view.lose(other.id)
			}
		}
	}
}

// end ends a server's life and keeps what it wrote.
func (h *history) end(s *server) {
	h.crash(s)
	h.keep()
}

func (h *history) keep() {
	for _, s := range h.all() {
		if p := h.founded(s); p != nil {
			h.written[p.ClusterID()] = *p
		}
	}
}

// recover does what an operator would do: everything is repaired, all servers
// see each other, and all are restarted, so that no promise is in the way.
func (h *history) recover() {
	for _, s := range h.all() {
		h.crash(s)
	}
	h.world.mu.Lock()
	h.link, h.write = nil, nil
	h.world.mu.Unlock()
	for _, s := range h.all() {
		h.start(s)
	}
	h.showAll()
	for range 5 { // what is founded shows in gossip
		pass(2 * time.Second)
		h.showAll()
	}
}

// check checks what the package guarantees, and returns the plans that were
// founded.
func (h *history) check() map[gossip.UUID]Plan {
	h.keep()
	t := h.t
	for id, plan := range h.written {
		// The id is computed from the plan, so this is guarantee 1 together with
		// the next check.
		if plan.ClusterID() != id {
			t.Errorf("cluster %s has plan %v", id, plan)
		}
		for _, s := range plan.Servers {
			h.checkAgreed(plan, s)
		}
	}
	for _, s := range h.all() {
		if p := h.founded(s); p != nil {
			if part, ok := p.Server(s.id); !ok || part.InstanceID != s.instance {
				t.Errorf("n%d with %s is founded with %+v, which does not name it", s.id, s.instance, p)
			}
		}
	}
	// Guarantee 2.
	if h.scenario.servers == h.scenario.expect && !h.scenario.wipes && len(h.written) > 1 {
		t.Errorf("%d plans were founded by the same servers: %v", len(h.written), h.written)
	}
	// Guarantee 3, in the case that nobody restarts.
	if !h.scenario.crashes {
		h.checkDisjoint()
	}
	return h.written
}

// checkAgreed checks that a server that a founded plan names promised that very
// plan in one of its lives. As a life has at most one promise, two founded plans
// that name the same server were promised in different lives: guarantee 3.
func (h *history) checkAgreed(plan Plan, named Server) {
	lives := h.servers[named.ID].lives
	if h.servers[named.ID].instance != named.InstanceID {
		lives = nil
		for _, s := range h.wiped {
			if s.id == named.ID && s.instance == named.InstanceID {
				lives = s.lives
			}
		}
	}
	for _, f := range lives {
		f.mu.Lock()
		promised := f.promised
		f.mu.Unlock()
		if promised != nil && promised.Equal(plan) {
			return
		}
	}
	h.t.Errorf("plan %+v was founded, and n%d never promised it", plan, named.ID)
}

func (h *history) checkDisjoint() {
	owner := make(map[uint64]gossip.UUID)
	for id, plan := range h.written {
		for _, s := range plan.Servers {
			if other, taken := owner[s.ID]; taken {
				h.t.Errorf("n%d is part of both founded plans %v and %v", s.ID, h.written[other], plan)
			}
			owner[s.ID] = id
		}
	}
}
