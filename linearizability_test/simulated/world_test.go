package simulated_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"balsa/kv/history"
	"balsa/raft"
	"balsa/raft/logstore"
)

// world is one run.
type world struct {
	plan  plan
	bugs  bugs
	seen  sightings
	judge *judge
	net   *network

	recorder *history.Recorder
	began    time.Time

	mu      sync.Mutex
	rng     *rand.Rand // the source of all other sources; guarded by mu
	servers []*server  // in the order in which they appeared, with those that are retired
	lines   []string
	output  *os.File
	wrong   []string
	// leaked are the processes whose log has failed: it leaves its goroutines to
	// the end of the process, and that is us.
	leaked []*process

	failed   atomic.Bool // something is wrong: wrong is not empty
	healing  atomic.Bool // no fault begins any more
	changing atomic.Bool // a change of members is under way
	// logFailed says that the disk under a log has failed, or is about to.
	logFailed atomic.Bool

	clientsStop, healed, over chan struct{}
	clients, background       sync.WaitGroup
}

// sightings count what has happened in a run: what did not happen was not tested.
type sightings struct {
	crashes, crashesAtWrite, crashesInSave, blackouts, stops    atomic.Int64
	diskFailures, failuresInReceived                            atomic.Int64
	partitions, transfers, changes, leaderChanges               atomic.Int64
	snapshots, resumedSnapshots, brokenSnapshots, statesChecked atomic.Int64
	answered, operations, entries, acknowledged, runs, leaks    atomic.Int64
}

// newWorld prepares the run of a seed. It must be called in a bubble.
func newWorld(seed uint64, b bugs, output *os.File) *world {
	w := &world{
		bugs: b, rng: rand.New(rand.NewPCG(seed, 0)), recorder: history.NewRecorder(), began: time.Now(), output: output,
		clientsStop: make(chan struct{}), healed: make(chan struct{}), over: make(chan struct{}),
	}
	w.plan = newPlan(w.source())
	w.judge = newJudge(w)
	w.net = newNetwork(w, w.plan.network)
	return w
}

// source returns a source of randomness of its own for somebody.
func (w *world) source() *rand.Rand {
	w.mu.Lock()
	defer w.mu.Unlock()
	return rand.New(rand.NewPCG(w.rng.Uint64(), w.rng.Uint64()))
}

func (w *world) below(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// upTo draws a time.
func (w *world) upTo(most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(most) + 1))
}

// logf adds a line to the log of what has happened.
func (w *world) logf(format string, args ...any) {
	line := fmt.Sprintf("%9.4f  %s", time.Since(w.began).Seconds(), fmt.Sprintf(format, args...))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
	if w.output != nil {
		fmt.Fprintln(w.output, line)
	}
}

// violation takes note of something that must not be.
func (w *world) violation(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.logf("WRONG: %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, text)
	w.failed.Store(true)
}

// newServer makes a server, with an empty disk, and does not start it.
func (w *world) newServer() *server {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &server{
		w: w, id: raft.NodeID(len(w.servers) + 1), mem: vfs.NewCrashableMem(),
		retired: make(chan struct{}), stop: make(chan time.Duration),
	}
	w.servers = append(w.servers, s)
	return s
}

// prepare does something with the log of a server that does not run yet, and
// returns the identity of its data directory.
func (s *server) prepare(do func(*logstore.Store) error) raft.InstanceID {
	log, err := logstore.Open("data/log", logstore.Options{NodeID: s.id, FS: s.mem, Fatal: func(m string) { panic(m) }})
	if err != nil {
		panic(err)
	}
	defer log.Close()
	if err := do(log); err != nil {
		panic(err)
	}
	return log.Identity().InstanceID
}

// found founds the cluster.
func (w *world) found() {
	var configuration raft.Configuration
	for range w.plan.voters {
		s := w.newServer()
		instance := s.prepare(func(*logstore.Store) error { return nil })
		configuration.Members = append(configuration.Members, raft.Member{ID: s.id, Instance: instance, Votes: true})
	}
	entry, err := raft.FoundingEntry(configuration)
	if err != nil {
		panic(err)
	}
	for _, s := range w.all() {
		s.prepare(func(log *logstore.Store) error {
			return log.Found(testCluster, raft.FoundingHardState(), []raft.Entry{entry})
		})
		w.launch(s)
	}
}

// launch starts a server.
func (w *world) launch(s *server) { w.background.Go(s.run) }

func (w *world) server(id raft.NodeID) *server {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.servers[id-1]
}

// all returns the servers that are not retired.
func (w *world) all() []*server {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*server
	for _, s := range w.servers {
		select {
		case <-s.retired:
		default:
			all = append(all, s)
		}
	}
	return all
}

// running returns the processes that run.
func (w *world) running() []*process {
	var running []*process
	for _, s := range w.all() {
		if p := s.process(); p != nil && !p.dead.Load() {
			running = append(running, p)
		}
	}
	return running
}

func (w *world) anyProcess(rng *rand.Rand) *process {
	running := w.running()
	if len(running) == 0 {
		return nil
	}
	return running[rng.IntN(len(running))]
}

// leader returns a process that believes that it leads, or nil.
func (w *world) leader() *process {
	for _, p := range w.running() {
		if p.node.Leader() == p.id {
			return p
		}
	}
	return nil
}
