package founding

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"balsa/gossip"
)

// world is a set of servers that could found clusters, with everything between
// them made up: what each sees in gossip, what becomes of its questions, and its
// disk, which alone survives a crash. It runs in a synctest bubble.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	servers map[uint64]*server
	// link decides what becomes of a question: how long it and the answer
	// travel, and whether either is lost. Nil means at once and never. It is
	// set before any server starts.
	link func(from, to uint64) (there, back time.Duration, lost, answerLost bool)
	// write is what becomes of a founding that is being written when nothing
	// else happens. Nil means success at once.
	write func(ctx context.Context, id uint64) error
	log   *slog.Logger
}

// server is one server: what it has on disk, and its present life if it is up.
type server struct {
	id     uint64
	expect int
	addr   string
	view   *fakeView

	// On disk.
	instance gossip.UUID
	plan     *Plan

	// In memory.
	founder *Founder // nil while the server is down
	// lives are all founders that ever ran with this data directory, the
	// present one included.
	lives []*Founder
}

func newWorld(t *testing.T) *world {
	return &world{t: t, servers: make(map[uint64]*server), log: slog.New(slog.DiscardHandler)}
}

// add makes a server that is down, sees nobody, and has an empty data directory.
func (w *world) add(id uint64, expect int) *server {
	s := &server{
		id: id, expect: expect, addr: fmt.Sprintf("10.0.0.%d:21000", id), instance: gossip.UUID{byte(id)},
		view: &fakeView{members: make(map[uint64]gossip.Member), watchers: make(map[chan struct{}]bool)},
	}
	w.servers[id] = s
	return s
}

// start begins a life of the server, which sees nobody but itself.
func (w *world) start(s *server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := Config{
		ID: s.id, InstanceID: s.instance, Expect: s.expect, View: s.view, Logger: w.log,
		Ask:   func(ctx context.Context, addr string, q []byte) ([]byte, error) { return w.ask(ctx, s.id, addr, q) },
		Found: func(ctx context.Context, plan Plan) error { return w.found(ctx, s, plan) },
	}
	if s.plan != nil {
		c.ClusterID, c.Plan = s.plan.ClusterID(), s.plan
	}
	// What gossip knew died with the process.
	s.view.forget()
	f, err := Start(c)
	if err != nil {
		w.t.Fatal(err)
	}
	s.founder = f
	s.view.set(w.truth(s))
	s.lives = append(s.lives, f)
	w.t.Cleanup(f.Close)
}

// crash ends the server's life.
func (w *world) crash(s *server) {
	w.mu.Lock()
	f := s.founder
	s.founder = nil
	w.mu.Unlock()
	if f != nil {
		f.Close()
	}
}

// restart ends the server's life, if it is up, and begins another.
func (w *world) restart(s *server) {
	w.crash(s)
	w.start(s)
}

// wipe replaces the data directory of a server that is down.
func (w *world) wipe(s *server) {
	s.instance[1]++
	s.plan, s.lives = nil, nil
}

// setWrite changes what becomes of foundings that are written from now on.
func (w *world) setWrite(write func(ctx context.Context, id uint64) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write = write
}

// truth is what gossip would say about a server if it were always right. The
// caller holds w.mu.
func (w *world) truth(s *server) gossip.Member {
	m := gossip.Member{ID: s.id, Name: serverName(s.id), InstanceID: s.instance, RPCAddr: s.addr, Expect: s.expect, Status: gossip.StatusDead}
	if s.founder != nil {
		m.Status = gossip.StatusAlive
	}
	if s.plan != nil {
		m.ClusterID = s.plan.ClusterID()
	}
	return m
}

// show makes some servers see some others as they are.
func (w *world) show(to []*server, whom ...*server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, viewer := range to {
		for _, s := range whom {
			viewer.view.set(w.truth(s))
		}
	}
}

// showAll makes everybody see everybody.
func (w *world) showAll() { w.show(w.all(), w.all()...) }

func (w *world) all() []*server {
	return slices.SortedFunc(maps.Values(w.servers), func(a, b *server) int { return int(a.id) - int(b.id) })
}

// ask carries a question and its answer.
func (w *world) ask(ctx context.Context, from uint64, addr string, question []byte) ([]byte, error) {
	w.mu.Lock()
	var to *server
	for _, s := range w.servers {
		if s.addr == addr {
			to = s
		}
	}
	w.mu.Unlock()
	if to == nil {
		return nil, errors.New("connection refused")
	}
	var there, back time.Duration
	var lost, answerLost bool
	if w.link != nil {
		there, back, lost, answerLost = w.link(from, to.id)
	}
	if err := sleep(ctx, there); err != nil {
		return nil, err
	}
	w.mu.Lock()
	f := to.founder
	w.mu.Unlock()
	if lost || f == nil {
		return nil, errors.New("connection refused")
	}
	answer := f.Answer(question)
	if err := sleep(ctx, back); err != nil {
		return nil, err
	}
	if answerLost {
		return nil, errors.New("connection reset")
	}
	return answer, nil
}

// found writes a founding to a server's disk.
func (w *world) found(ctx context.Context, s *server, plan Plan) error {
	w.mu.Lock()
	write := w.write
	w.mu.Unlock()
	if write != nil {
		if err := write(ctx, s.id); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.plan != nil && !s.plan.Equal(plan) {
		w.t.Errorf("n%d, founded with %+v, is to be founded with %+v", s.id, *s.plan, plan)
	}
	s.plan = &plan
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// founded returns how a server was founded, or nil.
func (w *world) founded(s *server) *Plan {
	w.mu.Lock()
	defer w.mu.Unlock()
	return s.plan
}

// state returns what a server says to its operator.
func (w *world) state(s *server) string {
	w.mu.Lock()
	f := s.founder
	w.mu.Unlock()
	return f.State()
}

// fakeView is what one server sees of gossip.
type fakeView struct {
	mu        sync.Mutex
	members   map[uint64]gossip.Member
	conflicts []gossip.Conflict
	watchers  map[chan struct{}]bool
}

func (v *fakeView) Members() []gossip.Member {
	v.mu.Lock()
	defer v.mu.Unlock()
	var list []gossip.Member
	for _, id := range slices.Sorted(maps.Keys(v.members)) {
		list = append(list, v.members[id])
	}
	return list
}

func (v *fakeView) Conflicts() []gossip.Conflict {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.conflicts
}

func (v *fakeView) Watch() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.watchers[ch] = true
	return ch, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.watchers, ch)
	}
}

func (v *fakeView) set(m gossip.Member) { v.change(func() { v.members[m.ID] = m }) }

func (v *fakeView) lose(id uint64) { v.change(func() { delete(v.members, id) }) }

func (v *fakeView) forget() { v.change(func() { clear(v.members) }) }

func (v *fakeView) change(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
	for ch := range v.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
